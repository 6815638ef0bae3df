/**
 * zip archives, read by their central directory; zip64 too. Written ones are stored, not packed.
 *
 * PKWARE's APPNOTE, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT: signatures and offsets of fields are those of its section 4.3.
 *
 * @module
 */

import { Inflate } from "npm:fflate@0.8.3";
import { expect } from "../base/check.ts";
import { DataError, excerpt } from "../base/errors.ts";
import { crc32 } from "./crc32.ts";
import { counted, type Notify } from "./notices.ts";
import { join, pieces, type Sliceable } from "./reader.ts";
import { feed, Output, UNPACKED_LIMIT } from "./unpack.ts";

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
  // Apart from the directory, which is elsewhere: read by turns, no read ahead would serve the next one.
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
  expect("Cannot unpack", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
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

/** What the writer knows of a file when its directory is written. */
interface Written {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  readonly at: number;
}

/** The fields that a file's header and its entry in the directory share: deflate's version, UTF-8 names, stored, 1 January 1980. */
function zipFields(view: DataView, at: number, { name, crc, size }: Written): void {
  [20, 0x800, 0, 0, 0x21].forEach((value, i) => view.setUint16(at + 2 * i, value, true));
  [crc, size, size].forEach((value, i) => view.setUint32(at + 10 + 4 * i, value, true));
  view.setUint16(at + 22, name.length, true);
}

/**
 * A zip archive of files as they are, not packed: weights hardly pack.
 *
 * @param files by their paths in the archive
 * @throws {DataError} where it would have 65,535 files or more, or 4 GB, which need zip64
 */
export function* zipChunks(files: ReadonlyMap<string, Uint8Array>): Generator<Uint8Array> {
  expect("Cannot make a zip archive", { files: [files, "a Map"] });
  const written: Written[] = [];
  let at = 0;
  for (const [path, bytes] of files) {
    expect("Cannot make a zip archive", { path: [path, "a string"], bytes: [bytes, "an array of bytes"] });
    const file = { name: new TextEncoder().encode(path), crc: crc32(bytes), size: bytes.length, at }, header = new Uint8Array(30);
    viewOf(header).setUint32(0, 0x04034b50, true);
    zipFields(viewOf(header), 4, file);
    yield* [header, file.name, bytes];
    at += 30 + file.name.length + bytes.length;
    written.push(file);
  }
  const begin = at;
  for (const file of written) {
    const entry = new Uint8Array(46), view = viewOf(entry);
    view.setUint32(0, 0x02014b50, true);
    view.setUint16(4, 20, true);
    zipFields(view, 6, file);
    view.setUint32(42, file.at, true);
    yield* [entry, file.name];
    at += 46 + file.name.length;
  }
  if (written.length >= 0xffff || at >= 0xffffffff) {
    throw new DataError(
      `Cannot make a zip archive of ${written.length} files and ${at} bytes: it holds fewer than 65,535, and less than 4 GB`,
    );
  }
  const end = new Uint8Array(22), view = viewOf(end);
  view.setUint32(0, 0x06054b50, true);
  for (const place of [8, 10]) view.setUint16(place, written.length, true);
  view.setUint32(12, at - begin, true);
  view.setUint32(16, begin, true);
  yield end;
}
