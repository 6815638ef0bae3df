/**
 * gzip, of one member or several.
 *
 * RFC 1952, https://www.rfc-editor.org/rfc/rfc1952; its data are deflate, RFC 1951.
 *
 * @module
 */

import { FlateErrorCode, Gunzip } from "npm:fflate@0.8.3";
import { expect } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import { counted, type Notify } from "./notices.ts";
import { ByteReader, type Bytes, join } from "./reader.ts";
import { feed, Output, PIECE, UNPACKED_LIMIT } from "./unpack.ts";

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
