/**
 * Files by URL.
 *
 * @module
 */

import { ConfigError, DataError, excerpt } from "./errors.ts";

/** How a file is fetched. */
export interface FetchOptions {
  /** Gives up; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called for each piece that arrives, with the bytes received so far and how many there will be, once that is known. */
  readonly onProgress?: (loaded: number, total: number | undefined) => void;
  /** How long the file is, from its first bytes; undefined while those do not tell. */
  readonly lengthOf?: (head: Uint8Array<ArrayBuffer>) => number | undefined;
  /**
   * What the bytes must hash to, written as in HTML: `sha256-…`, `sha384-…` or `sha512-…` with the digest in base64; of several the
   * strongest kind counts, and one of that kind must fit.
   */
  readonly integrity?: string;
}

/** There is nothing at an address, and a server or a disk says so. */
class AbsentError extends DataError {}

/** Statuses of what is not there; stores of files answer 403 for it, unless one may list them. */
const NOT_THERE: readonly number[] = [403, 404, 410];

/**
 * {@linkcode fetchBytes}, undefined where there is no such file.
 *
 * @throws {DataError} where it cannot be known, or `integrity` says that there is one
 */
export async function fetchIfThere(url: URL, options: FetchOptions = {}): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await fetchBytes(url, options);
  } catch (error) {
    if (error instanceof AbsentError && options.integrity === undefined) return undefined;
    throw error;
  }
}

/**
 * The bytes at an address: http, https, data, blob, and file where the runtime has files.
 *
 * @throws {DataError} where there is no answer or not a good one, naming the address, or the bytes are not those that `integrity` names
 * @throws {ConfigError} where `integrity` cannot be understood
 */
export async function fetchBytes(url: URL, options: FetchOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const { signal, integrity } = options, digests = integrity === undefined ? undefined : parseIntegrity(integrity);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    const response = await answer(url, signal);
    if (response instanceof Uint8Array) options.onProgress?.(response.length, response.length);
    else if (!response.ok) {
      const { status, statusText } = response, Refused = NOT_THERE.includes(status) ? AbsentError : DataError;
      throw new Refused(`Cannot fetch ${url}: the server answered ${status} ${excerpt(statusText)}`);
    }
    bytes = response instanceof Uint8Array ? response : await receive(response, options);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof DataError) throw error;
    const { message, cause, code } = error as Error & { code?: string };
    // Runtimes keep what really failed behind a "fetch failed".
    const said = `Cannot fetch ${url}: ${message}${cause instanceof Error ? `: ${cause.message}` : ""}`;
    throw code === "ENOENT" ? new AbsentError(said, { cause: error }) : new DataError(said, { cause: error });
  }
  if (digests) await checkIntegrity(url, bytes, digests);
  return bytes;
}

/** What is at an address: of a file its bytes, where fetch does not know files, as Node's, or does not find this one. */
async function answer(url: URL, signal?: AbortSignal): Promise<Response | Uint8Array<ArrayBuffer>> {
  try {
    return await fetch(url, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (url.protocol !== "file:") throw error;
    const bytes = await (await import("./runtime_files.ts")).fileBytes(url, signal);
    if (!bytes) throw error;
    return bytes;
  }
}

/** A file whose first bytes do not tell its length by then is not asked again: all of them are joined for each piece. */
const HEAD_LIMIT = 2 ** 20;

async function receive(response: Response, { onProgress, lengthOf }: FetchOptions): Promise<Uint8Array<ArrayBuffer>> {
  if (!onProgress || !response.body) return new Uint8Array(await response.arrayBuffer());
  const pieces: Uint8Array[] = [], stated = response.headers.get("content-length");
  // The length that a server states is that of what it sends, which is compressed where it says so.
  let total = stated === null || response.headers.get("content-encoding") ? undefined : Number(stated), known = !lengthOf, loaded = 0;
  const joined = () => {
    const bytes = new Uint8Array(loaded);
    pieces.reduce((at, piece) => (bytes.set(piece, at), at + piece.length), 0);
    return bytes;
  };
  for (const reader = response.body.getReader();;) {
    const { value, done } = await reader.read();
    if (done) return joined();
    pieces.push(value);
    loaded += value.length;
    if (!known && loaded <= HEAD_LIMIT) {
      const length = lengthOf!(joined());
      if (length !== undefined) [total, known] = [length, true];
    }
    onProgress(loaded, total);
  }
}

/** Weakest first. */
const ALGORITHMS = ["sha256", "sha384", "sha512"];

function parseIntegrity(integrity: string): { algorithm: string; digests: string[] } {
  const found = integrity.trim().split(/\s+/).map((part) => /^(sha256|sha384|sha512)-([A-Za-z0-9+/]+={0,2})$/.exec(part));
  if (!found.every((part) => part !== null)) {
    throw new ConfigError(`Cannot use integrity ${excerpt(integrity)}: it must be sha256-, sha384- or sha512- and a digest in base64`);
  }
  const algorithm = ALGORITHMS.findLast((name) => found.some((part) => part[1] === name))!;
  return { algorithm, digests: found.filter((part) => part[1] === algorithm).map((part) => part[2]) };
}

/** By hand: with fetch's own check a browser holds all bytes back until the last has come, and there is no progress to show. */
async function checkIntegrity(url: URL, bytes: Uint8Array<ArrayBuffer>, want: { algorithm: string; digests: string[] }): Promise<void> {
  if (!globalThis.crypto?.subtle) {
    throw new DataError(`Cannot check the integrity of ${url}: this page has no crypto.subtle; serve it over https or from localhost`);
  }
  const digest = new Uint8Array(await crypto.subtle.digest(want.algorithm.replace("sha", "SHA-"), bytes));
  const found = btoa(String.fromCharCode(...digest));
  if (want.digests.includes(found)) return;
  throw new DataError(
    `Cannot use ${url}: its ${bytes.length} bytes hash to ${want.algorithm}-${found}, expected was ${want.digests.join(" or ")}; ` +
      `the file was changed or damaged`,
  );
}
