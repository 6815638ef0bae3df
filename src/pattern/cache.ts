/**
 * What decoding has to remember: for each head the keys that a later position will read again, and no others. A local
 * layer keeps l + 1, a fixed layer its window and c a past window, a strided one all (every residue is read again).
 *
 * Found from the layout alone, so it holds for any causal pattern: a key's slot is given back after the last position
 * that reads it, and the next key takes it.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { buildLayout, type Layout } from "./layout.ts";
import { type AttentionSet, LARGEST, setKey } from "./sets.ts";

/** One part of a set: position i reads the keys numbered `lo[i]` … `hi[i] − 1` in the part's order. */
interface CachedPart {
  readonly lo: Uint32Array;
  readonly hi: Uint32Array;
  /** Slot of each key in the part's order. */
  readonly slots: Uint32Array;
}

/** The schedule of one set. */
interface CachedSet {
  readonly parts: readonly CachedPart[];
  /** Slot of each position's key. */
  readonly slot: Uint32Array;
  /** Slots it takes. */
  readonly slots: number;
  /** Most keys that a position reads. */
  readonly most: number;
}

/** What {@linkcode CachePlan.held} says of a slot that holds nothing yet. */
export const EMPTY_SLOT = 0xffffffff;

/** The cache schedule of one layer's heads: tables of n words per part of each distinct set, made once. */
export class CachePlan {
  readonly #sets: readonly CachedSet[];
  /** Which set each head has. */
  readonly #setOf: readonly number[];
  #words: Uint32Array | undefined;

  private constructor(
    sets: readonly CachedSet[],
    setOf: readonly number[],
    /** Positions. */
    readonly n: number,
    /** The position of each place by which kernels, {@linkcode CachePlan.slot} and {@linkcode CachePlan.reads} find it, where it is another. */
    readonly order?: Uint32Array,
  ) {
    this.#sets = sets;
    this.#setOf = setOf;
    this.slots = Math.max(...sets.map(({ slots }) => slots));
    this.most = Math.max(...sets.map(({ most }) => most));
    this.parts = Math.max(...sets.map(({ parts }) => parts.length));
  }

  /** Slots that every head gets: the most that any needs at once. */
  readonly slots: number;

  /** Most keys that a head reads at a position. */
  readonly most: number;

  /** Most parts that a set has. */
  readonly parts: number;

  /** Heads. */
  get heads(): number {
    return this.#setOf.length;
  }

  /**
   * Plans n positions.
   *
   * @param sets one per head
   * @param order the position of each place, where that is another: see {@linkcode CachePlan.order}
   * @throws {ConfigError} where a set is not causal: decoding reads no later key
   */
  static async create(sets: readonly AttentionSet[], n: number, order?: Uint32Array): Promise<CachePlan> {
    expect("Cannot plan the caches", { sets: [sets, "a list"], heads: [sets?.length, [1, 4096]], n: [n, [1, LARGEST]] });
    const keys = sets.map(setKey), distinct = [...new Set(keys)], made: CachedSet[] = [];
    for (const key of distinct) {
      const set = sets[keys.indexOf(key)];
      if (!set.causal) throw new ConfigError("Cannot decode token by token: the attention is not causal, every token needs the later ones");
      made.push(await planSet(set, n));
    }
    return new CachePlan(made, keys.map((key) => distinct.indexOf(key)), n, order);
  }

