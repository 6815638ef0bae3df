/**
 * Compressed files, unpacked with a bound on what really comes out: neither format's own word on sizes is believed.
 *
 * @module
 */

import { Gunzip, Inflate } from "npm:fflate@0.8.3";
import { DataError, excerpt } from "../errors.ts";

/** Most bytes that unpacking gives: enwik9, the largest text people train on, has 10⁹. */
export const UNPACKED_LIMIT = 2 ** 30;

/** Input is fed in pieces of this many bytes: deflate expands at most 1032 times, so a bomb is noticed within 64 MiB. */
const PIECE = 65536;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** Collects output, counting and checksumming it (fflate checks neither format's CRC-32). */
class Output {
  readonly #pieces: Uint8Array[] = [];
  #crc = -1;
  #memberStart = 0;
  length = 0;

  constructor(readonly name: string, readonly limit: number) {}

  push(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.length += piece.length;
    if (this.length > this.limit) {
      throw new DataError(`Cannot unpack ${this.name}: it gives more than ${this.limit} bytes; unpack and shorten it first`);
    }
    let crc = this.#crc;
    for (let i = 0; i < piece.length; i++) crc = CRC[(crc ^ piece[i]) & 255] ^ (crc >>> 8);
    this.#crc = crc;
    this.#pieces.push(piece);
  }

  /** Compares what came since the last call with what the file says of it. */
  check(crc: number, length: number, where: string): void {
    const got = (this.#crc ^ -1) >>> 0, count = this.length - this.#memberStart;
    // gzip stores the length modulo 2³².
    if (got !== crc || count >>> 0 !== length) {
      throw new DataError(
        `Cannot unpack ${this.name}: damaged, ${where} promises ${length} bytes with CRC-32 ${hex(crc)}, ${count} with ${
          hex(got)
        } came out`,
      );
    }
    this.#crc = -1;
    this.#memberStart = this.length;
  }

  join(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.length);
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }
}

const hex = (word: number) => word.toString(16).padStart(8, "0");

/** Feeds `bytes` piece by piece; the library's errors become ours, with the offset. */
function feed(push: (piece: Uint8Array, last: boolean) => void, bytes: Uint8Array, name: string, offset: number): void {
  // Not empty at the end: the library's gunzip takes an empty last piece for the whole of it.
  for (let at = 0; at < bytes.length; at += PIECE) {
    const end = Math.min(bytes.length, at + PIECE);
    try {
      push(bytes.subarray(at, end), end === bytes.length);
    } catch (error) {
      if (error instanceof DataError) throw error;
      throw new DataError(`Cannot unpack ${name}: damaged between bytes ${offset + at} and ${offset + end}: ${(error as Error).message}`);
    }
  }
}

/**
 * Unpacks gzip, of one member or several.
 *
 * @param name of the file, for messages
 * @throws {DataError} where it is not gzip, is damaged or cut off (with the offset), or gives more than `limit` bytes
 */
export function gunzip(bytes: Uint8Array, name: string, limit = UNPACKED_LIMIT): Uint8Array<ArrayBuffer> {
  if (bytes.length < 18 || bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    const found = Array.from(bytes.subarray(0, 2), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new DataError(
      `Cannot unpack ${name}: gzip begins with bytes 1f 8b and has at least 18, found ${found || "nothing"} in ${bytes.length} bytes`,
    );
  }
  const output = new Output(name, limit), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trailer = (end: number) =>
    output.check(view.getUint32(end - 8, true), view.getUint32(end - 4, true), `the trailer at byte ${end - 8}`);
  const stream = new Gunzip((piece) => output.push(piece));
  stream.onmember = trailer;
  feed((piece, last) => stream.push(piece, last), bytes, name, 0);
  trailer(bytes.length);
  return output.join();
}

/** One file in a zip archive. */
export interface ZipEntry {
  /** Path within the archive, as the archive says it: not to be used as a path. */
  readonly name: string;
  /** Bytes unpacked, as the archive says. */
  readonly size: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  /** As the archive says. */
  readonly crc: number;
  /** The packed bytes. */
  readonly packed: Uint8Array;
  /** Where they begin in the file. */
  readonly offset: number;
}

/**
 * The files in a zip archive, folders left out, by its central directory.
 *
 * @param name of the file, for messages
 * @throws {DataError} where it is not zip or damaged (with the offset), or needs zip64
 */
export function zipEntries(bytes: Uint8Array, name: string): ZipEntry[] {
  const fail = (what: string): never => {
    throw new DataError(`Cannot unpack ${name}: ${what}`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const signature = (at: number, want: number, what: string, room: number) => {
    if (at < 0 || at + room > bytes.length || view.getUint32(at, true) !== want) {
      fail(`damaged, no ${what} at byte ${at} of ${bytes.length}`);
    }
  };
  // The end record has 22 bytes and a comment of up to 65,535.
  const first = Math.max(0, bytes.length - 22 - 65535);
  let end = bytes.length - 22;
  while (end >= first && !(view.getUint32(end, true) === 0x06054b50 && end + 22 + view.getUint16(end + 20, true) === bytes.length)) end--;
  if (end < first) fail(`no zip directory at its end; it was cut short, or is not a zip archive`);
  const count = view.getUint16(end + 10, true), entries: ZipEntry[] = [];
  let at = view.getUint32(end + 16, true);
  if (count === 0xffff || at === 0xffffffff) fail("it is a zip64 archive, which is not supported; unpack it first");
  for (let i = 0; i < count; i++) {
    signature(at, 0x02014b50, "directory entry", 46);
    const flags = view.getUint16(at + 8, true), method = view.getUint16(at + 10, true), crc = view.getUint32(at + 16, true);
    const packedSize = view.getUint32(at + 20, true), size = view.getUint32(at + 24, true), local = view.getUint32(at + 42, true);
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    if (at + 46 + nameLength > bytes.length) fail(`damaged, the name of entry ${i + 1} at byte ${at} runs past the end`);
    const entry = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    at += 46 + nameLength + extra + comment;
    if (entry.endsWith("/")) continue;
    if (packedSize === 0xffffffff || size === 0xffffffff || local === 0xffffffff) {
      fail(`${excerpt(entry)} is a zip64 entry, which is not supported; unpack it first`);
    }
    if (flags & 1) fail(`${excerpt(entry)} is encrypted; unpack it first`);
    signature(local, 0x04034b50, `header of ${excerpt(entry)}`, 30);
    const offset = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (offset + packedSize > bytes.length) {
      fail(`damaged, ${excerpt(entry)} takes bytes ${offset} to ${offset + packedSize}, the file has ${bytes.length}`);
    }
    entries.push({ name: entry, size, method, crc, packed: bytes.subarray(offset, offset + packedSize), offset });
  }
  return entries;
}

/**
 * Unpacks one file of a zip archive.
 *
 * @param name of the archive, for messages
 * @throws {DataError} where it is damaged (with the offset), of another size than the archive says, compressed by another
 * method than deflate, or gives more than `limit` bytes
 */
export function unzip(entry: ZipEntry, name: string, limit = UNPACKED_LIMIT): Uint8Array<ArrayBuffer> {
  const output = new Output(`${excerpt(entry.name)} of ${name}`, limit);
  if (entry.method === 0) output.push(entry.packed);
  else if (entry.method === 8) {
    const stream = new Inflate((piece) => output.push(piece));
    feed((piece, last) => stream.push(piece, last), entry.packed, output.name, entry.offset);
  } else {throw new DataError(
      `Cannot unpack ${output.name}: its compression method is ${entry.method}, known are 0 (stored) and 8 (deflate)`,
    );}
  output.check(entry.crc, entry.size, "the archive's directory");
  return output.join();
}
