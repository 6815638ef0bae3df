/**
 * Block lists: for each tile of queries the tiles of keys that hold at least one pair of the set, and the transpose
 * that the backward pass needs. Built in WASM (`asm/layout.ts`), in time and memory proportional to the tiles listed.
 *
 * @module
 */

import { type AttentionSet, type Part, parts, type Rows, type Span } from "./pattern.ts";
import { instantiateKernels } from "./kernels.ts";
import { OutOfMemoryError } from "./errors.ts";

/**
 * For tile t of one side, `list[starts[t]]` … `list[starts[t + 1] − 1]` are the tiles of the other side, ascending:
 * tile · 2, plus 1 where only some pairs of the two tiles belong to the set (then look at lo and hi).
 */
export interface TileList {
  readonly starts: Uint32Array;
  readonly list: Uint32Array;
}

/** One part of a set, in tiles. */
export interface LayoutPart {
  /** Row of each query in the part's order; null where the order is that of the rows. */
  readonly queryRows: Uint32Array | null;
  /** Row of each key in the part's order; null where all rows are keys, in order. */
  readonly keyRows: Uint32Array | null;
  /** Queries, always n. */
  readonly queries: number;
  /** Keys, at most n. */
  readonly keys: number;
  /** For each query in the part's order, its first key … */
  readonly lo: Uint32Array;
  /** … and the one after its last, in the part's order; lo = hi where it has none. */
  readonly hi: Uint32Array;
  /** Query tile → key tiles. */
  readonly forward: TileList;
  /** Key tile → query tiles. */
  readonly backward: TileList;
}

/** A set in tiles: disjoint parts, to be joined by their log-sum-exp. */
export interface Layout {
  readonly n: number;
  /** Queries a tile. */
  readonly tileQ: number;
  /** Keys a tile. */
  readonly tileK: number;
  readonly parts: readonly LayoutPart[];
  /** Pairs (i, j) of the set: what attention costs. */
  readonly pairs: number;
  /** Tiles over all parts. */
  readonly tiles: number;
}
