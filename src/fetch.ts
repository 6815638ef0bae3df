/**
 * Files by URL.
 *
 * @module
 */

import { DataError, excerpt } from "./errors.ts";

/**
 * The bytes at an address: http, https, data, blob, and file where the runtime allows.
 *
 * @throws {DataError} where there is no answer or not a good one, naming the address
 */
export async function fetchBytes(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new DataError(`Cannot fetch ${url}: ${(error as Error).message}`, { cause: error });
  }
  if (!response.ok) throw new DataError(`Cannot fetch ${url}: the server answered ${response.status} ${excerpt(response.statusText)}`);
  return new Uint8Array(await response.arrayBuffer());
}