  /** The position of place i. */
  #positionOf(h: number, i: number): number {
    expect("Cannot look into the caches", { head: [h, [0, this.heads - 1]], position: [i, [0, this.n - 1]] });
    return this.order ? this.order[i] : i;
  }

  /** Where head h keeps position i. */
  slot(h: number, i: number): number {
    i = this.#positionOf(h, i);
    return this.#sets[this.#setOf[h]].slot[i];
  }

  /** The slots that head h reads at position i, its own key's among them. */
  reads(h: number, i: number): Uint32Array {
    i = this.#positionOf(h, i);
    const { parts } = this.#sets[this.#setOf[h]], into = new Uint32Array(parts.reduce((sum, { lo, hi }) => sum + hi[i] - lo[i], 0));
    let count = 0;
    for (const { lo, hi, slots } of parts) {
      into.set(slots.subarray(lo[i], hi[i]), count);
      count += hi[i] - lo[i];
    }
    return into;
  }

  /** [heads · slots]: the position whose key each slot holds once `count` positions are done, or {@linkcode EMPTY_SLOT}. */
  held(count: number): Uint32Array {
    expect("Cannot look into the caches", { count: [count, [0, this.n]] });
    const held = new Uint32Array(this.heads * this.slots).fill(EMPTY_SLOT);
    for (let h = 0; h < this.heads; h++) {
      for (let i = 0; i < count; i++) held[h * this.slots + this.#sets[this.#setOf[h]].slot[i]] = i;
    }
    return held;
  }

  /**
   * All of it in one array, as kernels read it. For each head a record of 1 + 3 · parts words: where its `slot` begins, and for each
   * part where `lo`, `hi` and `slots` begin; a part that its set has not is empty.
   */
  get words(): Uint32Array {
    if (this.#words) return this.#words;
    const places = new Map<Uint32Array, number>(), { order } = this;
    let top = this.heads * (1 + 3 * this.parts);
    for (const table of this.#sets.flatMap(({ slot, parts }) => [slot, ...parts.flatMap(({ lo, hi, slots }) => [lo, hi, slots])])) {
      if (places.has(table)) continue;
      places.set(table, top);
      top += table.length;
    }
    const records = this.#setOf.flatMap((set) => {
      const { slot, parts } = this.#sets[set];
      const tables = Array.from({ length: this.parts }, (_, at) => parts[at] ?? { lo: slot, hi: slot, slots: parts[0].slots });
      return [slot, ...tables.flatMap(({ lo, hi, slots }) => [lo, hi, slots])].map((table) => places.get(table)!);
    });
    const words = this.#words = new Uint32Array(top);
    words.set(records);
    const byKeys = new Set(this.#sets.flatMap(({ parts }) => parts.map(({ slots }) => slots)));
    for (const [table, at] of places) words.set(order && !byKeys.has(table) ? order.map((position) => table[position]) : table, at);
    return words;
  }
}

async function planSet(set: AttentionSet, n: number): Promise<CachedSet> {
  // One tile: only the order of rows and the intervals are wanted.
  // Which blocks are chosen shows when they are: all keys are kept, and behind them the summaries.
  const isRouted = set.kind === "routed", layout = await buildLayout(isRouted ? { kind: "dense", causal: true } : set, n, { q: n, k: n });
  const slot = new Uint32Array(n), free: number[] = [], { order, starts } = byLastReader(layout, n);
  let slots = 0;
  for (let i = 0; i < n; i++) {
    slot[i] = free.pop() ?? slots++;
    // Only now, so that a position's own key takes no slot that the position still reads.
    for (let at = starts[i]; at < starts[i + 1]; at++) free.push(slot[order[at]]);
  }
  // By keys it stays as it is, whichever order positions are put into.
  const keys = slot.slice(),
    parts = layout.parts.map(({ queryRows, keyRows, lo, hi }): CachedPart => ({
      lo: byRow(lo, queryRows),
      hi: byRow(hi, queryRows),
      slots: keyRows ? keyRows.map((row) => slot[row]) : keys,
    }));
  let most = 0;
  for (let i = 0; i < n; i++) most = Math.max(most, parts.reduce((sum, { lo, hi }) => sum + hi[i] - lo[i], 0));
  return { parts, slot, slots: slots + (isRouted ? Math.ceil(n / set.block) : 0), most };
}

/** Values of queries in a part's order, by row. */
function byRow(values: Uint32Array, rows: Uint32Array | null): Uint32Array {
  if (!rows) return values;
  const placed = new Uint32Array(values.length);
  rows.forEach((row, u) => placed[row] = values[u]);
  return placed;
}

/** Keys sorted by the last position that reads them: those of position i are `order[starts[i]]` … `order[starts[i + 1] − 1]`. */
function byLastReader(layout: Layout, n: number): { order: Uint32Array; starts: Uint32Array } {
  const last = Uint32Array.from({ length: n }, (_, i) => i);
  for (const { queryRows, keyRows, keys, lo, hi } of layout.parts) {
    const rowLo = byRow(lo, queryRows), rowHi = byRow(hi, queryRows);
    // From the last query back, each key takes the first that reaches it; `next` skips keys already taken.
    const next = Uint32Array.from({ length: keys + 1 }, (_, k) => k);
    const find = (k: number) => {
      while (next[k] !== k) k = next[k] = next[next[k]];
      return k;
    };
    for (let row = n - 1; row >= 0; row--) {
      for (let k = find(Math.min(rowLo[row], keys)); k < rowHi[row]; k = find(k)) {
        const key = keyRows ? keyRows[k] : k;
        last[key] = Math.max(last[key], row);
        next[k] = k + 1;
      }
    }
  }
  const starts = new Uint32Array(n + 1), order = new Uint32Array(n);
  for (const row of last) starts[row + 1]++;
  for (let i = 0; i < n; i++) starts[i + 1] += starts[i];
  const free = starts.slice();
  last.forEach((row, key) => order[free[row]++] = key);
  return { order, starts };
}
