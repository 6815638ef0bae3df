/**
 * Tokens that stay where they are and are read by range: data that memory does not hold.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import type { Sliceable } from "./reader.ts";

/** A part of a place, each of whose bytes is a token, by `table` where the place has other codes. */
export interface Stretch {
  /** Where its bytes are. */
  readonly place: Sliceable;
  /** The first of them. */
  readonly from: number;
  /** How many. */
  readonly length: number;
  /** The token of each byte, u8 [256]; bytes are tokens without it. */
  readonly table?: Uint8Array;
  /** What the place is called, for messages. */
  readonly name: string;
}

/** Tokens in memory, or in a place. */
export type Tokenful = Uint8Array | Stretch;

/**
 * Tokens of several places, one after another. Nothing is held of them: each {@linkcode TokenRange.read} reads what it answers. A part of
 * them, {@linkcode TokenRange.subarray}, is made without reading.
 */
export class TokenRange {
  /** Tokens in all. */
  readonly length: number;
  readonly #parts: readonly Tokenful[];
  /** Where each part begins, and the end. */
  readonly #begins: Float64Array;

  /**
   * Joins parts, without reading.
   *
   * @param given in order
   */
  constructor(given: readonly (Tokenful | TokenRange)[]) {
    expect("Cannot make a range of tokens", { parts: [given, { each: "an object" }] });
    for (const part of given) {
      if (!(part instanceof TokenRange)) expect("Cannot make a range of tokens", { "length of a part": [part.length, whole(0)] });
    }
    const parts = this.#parts = given.flatMap((part) => part instanceof TokenRange ? part.#parts : [part]).filter(({ length }) =>
      length > 0
    );
    this.#begins = new Float64Array(parts.length + 1);
    parts.forEach(({ length }, at) => this.#begins[at + 1] = this.#begins[at] + length);
    this.length = this.#begins[parts.length];
  }

  /** The part that holds a token. */
  #at(token: number): number {
    let low = 0, high = this.#parts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#begins[middle] <= token) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The parts of tokens `from` to `to`, cut to those. */
  #cut(from: number, to: number): Tokenful[] {
    const cut: Tokenful[] = [];
    for (let at = this.#at(from); from < to; at++) {
      const part = this.#parts[at], first = from - this.#begins[at], end = Math.min(to, this.#begins[at + 1]) - this.#begins[at];
      cut.push(part instanceof Uint8Array ? part.subarray(first, end) : { ...part, from: part.from + first, length: end - first });
      from = this.#begins[at + 1];
    }
    return cut;
  }

  /** Tokens `from` to `to`, the last one not included, still unread. */
  subarray(from = 0, to: number = this.length): TokenRange {
    const [first, end] = this.#within(from, to);
    return new TokenRange(this.#cut(first, end));
  }

  #within(from: number, to: number): [number, number] {
    expect("Cannot take part of the tokens", { from: [from, whole(0)], to: [to, whole(0)] });
    const end = Math.min(to, this.length);
    return [Math.min(from, end), end];
  }

  /**
   * Reads tokens `from` to `to`, the last one not included.
   *
   * @throws {DataError} where a place has fewer bytes than it had
   */
  async read(from = 0, to: number = this.length): Promise<Uint8Array<ArrayBuffer>> {
    const [first, end] = this.#within(from, to), tokens = new Uint8Array(end - first);
    let at = 0;
    for (const part of this.#cut(first, end)) {
      const found = part instanceof Uint8Array ? part : await bytesOf(part);
      tokens.set(found, at);
      at += found.length;
    }
    return tokens;
  }

  /** All tokens, in pieces of at most `most`. */
  async *pieces(most: number = PIECE): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let from = 0; from < this.length; from += most) yield await this.read(from, from + most);
  }
}

/** Tokens of a piece. */
const PIECE = 2 ** 22;

async function bytesOf({ place, from, length, table, name }: Stretch): Promise<Uint8Array> {
  const found = new Uint8Array(await place.slice(from, from + length).arrayBuffer());
  if (found.length < length) {
    throw new DataError(
      `Cannot read ${name}: it has become shorter, of ${length} bytes at byte ${from} there are ${found.length}; ` +
        `restore it, and go on with --resume`,
    );
  }
  return table ? found.map((code) => table[code]) : found;
}

/** Tokens of data, in memory or read by range. */
export type TokenSource = Uint8Array | TokenRange;

/** Tokens `from` to `to` of data, wherever it is. */
export async function readTokens<T extends ArrayLike<number>>(
  tokens: TokenRange | (T & { subarray(from: number, to: number): T }),
  from: number,
  to: number,
): Promise<T | Uint8Array<ArrayBuffer>> {
  return tokens instanceof TokenRange ? await tokens.read(from, to) : tokens.subarray(from, to);
}
