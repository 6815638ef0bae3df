/**
 * Block lists: for each tile of queries the tiles of keys that hold at least one pair of the set, and the transpose
 * that the backward pass needs. Built in WASM (`asm/layout.ts`), in time and memory proportional to the tiles listed.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { Scratch } from "../base/scratch.ts";
import type { Part, Rows, Span } from "./part.ts";
import { parts } from "./parts.ts";
import { type AttentionSet, keysOf, LARGEST, RESOLVED } from "./sets.ts";

/**
 * For tile t of one side, `list[starts[t]]` … `list[starts[t + 1] − 1]` are the tiles of the other side, ascending:
 * tile · 2, plus 1 where only some pairs of the two tiles belong to the set (then look at lo and hi).
 */
export interface TileList {
  /** Where each tile's list begins, [tiles + 1]. */
  readonly starts: Uint32Array;
  /** The lists, one after another. */
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
  /** Keys: at most n, or those of another sequence. */
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
  /** Positions. */
  readonly n: number;
  /** Queries per tile. */
  readonly tileQ: number;
  /** Keys per tile. */
  readonly tileK: number;
  /** Disjoint parts. */
  readonly parts: readonly LayoutPart[];
  /** Pairs (i, j) of the set: what attention costs. */
  readonly pairs: number;
  /** Tiles over all parts. */
  readonly tiles: number;
}

/** A whole set in tiles of rows in their order: each pair a bit, n² of them, so for short sequences only. */
export interface InOrderPart extends Omit<LayoutPart, "lo" | "hi"> {
  /** Words of a query in `bits`: those of whole tiles of keys. */
  readonly words: number;
  /** Of query i, key j is bit j mod 32 of `bits[i · words + j / 32]`, [n · words]. */
  readonly bits: Uint32Array;
}

const BUILDING = "Cannot build the layout", LIMIT = [1, LARGEST] as const;

const SIDE = { "-1": -1, "0": 0, "1": 1, "self": 2 } as const;

/**
 * Builds the tile lists of a set.
 *
 * @param set the set of one head
 * @param n positions
 * @param tile queries and keys per tile; each engine chooses its own
 * @throws {ConfigError} where set, n or tile are out of range
 * @throws {OutOfMemoryError} where the lists do not fit in 4 GiB (n = 1,048,576 dense in tiles of 16, for example)
 */
export async function buildLayout(set: AttentionSet, n: number, tile: { q: number; k: number }): Promise<Layout> {
  expect(BUILDING, { tile: [tile, "an object"], "tile.q": [tile?.q, LIMIT], "tile.k": [tile?.k, LIMIT] });
  const { scratch, each } = await spans(set, n), { kernels } = scratch, queryTiles = Math.ceil(n / tile.q);
  let pairs = 0, tiles = 0;
  const made = each(({ queries, keys, lo, hi }): LayoutPart => {
    const forward = (starts: number, list: number) => kernels.forwardTiles(n, keys.count, tile.q, tile.k, lo, hi, starts, list);
    const lists = tileLists(scratch, queryTiles, Math.ceil(keys.count / tile.k), forward);
    pairs += kernels.countPairs(n, lo, hi);
    tiles += lists.forward.list.length;
    return {
      queryRows: queries.map,
      keyRows: keys.map,
      queries: n,
      keys: keys.count,
      lo: copy(scratch, lo, n),
      hi: copy(scratch, hi, n),
      ...lists,
    };
  });
  return { n, tileQ: tile.q, tileK: tile.k, parts: made, pairs, tiles };
}

/**
 * Builds the tile lists of a set as one part, its rows in order: dense attention with the other pairs left out.
 *
 * @param set the set of one head
 * @param n positions
 * @param tile queries and keys per tile
 * @throws {OutOfMemoryError} where n² bits do not fit in 4 GiB
 */
export async function buildInOrder(set: AttentionSet, n: number, tile: { q: number; k: number }): Promise<{ parts: InOrderPart[] }> {
  const { scratch, each } = await spans(set, n), { kernels } = scratch, all = keysOf(set, n), keyTiles = Math.ceil(all / tile.k);
  const words = Math.ceil(keyTiles * tile.k / 32), bits = scratch.take(4 * n * words);
  each(({ queries, keys, lo, hi }) => kernels.setBits(n, queries.at, keys.at, lo, hi, words, bits));
  const forward = (starts: number, list: number) => kernels.bitTiles(n, all, tile.q, tile.k, words, bits, starts, list);
  const lists = tileLists(scratch, Math.ceil(n / tile.q), keyTiles, forward);
  return { parts: [{ queryRows: null, keyRows: null, queries: n, keys: all, words, bits: copy(scratch, bits, n * words), ...lists }] };
}

