/**
 * Windows of a context over sequences that are longer: they overlap, so that what each sees anew has some context before it.
 *
 * @module
 */

/** A window over tokens [from, end), of which those before `first` were in the one before it. */
export interface Window {
  readonly from: number;
  readonly first: number;
  readonly end: number;
}

/** Windows that advance by `room` − `minContext` tokens until all are in one. */
export class Windows {
  /** How many. */
  readonly count: number;
  readonly #advance: number;

  /**
   * Cuts windows.
   *
   * @param tokens in all, at least 1
   * @param room tokens that a window holds
   * @param minContext tokens that each window but the first has again from the one before it, below `room`
   */
  constructor(readonly tokens: number, readonly room: number, readonly minContext: number) {
    this.#advance = room - minContext;
    this.count = 1 + Math.max(0, Math.ceil((tokens - room) / this.#advance));
  }

  /** The window of that number, from 0. */
  at(which: number): Window {
    const from = which * this.#advance;
    return { from, first: which === 0 ? 0 : from + this.minContext, end: Math.min(from + this.room, this.tokens) };
  }
}

/** Fewest positions that a program has which takes many at once. */
const SHORTEST = 16;

/** Positions that a program for `count` of them has: one of few sizes, so that it serves for others too. At most n_ctx. */
export function positionsFor(count: number, n_ctx: number): number {
  return Math.min(n_ctx, Math.max(SHORTEST, 2 ** Math.ceil(Math.log2(count))));
}
