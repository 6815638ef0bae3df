/**
 * tar archives, read as their bytes come: v7, ustar, pax and GNU.
 *
 * POSIX.1 pax, “ustar Interchange Format” and “pax Interchange Format”,
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html; GNU's own, https://www.gnu.org/software/tar/manual/html_node/Standard.html.
 *
 * @module
 */

import { DataError, excerpt } from "../base/errors.ts";
import { counted, type Notify } from "./notices.ts";
import { ByteReader, type Bytes } from "./reader.ts";

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
