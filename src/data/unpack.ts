/**
 * Compressed bytes, unpacked with a bound on what really comes out: no format's own word on sizes is believed.
 *
 * @module
 */

import { DataError } from "../base/errors.ts";
import { crc32, hex } from "./crc32.ts";

/** Most bytes that unpacking gives: enwik9, the largest text people train on, has 10⁹. */
export const UNPACKED_LIMIT = 2 ** 30;

/** Input is fed in pieces of this many bytes: deflate expands at most 1032 times, so a bomb is noticed within 64 MiB. */
export const PIECE = 65536;

/** Takes output, counting and checksumming it (fflate checks neither format's CRC-32). */
export class Output {
  #pieces: Uint8Array[] = [];
  #crc = 0;
  #memberStart = 0;
  #length = 0;

  constructor(readonly name: string, readonly limit: number) {}

  push(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    if (this.#length > this.limit) {
      throw new DataError(`Cannot unpack ${this.name}: it gives more than ${this.limit} bytes; unpack and shorten it first`);
    }
    this.#crc = crc32(piece, this.#crc);
    this.#pieces.push(piece);
  }

  /** Compares what came since the last call with what the file says of it. */
  check(crc: number, length: number, where: string): void {
    const count = this.#length - this.#memberStart;
    // gzip stores the length modulo 2³².
    if (this.#crc !== crc || count !== length && count % 2 ** 32 !== length) {
      throw new DataError(
        `Cannot unpack ${this.name}: damaged, ${where} promises ${length} bytes with CRC-32 ${hex(crc)}, ${count} with ${
          hex(this.#crc)
        } came out`,
      );
    }
    this.#crc = 0;
    this.#memberStart = this.#length;
  }

  /** Where in `bytes` a trailer of what came since the last check begins, CRC-32 and length, from `from` on. Negative where there is none. */
  find(bytes: Uint8Array, from: number): number {
    const trailer = new Uint8Array(8), view = new DataView(trailer.buffer);
    view.setUint32(0, this.#crc, true);
    view.setUint32(4, this.#length - this.#memberStart, true);
    let at = bytes.indexOf(trailer[0], from);
    while (at >= 0 && trailer.some((byte, i) => bytes[at + i] !== byte)) at = bytes.indexOf(trailer[0], at + 1);
    return at;
  }

  /** What came since the last call. */
  take(): Uint8Array[] {
    const taken = this.#pieces;
    this.#pieces = [];
    return taken;
  }
}

/** Feeds `bytes` piece by piece; the library's errors become ours, with the offset. */
export function feed(push: (piece: Uint8Array, last: boolean) => void, bytes: Uint8Array, name: string, offset: number): void {
  // Not empty at the end: the library's gunzip takes an empty last piece for the whole of it.
  for (let at = 0; at < bytes.length; at += PIECE) {
    const end = Math.min(bytes.length, at + PIECE);
    try {
      push(bytes.subarray(at, end), end === bytes.length);
    } catch (error) {
      if (error instanceof DataError) throw error;
      throw new DataError(`Cannot unpack ${name}: damaged between bytes ${offset + at} and ${offset + end}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}