/** A copy of `count` u32 at `at`, outside WASM memory. */
const copy = (scratch: Scratch, at: number, count: number): Uint32Array => scratch.u32(at, count).slice();

/** Rows in a part's order: address (0: in order), number, and a copy. */
interface Ordered {
  readonly at: number;
  readonly count: number;
  readonly map: Uint32Array | null;
}

/** Kernels over working memory, and a walk over the parts of a set with the interval of keys of each query. */
async function spans(set: AttentionSet, n: number) {
  expect(BUILDING, { n: [n, LIMIT] });
  // Lists are as many as the positions they were made for.
  if (!RESOLVED.has(set) || set.kind === "blocks") (await import("./check_set.ts")).checkSet(set, n);
  const scratch = await Scratch.create((mib) =>
    `Cannot build the layout: its tile lists need more than ${mib} MiB, WASM memory stops at 4096 MiB; ` +
    `use larger tiles, a sparser pattern or a shorter context`
  );
  const { kernels } = scratch, lo = scratch.take(4 * n), hi = scratch.take(4 * n);
  const rowsOf = (rows: Rows, all = n): Ordered => {
    if (rows.kind === "all") return { at: 0, count: all, map: null };
    const at = scratch.take(4 * n);
    if (rows.kind === "listed") {
      scratch.u32(at, n).set(rows.rows);
      return { at, count: rows.rows.length, map: rows.rows };
    }
    const count = rows.kind === "residue" ? (kernels.residueRows(n, rows.l, at), n) : kernels.columnRows(n, rows.l, rows.from, rows.to, at);
    return { at, count, map: copy(scratch, at, count) };
  };
  const all = await parts(set, n), ofKeys = keysOf(set, n);
  const each = <T>(make: (part: { queries: Ordered; keys: Ordered; lo: number; hi: number }) => T): T[] =>
    all.map((part: Part) => {
      const queries = rowsOf(part.queries);
      const keys = ofKeys === n && part.keys === part.queries ? queries : rowsOf(part.keys, ofKeys);
      fillSpans(scratch, part.span, n, lo, hi);
      return make({ queries, keys, lo, hi });
    });
  return { scratch, each };
}

/** Tile lists and their transpose; `forward` first counts, then fills. */
function tileLists(
  scratch: Scratch,
  queryTiles: number,
  keyTiles: number,
  forward: (starts: number, list: number) => number,
): { forward: TileList; backward: TileList } {
  const { kernels } = scratch,
    starts = scratch.take(4 * (queryTiles + 1)),
    count = forward(starts, 0) >>> 0,
    list = scratch.take(4 * count);
  forward(starts, list);
  const backStarts = scratch.take(4 * (keyTiles + 1)), backList = scratch.take(4 * count);
  kernels.transposeTiles(queryTiles, keyTiles, starts, list, backStarts, backList);
  return {
    forward: { starts: copy(scratch, starts, queryTiles + 1), list: copy(scratch, list, count) },
    backward: { starts: copy(scratch, backStarts, keyTiles + 1), list: copy(scratch, backList, count) },
  };
}

function fillSpans(
  scratch: Scratch,
  span: Span,
  n: number,
  lo: number,
  hi: number,
): void {
  const { kernels } = scratch;
  switch (span.kind) {
    case "window":
      kernels.windowSpans(n, span.back, span.ahead, lo, hi);
      break;
    case "segment":
      kernels.segmentSpans(n, span.l, span.causal ? 1 : 0, lo, hi);
      break;
    case "residue":
      kernels.residueSpans(n, span.l, span.side, span.gap, span.reach, lo, hi);
      break;
    case "summary":
      kernels.summarySpans(n, span.l, span.from, span.to, SIDE[span.side], lo, hi);
      break;
    case "self":
      kernels.selfSpans(n, span.l, span.from, span.to, lo, hi);
      break;
    case "listed":
      scratch.u32(lo, n).set(span.lo);
      scratch.u32(hi, n).set(span.hi);
  }
}
