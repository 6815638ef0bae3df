/**
 * Compressed files, unpacked with a bound on what really comes out: neither format's own word on sizes is believed.
 *
 * @module
 */

import { expect } from "../check.ts";
import { Gunzip, Inflate } from "npm:fflate@0.8.3";
import { createTarDecoder } from "npm:modern-tar@0.8.6";
import { DataError, excerpt } from "../errors.ts";
import { crc32, hex } from "./crc32.ts";
import { ByteReader, type Bytes, join, pieces, told } from "./reader.ts";

/** Most bytes that unpacking gives: enwik9, the largest text people train on, has 10⁹. */
const UNPACKED_LIMIT = 2 ** 30;

/** Input is fed in pieces of this many bytes: deflate expands at most 1032 times, so a bomb is noticed within 64 MiB. */
const PIECE = 65536;

/** Takes output, counting and checksumming it (fflate checks neither format's CRC-32). */
class Output {
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
    if (this.#crc !== crc || count >>> 0 !== length) {
      throw new DataError(
        `Cannot unpack ${this.name}: damaged, ${where} promises ${length} bytes with CRC-32 ${hex(crc)}, ${count} with ${
          hex(this.#crc)
        } came out`,
      );
    }
    this.#crc = 0;
    this.#memberStart = this.#length;
  }

  /** What came since the last call. */
  take(): Uint8Array[] {
    const taken = this.#pieces;
    this.#pieces = [];
    return taken;
  }
}

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

/** Unpacks gzip as its bytes come, in pieces of {@linkcode PIECE}, which two at a time hold every trailer. */
class GzipReader {
  readonly #output: Output;
  readonly #stream: Gunzip;
  #before: Uint8Array = new Uint8Array();
  #now: Uint8Array = new Uint8Array();
  #end = 0;

  constructor(readonly name: string, limit: number) {
    this.#output = new Output(name, limit);
    this.#stream = new Gunzip((piece) => this.#output.push(piece));
    this.#stream.onmember = (end) => this.#check(end);
  }

