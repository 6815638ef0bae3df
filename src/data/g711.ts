/**
 * The µ-law codes of telephony: ITU-T G.711, https://www.itu.int/rec/T-REC-G.711, table 2a.
 *
 * @module
 */

import { expect } from "../base/check.ts";

/**
 * Telephony's µ-law codes (G.711) in order of amplitude: the sign bit and the magnitude are stored inverted there. No
 * two codes become one, so the entropy stays. G.711 draws the logarithm in straight pieces, so what
 * {@linkcode decodeMulaw} plays is up to 9 % from its amplitudes.
 */
export function orderG711(codes: Uint8Array): Uint8Array<ArrayBuffer> {
  expect("Cannot order the codes", { codes: [codes, "an array of bytes"] });
  return Uint8Array.from(codes, (code) => code & 0x80 ? 0x80 | ~code & 0x7f : code & 0x7f);
}
