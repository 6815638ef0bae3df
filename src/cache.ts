/**
 * What decoding has to remember: for each head the keys that a later position will read again, and no others. A local
 * layer keeps l + 1, a fixed layer its window and c a past window, a strided one all (every residue is read again).
 *
 * Found from the layout alone, so it holds for any causal pattern: a key's slot is given back after the last position
 * that reads it, and the next key takes it.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";
import { buildLayout, type Layout } from "./layout.ts";
import { type AttentionSet, setKey } from "./pattern.ts";

/** Reads of one head. */
interface HeadPlan {
  readonly layout: Layout;
  /** Of each part, the place of each row among its queries; null where places are rows. */
  readonly place: readonly (Uint32Array | null)[];
  /** Slot of each position's key. */
  readonly slot: Uint32Array;
}

/** The cache schedule of one layer's heads. */
export class CachePlan {
  readonly #heads: readonly HeadPlan[];

  private constructor(
    heads: readonly HeadPlan[],
    /** Slots that every head gets: the most that any needs at once. */
    readonly slots: number,
  ) {
    this.#heads = heads;
  }

  /**
   * Plans n positions.
   *
   * @param sets one a head
   * @throws {ConfigError} where a set is not causal: decoding reads no later key
   */
  static async create(sets: readonly AttentionSet[], n: number): Promise<CachePlan> {
    const made = new Map<string, { plan: HeadPlan; slots: number }>();
    for (const set of sets) {
      if (!set.causal) throw new ConfigError("Cannot decode token by token: the attention is not causal, every token needs the later ones");
      if (!made.has(setKey(set))) made.set(setKey(set), await planHead(set, n));
    }
    const heads = sets.map((set) => made.get(setKey(set))!);
    return new CachePlan(heads.map(({ plan }) => plan), Math.max(...heads.map(({ slots }) => slots)));
  }

  /** Where head h keeps position i. */
  slot(h: number, i: number): number {
    return this.#heads[h].slot[i];
  }

  /**
   * Writes the slots that head h reads at position i.
   *
   * @returns how many
   */
  reads(h: number, i: number, into: Uint32Array): number {
    const { layout, place, slot } = this.#heads[h];
    let count = 0;
    layout.parts.forEach(({ keyRows, lo, hi }, part) => {
      const u = place[part]?.[i] ?? i;
      for (let key = lo[u]; key < hi[u]; key++) into[count++] = slot[keyRows ? keyRows[key] : key];
    });
    return count;
  }
}

async function planHead(set: AttentionSet, n: number): Promise<{ plan: HeadPlan; slots: number }> {
  const layout = await buildLayout(set, n, { q: 64, k: 64 });
  const place = layout.parts.map(({ queryRows }) => {
    if (!queryRows) return null;
    const places = new Uint32Array(n);
    queryRows.forEach((row, u) => places[row] = u);
    return places;
  });
  const slot = new Uint32Array(n), free: number[] = [], expiring = lastReaders(layout, n);
  let slots = 0;
  for (let i = 0; i < n; i++) {
    slot[i] = free.pop() ?? slots++;
    for (const key of expiring[i]) free.push(slot[key]);
  }
  return { plan: { layout, place, slot }, slots };
}

/** For each position, the keys that no later position reads. */
function lastReaders(layout: Layout, n: number): number[][] {
  const last = Uint32Array.from({ length: n }, (_, i) => i);
  for (const { queryRows, keyRows, keys, lo, hi } of layout.parts) {
    // From the last query in row order back, each key takes the first that reaches it; `next` skips keys already taken.
    const order = queryRows ? Uint32Array.from(queryRows.keys()).sort((a, b) => queryRows[b] - queryRows[a]) : null;
    const next = Uint32Array.from({ length: keys + 1 }, (_, k) => k);
    const find = (k: number) => {
      while (next[k] !== k) k = next[k] = next[next[k]];
      return k;
    };
    for (let at = 0; at < n; at++) {
      const u = order ? order[at] : n - 1 - at, row = queryRows ? queryRows[u] : u;
      for (let k = find(Math.min(lo[u], keys)); k < hi[u]; k = find(k)) {
        const key = keyRows ? keyRows[k] : k;
        last[key] = Math.max(last[key], row);
        next[k] = k + 1;
      }
    }
  }
  const expiring: number[][] = Array.from({ length: n }, () => []);
  last.forEach((row, key) => expiring[row].push(key));
  return expiring;
}
