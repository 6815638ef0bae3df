/**
 * Compressed files, unpacked with a bound on what really comes out: neither format's own word on sizes is believed.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { FlateErrorCode, Gunzip, Inflate } from "npm:fflate@0.8.3";
import { DataError, excerpt } from "../base/errors.ts";
import { crc32, hex } from "./crc32.ts";
import { ByteReader, type Bytes, counted, join, type Notify, pieces, type Sliceable } from "./reader.ts";

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
function feed(push: (piece: Uint8Array, last: boolean) => void, bytes: Uint8Array, name: string, offset: number): void {
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

/** What fflate's error says where something else follows a member than another one. */
const NO_HEADER = FlateErrorCode.InvalidHeader;

/** Unpacks gzip as its bytes come, in pieces of {@linkcode PIECE}, which two at a time hold every trailer. */
class GzipReader {
  readonly #output: Output;
  readonly #stream: Gunzip;
  #before: Uint8Array = new Uint8Array();
  #now: Uint8Array = new Uint8Array();
  #end = 0;
  /** Where the member under way began. */
  #began = 0;
  /** Where the last member ended, once something else followed it. */
  #whole = Infinity;

  constructor(readonly name: string, limit: number, readonly notify?: Notify) {
    this.#output = new Output(name, limit);
    this.#stream = new Gunzip((piece) => this.#output.push(piece));
    this.#stream.onmember = (end) => this.#check(end);
  }

  get #known(): Uint8Array<ArrayBuffer> {
    return join([this.#before, this.#now]);
  }

  /** Compares a member that ends at `end` with its trailer. */
  #check(end: number): void {
    const known = this.#known, at = end - 8 - (this.#end - known.length);
    if (at < 0) throw new DataError(`Cannot unpack ${this.name}: the header at byte ${end} has more than ${PIECE} bytes`);
    const view = new DataView(known.buffer, at, 8);
    this.#output.check(view.getUint32(0, true), view.getUint32(4, true), `the trailer at byte ${end - 8}`);
    this.#began = end;
  }

