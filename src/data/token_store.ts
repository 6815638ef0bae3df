/**
 * Where tokens go that had to be unpacked or decoded and that memory is not to hold.
 *
 * @module
 */

import type { Sliceable } from "./reader.ts";
import type { Stretch, Tokenful } from "./token_range.ts";

/** A place that grows, and can be read at any place of what it has. */
export interface TokenStore {
  /** Writes at its end. */
  write(bytes: Uint8Array): void | Promise<void>;
  /** What was written so far, to be read while more is. */
  readonly place: Sliceable;
  /** Where it is, for messages. */
  readonly name: string;
}

/** Tokens held in memory up to a limit, in a store beyond it. */
export class Holder {
  #held = 0;
  #written = 0;

  /**
   * Holds nothing yet.
   *
   * @param most tokens in memory
   */
  constructor(readonly most: number, readonly store?: TokenStore) {}

  /** Tokens that the store has. */
  get written(): number {
    return this.#written;
  }

  /** Whether there is room for so many more. */
  fits(length: number): boolean {
    return this.#held + length <= this.most;
  }

  /** Tokens as they are to be kept; undefined where they do not fit and there is no store. */
  async take(tokens: Uint8Array): Promise<Tokenful | undefined> {
    if (this.fits(tokens.length)) {
      this.#held += tokens.length;
      return tokens;
    }
    return await this.put(tokens);
  }

  /** Tokens put into the store; undefined where there is none. */
  async put(tokens: Uint8Array): Promise<Stretch | undefined> {
    if (!this.store) return undefined;
    const from = this.#written, { place, name } = this.store;
    await this.store.write(tokens);
    this.#written += tokens.length;
    return { place, from, length: tokens.length, name };
  }
}

/** Adds tokens to others: a stretch that goes on where the last one ends becomes part of it. */
export function append(parts: Tokenful[], part: Tokenful): void {
  const last = parts.at(-1);
  if (isStretch(part) && last && isStretch(last) && last.place === part.place && last.from + last.length === part.from && !part.table) {
    parts[parts.length - 1] = { ...last, length: last.length + part.length };
  } else parts.push(part);
}

/** Whether tokens are in a place. */
export const isStretch = (part: Tokenful): part is Stretch => !(part instanceof Uint8Array);
