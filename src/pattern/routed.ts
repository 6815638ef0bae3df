/**
 * Routed attention: sizes that hold whichever blocks are chosen.
 *
 * @module
 */

/** What is said of a routed attention. */
export interface Routing {
  /** Positions of a block, of queries and of keys. */
  readonly block: number;
  /** Most blocks that a block of queries chooses. */
  readonly top_k: number;
  /** The farthest key of the window beside them, at least `block`. */
  readonly window: number;
}

/** What a choice holds where a block of queries chooses fewer: no block. */
export const NO_BLOCK = 0xffffffff;

/** Blocks of n positions, the last of them perhaps of fewer. */
export const blocksIn = (n: number, block: number): number => Math.ceil(n / block);

/** Blocks that block j of queries chooses from: the first so many, which lie before it, and not whole in the window of all its queries. */
export const offered = (j: number, { block, window }: Pick<Routing, "block" | "window">): number =>
  Math.max(0, Math.min(j, Math.ceil(((j + 1) * block - 1 - window) / block)));

/** Blocks that it chooses. */
export const chosenOf = (j: number, routing: Routing): number => Math.min(routing.top_k, offered(j, routing));

/** Blocks evenly spread over those it chooses from: an example of a choice, ascending. */
export function spreadBlocks(j: number, routing: Routing): number[] {
  const from = offered(j, routing), count = chosenOf(j, routing);
  return Array.from({ length: count }, (_, at) => Math.floor((2 * at + 1) * from / (2 * count)));
}

/** The `top` blocks of the largest scores, of equal ones the lower; ascending, {@linkcode NO_BLOCK} where there are fewer. */
export function bestBlocks(scores: readonly number[], top: number): number[] {
  const chosen = scores.map((_, k) => k).sort((a, b) => scores[b] - scores[a] || a - b).slice(0, top).sort((a, b) => a - b);
  return Array.from({ length: top }, (_, r) => chosen[r] ?? NO_BLOCK);
}