  /** Finds the end of a member behind which there are at least so many bytes of something else: by its trailer, since fflate does not tell. */
  #endsBefore(least: number, most: number): boolean {
    // Behind the 10 bytes of a header and the 2 of the shortest data.
    const known = this.#known, start = this.#end - known.length, at = this.#output.find(known, Math.max(0, this.#began + 12 - start));
    const rest = known.length - at - 8;
    if (at < 0 || rest < least || rest > most) return false;
    this.#whole = start + at + 8;
    return true;
  }

  /** What this piece gives. Only the last one may be shorter than {@linkcode PIECE}. */
  push(piece: Uint8Array, last: boolean): Uint8Array[] {
    if (this.#end === 0 && (piece.length < 18 || piece[0] !== 0x1f || piece[1] !== 0x8b || piece[2] !== 8)) {
      const found = Array.from(piece.subarray(0, 3), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      throw new DataError(
        `Cannot unpack ${this.name}: gzip begins with bytes 1f 8b 08 and has at least 18, found ${
          found || "nothing"
        } in ${piece.length} bytes`,
      );
    }
    const from = this.#end;
    this.#end += piece.length;
    if (this.#whole === Infinity) {
      this.#before = this.#now;
      this.#now = piece;
      try {
        feed((part) => this.#stream.push(part, last), piece, this.name, from);
      } catch (error) {
        if (((error as Error).cause as { code?: number } | undefined)?.code !== NO_HEADER || !this.#endsBefore(1, Infinity)) throw error;
      }
      // One to three bytes at the end are too few for fflate to miss a header in.
      if (last && this.#whole === Infinity && !this.#endsBefore(1, 3)) this.#check(this.#end);
    }
    if (last && this.#whole < this.#end) {
      const rest = counted(this.#end - this.#whole, "byte");
      this.notify?.(this.name, `${rest} behind the end of its gzip data, at byte ${this.#whole}, are not gzip and were left out`);
    }
    return this.#output.take();
  }
}

/**
 * Unpacks gzip, of one member or several. What follows the last of them and is none is left out.
 *
 * @param name of the file, for messages
 * @param notify is told of bytes that were left out
 * @throws {DataError} where it is not gzip, is damaged or cut off (with the offset), or gives more than `limit` bytes
 */
export function gunzip(bytes: Uint8Array, name: string, limit = UNPACKED_LIMIT, notify?: Notify): Uint8Array<ArrayBuffer> {
  expect("Cannot unpack", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const reader = new GzipReader(name, limit, notify), parts: Uint8Array[] = [];
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
export async function* gunzipPieces(bytes: Bytes, name: string, limit = Infinity, notify?: Notify): AsyncGenerator<Uint8Array> {
  const reader = new GzipReader(name, limit, notify), source = new ByteReader(bytes, name);
  for (let last = false; !last;) {
    const piece = await source.upTo(PIECE);
    last = (await source.peek(1)).length === 0;
    yield* reader.push(piece, last);
  }
}

/** One file in a tar archive, or what is none. */
export interface TarFile {
  /** Path within the archive, as the archive says it: not to be used as a path. */
  readonly name: string;
  /** Bytes it has. */
  readonly size: number;
  /** What it is, where it is no file: a link or a device. */
  readonly other?: string;
  /** Its bytes, to be read before the next file is asked for. */
  readonly data: AsyncGenerator<Uint8Array>;
}

/** What tar archives hold without bytes beside folders, by the type in the header. Unknown types are files, as POSIX wants it. */
const BODILESS: Readonly<Record<string, string>> = { 1: "a link", 2: "a link", 3: "a device", 4: "a device", 6: "a pipe", V: "a label" };

/** Bytes of a header. */
const BLOCK = 512;

/** Most bytes of a header's extension: a path and a few numbers. */
const EXTENSION_LIMIT = 2 ** 20;

/** A number of a header: octal digits, or where the first bit is set big-endian bytes. */
function tarNumber(field: Uint8Array): number {
  if (field[0] & 0x80) return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, field[0] & 0x7f);
  const text = tarText(field).trim();
  return text === "" ? 0 : /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
}

const tarText = (field: Uint8Array) => new TextDecoder().decode(field).replace(/\0.*$/s, "");

/** What of a pax header is used. */
const PAX_KEYS = ["path", "size", "GNU.sparse.major"];

/** The records "length key=value\n" of a pax header that are used. */
function paxRecords(bytes: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at), length = space < 0 ? NaN : Number(tarText(bytes.subarray(at, space)));
    if (!Number.isInteger(length) || length <= space - at || at + length > bytes.length) break;
    const [, key, value] = /^([^=]*)=(.*)\n$/s.exec(new TextDecoder().decode(bytes.subarray(space + 1, at + length))) ?? [];
    if (PAX_KEYS.includes(key)) records.set(key, value);
    at += length;
  }
  return records;
}

/**
 * The files in a tar archive as its bytes come, folders left out: of v7, ustar, pax and GNU. Zeros behind its end belong to it; what else
 * is there is left out.
 *
 * @param name of the file, for messages
 * @param notify is told of bytes that were left out
 * @throws {DataError} where it is damaged or cut off, with the offset
 */
export async function* tarFiles(bytes: Bytes, name: string, notify?: Notify): AsyncGenerator<TarFile> {
  const source = new ByteReader(bytes, name), everywhere = new Map<string, string>();
  let inside = "", next = new Map<string, string>();
  const fail = (what: string): never => {
    throw new DataError(`Cannot unpack ${name}: damaged, ${what}${inside && ` behind ${excerpt(inside)}`}`);
  };
  const zeros = (block: Uint8Array) => block.every((byte) => byte === 0);
  async function* body(size: number, what: string): AsyncGenerator<Uint8Array> {
    for (const from = source.offset; source.offset < from + size;) {
      const piece = await source.some(from + size - source.offset);
      if (piece.length === 0) {
        throw new DataError(
          `Cannot read ${name}: cut short, ${what} at byte ${from} has ${size} bytes, the file ends after ${source.offset - from} of them`,
        );
      }
      yield piece;
    }
  }
  try {
    for (;;) {
      const at = source.offset, header = await source.read(BLOCK, "a header of a tar archive");
      if (zeros(header)) {
        if (!zeros(await source.read(BLOCK, "the end of a tar archive"))) fail(`one block of zeros at byte ${at}, its end has two`);
        break;
      }
      const text = (from: number, length: number) => tarText(header.subarray(from, from + length));
      // Of all bytes, its own taken for spaces; old programs took bytes for signed.
      const sums = [0, 1].map((signed) =>
        header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 32 : signed ? byte << 24 >> 24 : byte), 0)
      );
      const sum = tarNumber(header.subarray(148, 156));
      if (!sums.includes(sum)) fail(`the header at byte ${at} has the sum ${sums[0]}, it says ${sum}`);
      const type = String.fromCharCode(header[156]), own = tarNumber(header.subarray(124, 136));
      const extension = "xgLK".includes(type), records = new Map([...everywhere, ...next]);
      const size = !extension && records.has("size") ? Number(records.get("size")) : own;
      if (!Number.isSafeInteger(size) || size < 0 || extension && size > EXTENSION_LIMIT) {
        fail(`the header at byte ${at} has a size of ${size}`);
      }
      if (extension) {
        const content = await source.read(size, "a header's extension");
        if (type === "g") paxRecords(content).forEach((value, key) => everywhere.set(key, value));
        else if (type === "L") next.set("path", tarText(content));
        else if (type === "x") next = new Map([...next, ...paxRecords(content)]);
        await source.skip(-size & BLOCK - 1, "padding");
        continue;
      }
      // GNU's own magic has a space where POSIX has a zero, and other fields where POSIX has the path's beginning.
      const prefix = text(257, 6) === "ustar" && header[262] === 0 ? text(345, 155) : "";
      inside = records.get("path") ?? (prefix && `${prefix}/`) + text(0, 100);
      next = new Map();
      const sparse = type === "S" || records.has("GNU.sparse.major"), other = sparse ? "a sparse file" : BODILESS[type];
      const length = BODILESS[type] ? 0 : size, end = source.offset + length, what = `file ${excerpt(inside)}`;
      if (type !== "5" && (other || !inside.endsWith("/"))) yield { name: inside, size: length, other, data: body(length, what) };
      await source.skip(end - source.offset, what);
      await source.skip(-length & BLOCK - 1, "padding");
    }
    const end = source.offset;
    let rest = 0;
    for await (const piece of source.rest()) {
      for (let i = piece.length; rest === 0 && i-- > 0;) if (piece[i] !== 0) rest = source.offset - end;
    }
    if (rest > 0) notify?.(name, `${counted(source.offset - end, "byte")} behind the end of its tar data, at byte ${end}, were left out`);
  } finally {
    await source.close();
  }
}

/** Where a file is in a zip archive. */
export interface ZipPlace {
  /** Path within the archive, as the archive says it: not to be used as a path. */
  readonly name: string;
  /** Bytes unpacked, as the archive says. */
  readonly size: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  /** As the archive says. */
  readonly crc: number;
  /** Where the packed bytes begin in the file. */
  readonly offset: number;
  /** Bytes packed. */
  readonly packedSize: number;
}

/** One file in a zip archive. */
export interface ZipEntry extends ZipPlace {
  /** The packed bytes. */
  readonly packed: Uint8Array;
}

/** Bytes looked through at once for the directory's end. */
const WINDOW = 2 ** 17;

/** Where a zip's directory is. */
interface ZipDirectory {
  readonly at: number;
  readonly count: number;
  /** Where the end record ends, its comment included. */
  readonly end: number;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const u64 = (view: DataView, at: number) => Number(view.getBigUint64(at, true));

/**
 * Reads the directory, whatever follows it, without knowing where the bytes are: asks for parts of the file by beginning and end.
 */
function* readDirectory(size: number, name: string, notify?: Notify): Generator<[number, number], ZipPlace[], Uint8Array> {
  const fail = (what: string): never => {
    throw new DataError(`Cannot unpack ${name}: ${what}`);
  };
  function* part(at: number, length: number, signature: number, what: string): Generator<[number, number], DataView, Uint8Array> {
    const view = at >= 0 && at + length <= size ? viewOf(yield [at, at + length]) : undefined;
    if (view?.getUint32(0, true) !== signature) fail(`damaged, no ${what} at byte ${at} of ${size}`);
    return view!;
  }
  const { at, count, end } = yield* findDirectory(size, name, part);
  if (end < size) notify?.(name, `${counted(size - end, "byte")} behind the end of its zip data, at byte ${end}, were left out`);
  const listed: (Omit<ZipPlace, "offset"> & { readonly local: number })[] = [];
  for (let i = 0, from = at; i < count; i++) {
    const fixed = yield* part(from, 46, 0x02014b50, "directory entry");
    const [flags, method] = [8, 10].map((field) => fixed.getUint16(field, true)), crc = fixed.getUint32(16, true);
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => fixed.getUint16(field, true));
    if (from + 46 + nameLength + extra > size) fail(`damaged, the name of entry ${i + 1} at byte ${from} runs past the end`);
    const more = yield [from + 46, from + 46 + nameLength + extra], entry = new TextDecoder().decode(more.subarray(0, nameLength));
    from += 46 + nameLength + extra + comment;
    if (/[/\\]$/.test(entry)) continue;
    // What does not fit in 32 bits follows, in this order, in an extra field of its own.
    const fields = [24, 20, 42].map((field) => fixed.getUint32(field, true)), long = extraField(more.subarray(nameLength), 1);
    let taken = 0;
    const [unpacked, packedSize, local] = fields.map((field) => {
      if (field !== 0xffffffff || !long || taken + 8 > long.byteLength) return field;
      return u64(long, (taken += 8) - 8);
    });
    if (flags & 1) fail(`${excerpt(entry)} is encrypted; unpack it first`);
    listed.push({ name: entry, size: unpacked, method, crc, packedSize, local });
  }
  const entries: ZipPlace[] = [];
  // Apart from the directory, which is elsewhere: read by turns, 65,537 small files took 50 s.
  for (const { local, ...entry } of listed) {
    const header = yield* part(local, 30, 0x04034b50, `header of ${excerpt(entry.name)}`), { packedSize } = entry;
    const offset = local + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    if (offset + packedSize > size) {
      fail(`damaged, ${excerpt(entry.name)} takes bytes ${offset} to ${offset + packedSize}, the file has ${size}`);
    }
    entries.push({ ...entry, offset });
  }
  // Thousands of entries over the same bytes make a terabyte of a small file.
  let before: ZipPlace | undefined;
  for (const one of entries.toSorted((a, b) => a.offset - b.offset)) {
    const to = before ? before.offset + before.packedSize : 0;
    if (one.offset < to) {
      fail(`damaged, ${excerpt(one.name)} begins at byte ${one.offset}, inside ${excerpt(before!.name)}, which ends at ${to}`);
    }
    before = one;
  }
  return entries;
}

/** The extra field of that number. */
function extraField(extra: Uint8Array, want: number): DataView | undefined {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length;) {
    const id = view.getUint16(at, true), length = view.getUint16(at + 2, true);
    if (id === want && at + 4 + length <= extra.length) return viewOf(extra.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
}

/** Finds the last end record whose directory ends where it begins; failing that, one whose comment ends with the file. */
function* findDirectory(
  size: number,
  name: string,
  part: (at: number, length: number, signature: number, what: string) => Generator<[number, number], DataView, Uint8Array>,
): Generator<[number, number], ZipDirectory, Uint8Array> {
  let lying: ZipDirectory | undefined;
  for (let to = size; to >= 22; to -= WINDOW - 21) {
    const from = Math.max(0, to - WINDOW), window = yield [from, to], view = viewOf(window);
    for (let at = window.lastIndexOf(0x50, window.length - 22); at >= 0; at = at > 0 ? window.lastIndexOf(0x50, at - 1) : -1) {
      if (view.getUint32(at, true) !== 0x06054b50) continue;
      const end = from + at + 22 + view.getUint16(at + 20, true);
      if (end > size) continue;
      let count = view.getUint16(at + 10, true),
        length = view.getUint32(at + 12, true),
        start = view.getUint32(at + 16, true),
        ends = from + at;
      // Any field may be the one that did not fit.
      if (count === 0xffff || length === 0xffffffff || start === 0xffffffff) {
        const locator = from + at >= 20 ? viewOf(yield [from + at - 20, from + at]) : undefined;
        if (locator?.getUint32(0, true) === 0x07064b50) {
          ends = u64(locator, 8);
          const long = yield* part(ends, 56, 0x06064b50, "zip64 directory end");
          [count, length, start] = [32, 40, 48].map((field) => u64(long, field));
        }
      }
      const found = { at: start, count, end };
      if (start + length === ends) return found;
      if (end === size) lying ??= found;
    }
  }
  if (lying) return lying;
  throw new DataError(`Cannot unpack ${name}: no zip directory at its end; it was cut short, or is not a zip archive`);
}

/**
 * The files in a zip archive, folders left out, by its central directory; zip64 is read. What follows the directory is left out.
 *
 * @param name of the file, for messages
 * @param notify is told of bytes that were left out
 * @throws {DataError} where it is not zip or damaged, with the offset
 */
export function zipEntries(bytes: Uint8Array, name: string, notify?: Notify): ZipEntry[] {
  const reading = readDirectory(bytes.length, name, notify);
  let step = reading.next();
  while (!step.done) step = reading.next(bytes.subarray(...step.value));
  return step.value.map((place) => ({ ...place, packed: bytes.subarray(place.offset, place.offset + place.packedSize) }));
}

/** Bytes read ahead of the directory's many small parts. */
const AHEAD = 2 ** 16;

/** {@linkcode zipEntries} of a file that is not in memory, of any size. */
export async function zipPlaces(file: Sliceable, name: string, notify?: Notify): Promise<ZipPlace[]> {
  const reading = readDirectory(file.size, name, notify);
  let step = reading.next(), begin = 0, ahead = new Uint8Array();
  while (!step.done) {
    const [from, to] = step.value;
    if (from < begin || to > begin + ahead.length) {
      try {
        ahead = new Uint8Array(await file.slice(begin = from, Math.min(file.size, Math.max(to, from + AHEAD))).arrayBuffer());
      } catch (error) {
        throw new DataError(`Cannot read ${name}: its source failed at byte ${from}: ${(error as Error).message}`, { cause: error });
      }
      if (ahead.length < to - from) throw new DataError(`Cannot read ${name}: it became shorter than the ${file.size} bytes it had`);
    }
    step = reading.next(ahead.subarray(from - begin, to - begin));
  }
  return step.value;
}

/** Unpacks one file of a zip archive as its bytes come. */
class Unzipper {
  readonly #output: Output;
  readonly #stream: Inflate | undefined;
  #at: number;

  constructor(readonly entry: ZipPlace, name: string, limit: number) {
    this.#output = new Output(`${excerpt(entry.name)} of ${name}`, limit);
    if (entry.method === 8) this.#stream = new Inflate((piece) => this.#output.push(piece));
    this.#at = entry.offset;
    if (entry.method !== 0 && entry.method !== 8) {
      throw new DataError(
        `Cannot unpack ${this.#output.name}: its compression method is ${entry.method}, known are 0 (stored) and 8 (deflate)`,
      );
    }
  }

  push(piece: Uint8Array, last: boolean): Uint8Array[] {
    const { crc, size } = this.entry, stream = this.#stream;
    if (!stream) this.#output.push(piece);
    else feed((part, end) => stream.push(part, end && last), piece, this.#output.name, this.#at);
    this.#at += piece.length;
    // As gzip does, the directory stores 32 bits where it has no more.
    if (last) this.#output.check(crc, size, "the archive's directory");
    return this.#output.take();
  }
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
  return join(new Unzipper(entry, name, limit).push(entry.packed, true));
}

/** Unpacks one file of a zip archive as it is read; nothing is held but a piece. Throws as {@linkcode unzip} does. */
export async function* unzipPieces(entry: ZipPlace, file: Uint8Array | Sliceable, name: string): AsyncGenerator<Uint8Array> {
  const unzipper = new Unzipper(entry, name, Infinity), { offset, packedSize } = entry;
  let left = packedSize;
  for await (const piece of pieces(file, offset, offset + packedSize)) {
    left -= piece.length;
    yield* unzipper.push(piece, left === 0);
  }
  if (left > 0) {
    throw new DataError(`Cannot read ${name}: it ends ${left} bytes before ${excerpt(entry.name)} does; it was changed meanwhile`);
  }
  if (packedSize === 0) yield* unzipper.push(new Uint8Array(), true);
}
