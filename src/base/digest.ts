/**
 * What bytes are known by.
 *
 * @module
 */

import { expect } from "./check.ts";

/** SHA-256 of bytes, hexadecimal. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  expect("Cannot take the digest", { bytes: [bytes, "an array of bytes"] });
  return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
