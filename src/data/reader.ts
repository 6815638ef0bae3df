/**
 * Bytes read in order from wherever they come, with the offset at hand for messages.
 *
 * @module
 */

import { DataError } from "../base/errors.ts";

/** A file that can be read at any place, as a Blob can: a zip archive's directory is at its end. */
export interface Sliceable {
  /** Bytes it has. */
  readonly size: number;
  /** Bytes `from` to `to`, the last one not included. */
  slice(from: number, to: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** A file's bytes: whole, in pieces as they come, or a place to read them from: of those alone zip archives over 2 GiB are read. */
export type Bytes = Uint8Array | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | Sliceable;

/** A file to read once. */
export interface DataFile {
  /** For messages; its ending is believed only where the content does not say what it is. */
  readonly name: string;
  /** Its bytes. */
  readonly data: Bytes;
  /** Where it is in the folder that was given, if one was: beside others it may be left out, one given by itself is not. */
  readonly path?: string;
  /** Bytes it has, to be said where it is left out. */
  readonly size?: number;
}

/** Most bytes of one file that are held at once: what JavaScript's arrays can hold on any runtime is a little above. */
export const WHOLE_LIMIT = 2 ** 31 - 1;

/** Whether an error needs no words of ours: it has them, or it is an abort, the caller's own. */
export function told(error: unknown): boolean {
  return error instanceof DataError || (error as Error | undefined)?.name === "AbortError";
}

/** Whether bytes can be read at any place. */
export function isSliceable(bytes: Bytes): bytes is Sliceable {
  return !(bytes instanceof Uint8Array) && "slice" in bytes && "size" in bytes;
}

/** Read at once from a place. */
const SLICE = 2 ** 20;

/** The pieces of `bytes`, in order; of those that can be read at any place, the part from `from` to `to`. */
export async function* pieces(bytes: Bytes, from = 0, to = Infinity): AsyncGenerator<Uint8Array> {
  if (bytes instanceof Uint8Array) yield bytes.subarray(from, to);
  else if (isSliceable(bytes)) {
    for (const end = Math.min(to, bytes.size); from < end; from += SLICE) {
      yield new Uint8Array(await bytes.slice(from, Math.min(end, from + SLICE)).arrayBuffer());
    }
  } else if (Symbol.asyncIterator in bytes) yield* bytes;
  else {
    // Safari's streams are not iterable.
    const reader = (bytes as ReadableStream<Uint8Array>).getReader();
    try {
      for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value!;
    } finally {
      await reader.cancel();
    }
  }
}

/** Joins pieces into one array. */
export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Reads a file from its beginning. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #ahead: Uint8Array = new Uint8Array();
  #ended = false;
  #offset = 0;

  constructor(bytes: Bytes, readonly name: string) {
    this.#pieces = pieces(bytes)[Symbol.asyncIterator]();
  }

  /** Bytes read so far: where the next one is in the file. */
  get offset(): number {
    return this.#offset;
  }

  /** What the source fails with says neither whose it is nor where. */
  async #next(): Promise<IteratorResult<Uint8Array>> {
    try {
      return await this.#pieces.next();
    } catch (error) {
      if (told(error)) throw error;
      const at = this.#offset + this.#ahead.length;
      throw new DataError(`Cannot read ${this.name}: its source failed after ${at} bytes: ${(error as Error)?.message}`, { cause: error });
    }
  }

  async #more(): Promise<boolean> {
    while (!this.#ended) {
      const { done, value } = await this.#next();
      if (done) this.#ended = true;
      else if (value.length > 0) {
        this.#ahead = this.#ahead.length === 0 ? value : join([this.#ahead, value]);
        return true;
      }
    }
    return false;
  }

  #take(count: number): Uint8Array {
    const taken = this.#ahead.subarray(0, count);
    this.#ahead = this.#ahead.subarray(count);
    this.#offset += count;
    return taken;
  }

  /** The next `count` bytes without reading them; fewer only where the file ends. */
  async peek(count: number): Promise<Uint8Array> {
    while (this.#ahead.length < count && await this.#more());
    return this.#ahead.subarray(0, count);
  }

  /** The next `count` bytes; fewer only where the file ends. */
  async upTo(count: number): Promise<Uint8Array> {
    return this.#take((await this.peek(count)).length);
  }

  /** Up to `most` bytes, as many as are there; none only at the end. */
  async some(most: number): Promise<Uint8Array> {
    if (this.#ahead.length === 0) await this.#more();
    return this.#take(Math.min(most, this.#ahead.length));
  }

  /**
   * Exactly `count` bytes.
   *
   * @param what they are, for the message
   * @throws {DataError} where the file ends before
   */
  async read(count: number, what: string): Promise<Uint8Array> {
    const found = (await this.peek(count)).length;
    if (found < count) {
      throw new DataError(
        `Cannot read ${this.name}: cut short, ${what} at byte ${this.#offset} has ${count} bytes, the file ends after ${found} of them`,
      );
    }
    return this.#take(count);
  }

  /**
   * Passes over `count` bytes.
   *
   * @throws {DataError} where the file ends before
   */
  async skip(count: number, what: string): Promise<void> {
    const from = this.#offset;
    for (let left = count; left > 0;) {
      const { length } = await this.some(left);
      if (length === 0) {
        throw new DataError(
          `Cannot read ${this.name}: cut short, ${what} at byte ${from} has ${count} bytes, the file ends after ${count - left} of them`,
        );
      }
      left -= length;
    }
  }

  /** Everything that is left, piece by piece. */
  async *rest(): AsyncGenerator<Uint8Array> {
    for (let piece = await this.some(Infinity); piece.length > 0; piece = await this.some(Infinity)) yield piece;
  }

  /** How many bytes are left. They are read. */
  async count(): Promise<number> {
    const from = this.#offset;
    while ((await this.some(Infinity)).length > 0);
    return this.#offset - from;
  }

  /**
   * Everything that is left, in one array.
   *
   * @throws {DataError} where that is more than `limit` bytes
   */
  async whole(limit = WHOLE_LIMIT): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.rest()) {
      length += piece.length;
      if (length > limit) throw new DataError(`Cannot read ${this.name}: it has more than ${limit} bytes; give a part of it`);
      parts.push(piece);
    }
    return parts.length === 1 ? parts[0] : join(parts);
  }

  /** Lets go of the source without reading on. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#pieces.return?.();
  }
}