  /** Compares a member that ends at `end` with its trailer. */
  #check(end: number): void {
    const known = join([this.#before, this.#now]), at = end - 8 - (this.#end - known.length);
    if (at < 0) throw new DataError(`Cannot unpack ${this.name}: the header at byte ${end} has more than ${PIECE} bytes`);
    const view = new DataView(known.buffer, at, 8);
    this.#output.check(view.getUint32(0, true), view.getUint32(4, true), `the trailer at byte ${end - 8}`);
  }

  /** What this piece gives. Only the last one may be shorter than {@linkcode PIECE}. */
  push(piece: Uint8Array, last: boolean): Uint8Array[] {
    if (this.#end === 0 && (piece.length < 18 || piece[0] !== 0x1f || piece[1] !== 0x8b)) {
      const found = Array.from(piece.subarray(0, 2), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      throw new DataError(
        `Cannot unpack ${this.name}: gzip begins with bytes 1f 8b and has at least 18, found ${
          found || "nothing"
        } in ${piece.length} bytes`,
      );
    }
    const from = this.#end;
    this.#before = this.#now;
    this.#now = piece;
    this.#end += piece.length;
    feed((part) => this.#stream.push(part, last), piece, this.name, from);
    if (last) this.#check(this.#end);
    return this.#output.take();
  }
}

/**
 * Unpacks gzip, of one member or several.
 *
 * @param name of the file, for messages
 * @throws {DataError} where it is not gzip, is damaged or cut off (with the offset), or gives more than `limit` bytes
 */
export function gunzip(bytes: Uint8Array, name: string, limit = UNPACKED_LIMIT): Uint8Array<ArrayBuffer> {
  expect("Cannot unpack", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const reader = new GzipReader(name, limit), parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += PIECE) {
    parts.push(...reader.push(bytes.subarray(at, at + PIECE), at + PIECE >= bytes.length));
  }
  return join(parts);
}

/**
 * Unpacks gzip as its bytes come; nothing is held but a piece.
 *
 * @param name of the file, for messages
 * @throws {DataError} as {@linkcode gunzip} does, but what came before the damage is given out first
 */
export async function* gunzipPieces(bytes: Bytes, name: string, limit = Infinity): AsyncGenerator<Uint8Array> {
  const reader = new GzipReader(name, limit), source = new ByteReader(bytes, name);
  for (let last = false; !last;) {
    const piece = await source.upTo(PIECE);
    last = (await source.peek(1)).length === 0;
    yield* reader.push(piece, last);
  }
}

/** One file in a tar archive. */
export interface TarFile {
  /** Path within the archive, as the archive says it: not to be used as a path. */
  readonly name: string;
  /** Its bytes, to be read before the next file is asked for. */
  readonly data: AsyncGenerator<Uint8Array>;
}

/**
 * The files in a tar archive as its bytes come; folders and links are left out.
 *
 * @param name of the file, for messages
 * @throws {DataError} where it is damaged or cut off, with about the offset
 */
export async function* tarFiles(bytes: Bytes, name: string): AsyncGenerator<TarFile> {
  const source = pieces(bytes);
  let read = 0, inside = "";
  const damaged = (error: unknown): unknown =>
    told(error) ? error : new DataError(
      `Cannot unpack ${name}: damaged in the ${PIECE} bytes before byte ${read}${inside && `, in or after ${excerpt(inside)}`}: ` +
        (error as Error).message,
    );
  // The archive's end is two blocks of zeros: without them strict decoding tells that it was cut off.
  const entries = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await source.next();
        if (done) return controller.close();
        read += value.length;
        controller.enqueue(value);
      } catch (error) {
        controller.error(error);
      }
    },
    async cancel() {
      await source.return(undefined);
    },
  }).pipeThrough(createTarDecoder({ strict: true })).getReader();
  // Never cancelled: the decoder may be in the next file by then, and would take that one for cancelled and wait for ever.
  async function* rest(body: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for (let { done, value } = await body.read(); !done; { done, value } = await body.read()) yield value!;
    } catch (error) {
      throw damaged(error);
    }
  }
  const next = async () => {
    try {
      return await entries.read();
    } catch (error) {
      throw damaged(error);
    }
  };
  try {
    for (let { done, value } = await next(); !done; { done, value } = await next()) {
      const { header, body } = value!, reader = body.getReader();
      inside = header.name;
      if (header.type === "file") yield { name: header.name, data: rest(reader) };
      // What was not asked for must still be passed over.
      for await (const _ of rest(reader));
    }
  } finally {
    await entries.cancel().catch(() => {});
    // The decoder takes a cancel for an end, and would read on.
    await source.return(undefined);
  }
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
  expect("Cannot unpack", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
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
  // Thousands of entries over the same bytes make a terabyte of a small file.
  let before: ZipEntry | undefined;
  for (const one of entries.toSorted((a, b) => a.offset - b.offset)) {
    const to = before ? before.offset + before.packed.length : 0;
    if (one.offset < to) {
      fail(`damaged, ${excerpt(one.name)} begins at byte ${one.offset}, inside ${excerpt(before!.name)}, which ends at ${to}`);
    }
    before = one;
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
  expect("Cannot unpack", { entry: [entry, "an object"], packed: [entry?.packed, "an array of bytes"], name: [name, "a string"] });
  const output = new Output(`${excerpt(entry.name)} of ${name}`, limit);
  if (entry.method === 0) output.push(entry.packed);
  else if (entry.method === 8) {
    const stream = new Inflate((piece) => output.push(piece));
    feed((piece, last) => stream.push(piece, last), entry.packed, output.name, entry.offset);
  } else {throw new DataError(
      `Cannot unpack ${output.name}: its compression method is ${entry.method}, known are 0 (stored) and 8 (deflate)`,
    );}
  output.check(entry.crc, entry.size, "the archive's directory");
  return join(output.take());
}
