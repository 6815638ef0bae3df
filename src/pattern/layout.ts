/**
 * Block lists: for each tile of queries the tiles of keys that hold at least one pair of the set, and the transpose
 * that the backward pass needs. Built in WASM (`asm/layout.ts`), in time and memory proportional to the tiles listed.
 *
 * @module
 */

import { type AttentionSet, checkSet, type Part, parts, type Rows, type Span } from "./sets.ts";
import { instantiateKernels } from "../base/kernels.ts";
import { OutOfMemoryError } from "../base/errors.ts";
import { expect } from "../base/check.ts";

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
  /** Positions. */
  readonly n: number;
  /** Queries a tile. */
  readonly tileQ: number;
  /** Keys a tile. */
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

const BUILDING = "Cannot build the layout", LIMIT = [1, 2 ** 24] as const;

const SIDE = { "-1": -1, "0": 0, "1": 1, "self": 2 } as const;

/** Working memory of one layout: a bump allocator over the kernels' memory. Addresses stay below 2³² (4 GiB). */
class Arena {
  #top: number;

  constructor(readonly memory: WebAssembly.Memory) {
    this.#top = 1024;
  }

  /** Room for `count` u32. */
  take(count: number): number {
    const at = this.#top, end = at + count * 4, have = this.memory.buffer.byteLength;
    if (end > have) {
      try {
        this.memory.grow(Math.ceil((end - have) / 65536));
      } catch {
        throw new OutOfMemoryError(
          `Cannot build the layout: its tile lists need more than ${Math.round(end / 2 ** 20)} MiB, WASM memory stops at 4096 MiB; ` +
            `use larger tiles, a sparser pattern or a shorter context`,
        );
      }
    }
    this.#top = end;
    return at;
  }

  /** A copy of `count` u32 at `at`, outside WASM memory. */
  copy(at: number, count: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, at, count).slice();
  }

  set(at: number, values: Uint32Array): void {
    new Uint32Array(this.memory.buffer, at, values.length).set(values);
  }
}

/**
 * Builds the tile lists of a set.
 *
 * @param set the set of one head
 * @param n positions
 * @param tile queries and keys a tile; each engine chooses its own
 * @throws {ConfigError} where set, n or tile are out of range
 * @throws {OutOfMemoryError} where the lists do not fit in 4 GiB (n = 1,048,576 dense in tiles of 16, for example)
 */
export async function buildLayout(set: AttentionSet, n: number, tile: { q: number; k: number }): Promise<Layout> {
  expect(BUILDING, { tile: [tile, "an object"], "tile.q": [tile?.q, LIMIT], "tile.k": [tile?.k, LIMIT] });
  const { arena, kernels, each } = await spans(set, n), queryTiles = Math.ceil(n / tile.q);
  let pairs = 0, tiles = 0;
  const made = each(({ queries, keys, lo, hi }): LayoutPart => {
    const forward = (starts: number, list: number) => kernels.forwardTiles(n, keys.count, tile.q, tile.k, lo, hi, starts, list);
    const lists = tileLists(kernels, arena, queryTiles, Math.ceil(keys.count / tile.k), forward);
    pairs += kernels.countPairs(n, lo, hi);
    tiles += lists.forward.list.length;
    return {
      queryRows: queries.map,
      keyRows: keys.map,
      queries: n,
      keys: keys.count,
      lo: arena.copy(lo, n),
      hi: arena.copy(hi, n),
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
 * @param tile queries and keys a tile
 * @throws {OutOfMemoryError} where n² bits do not fit in 4 GiB
 */
export async function buildInOrder(set: AttentionSet, n: number, tile: { q: number; k: number }): Promise<{ parts: InOrderPart[] }> {
  const { arena, kernels, each } = await spans(set, n), keyTiles = Math.ceil(n / tile.k);
  const words = Math.ceil(keyTiles * tile.k / 32), bits = arena.take(n * words);
  each(({ queries, keys, lo, hi }) => kernels.setBits(n, queries.at, keys.at, lo, hi, words, bits));
  const forward = (starts: number, list: number) => kernels.bitTiles(n, tile.q, tile.k, words, bits, starts, list);
  const lists = tileLists(kernels, arena, Math.ceil(n / tile.q), keyTiles, forward);
  return { parts: [{ queryRows: null, keyRows: null, queries: n, keys: n, words, bits: arena.copy(bits, n * words), ...lists }] };
}

type Kernels = Awaited<ReturnType<typeof instantiateKernels>>;

/** Rows in a part's order: address (0: in order), number, and a copy. */
interface Ordered {
  readonly at: number;
  readonly count: number;
  readonly map: Uint32Array | null;
}

/** Kernels over working memory, and a walk over the parts of a set with the interval of keys of each query. */
async function spans(set: AttentionSet, n: number) {
  checkSet(set);
  expect(BUILDING, { n: [n, LIMIT] });
  const arena = new Arena(new WebAssembly.Memory({ initial: 1, maximum: 65536 }));
  const kernels = await instantiateKernels(arena.memory), lo = arena.take(n), hi = arena.take(n);
  const rowsOf = (rows: Rows): Ordered => {
    if (rows.kind === "all") return { at: 0, count: n, map: null };
    const at = arena.take(n);
    const count = rows.kind === "residue" ? (kernels.residueRows(n, rows.l, at), n) : kernels.columnRows(n, rows.l, rows.from, rows.to, at);
    return { at, count, map: arena.copy(at, count) };
  };
  const each = <T>(make: (part: { queries: Ordered; keys: Ordered; lo: number; hi: number }) => T): T[] =>
    parts(set, n).map((part: Part) => {
      const queries = rowsOf(part.queries);
      const keys = JSON.stringify(part.keys) === JSON.stringify(part.queries) ? queries : rowsOf(part.keys);
      fillSpans(kernels, arena, part.span, n, lo, hi);
      return make({ queries, keys, lo, hi });
    });
  return { arena, kernels, each };
}

/** Tile lists and their transpose; `forward` first counts, then fills. */
function tileLists(
  kernels: Kernels,
  arena: Arena,
  queryTiles: number,
  keyTiles: number,
  forward: (starts: number, list: number) => number,
): { forward: TileList; backward: TileList } {
  const starts = arena.take(queryTiles + 1), count = forward(starts, 0) >>> 0, list = arena.take(count);
  forward(starts, list);
  const backStarts = arena.take(keyTiles + 1), backList = arena.take(count);
  kernels.transposeTiles(queryTiles, keyTiles, starts, list, backStarts, backList);
  return {
    forward: { starts: arena.copy(starts, queryTiles + 1), list: arena.copy(list, count) },
    backward: { starts: arena.copy(backStarts, keyTiles + 1), list: arena.copy(backList, count) },
  };
}

function fillSpans(
  kernels: Kernels,
  arena: Arena,
  span: Span,
  n: number,
  lo: number,
  hi: number,
): void {
  switch (span.kind) {
    case "window":
      kernels.windowSpans(n, span.back, span.ahead, lo, hi);
      break;
    case "segment":
      kernels.segmentSpans(n, span.l, span.causal ? 1 : 0, lo, hi);
      break;
    case "residue":
      kernels.residueSpans(n, span.l, span.side, span.gap, lo, hi);
      break;
    case "summary":
      kernels.summarySpans(n, span.l, span.from, span.to, SIDE[span.side], lo, hi);
      break;
    case "self":
      kernels.selfSpans(n, span.l, span.from, span.to, lo, hi);
      break;
    case "listed":
      arena.set(lo, span.lo);
      arena.set(hi, span.hi);
  }
}
