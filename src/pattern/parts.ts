/**
 * A set as a union of disjoint parts, each of them one interval of keys for every query once rows are put into the part's order: what
 * engines compute with.
 *
 * @module
 */

import { MOST } from "../base/check.ts";
import type { AttentionSet, IntervalLists } from "./sets.ts";

/**
 * Which rows a part sees, and in which order: all of them; all, grouped by residue mod l (0, l, 2l, … 1, l + 1, …);
 * or only those with j mod l ∈ [from, to), in order.
 */
export type Rows =
  | { readonly kind: "all" }
  | { readonly kind: "residue"; readonly l: number }
  | { readonly kind: "columns"; readonly l: number; readonly from: number; readonly to: number };

/**
 * The interval of keys of each query, both numbered in the part's order. K is the number of the part's keys, u the query.
 *
 * - `window`: u − back … u + ahead
 * - `segment`: the l keys of u's segment, up to u where causal
 * - `residue`: u's residue class, of it only keys at least `gap` places before u (`side` −1), at least `gap` after it
 *   (+1), or all (0)
 * - `summary`: columns of windows before u's own (−1), after it (+1), at or before u itself (`self`), or all (0)
 * - `self`: u alone, only where it is not a column of [from, to)
 * - `listed`: as given
 */
export type Span =
  | { readonly kind: "window"; readonly back: number; readonly ahead: number }
  | { readonly kind: "segment"; readonly l: number; readonly causal: boolean }
  | { readonly kind: "residue"; readonly l: number; readonly side: -1 | 0 | 1; readonly gap: number }
  | { readonly kind: "summary"; readonly l: number; readonly from: number; readonly to: number; readonly side: -1 | 0 | 1 | "self" }
  | { readonly kind: "self"; readonly l: number; readonly from: number; readonly to: number }
  | { readonly kind: "listed"; readonly lo: Uint32Array; readonly hi: Uint32Array };

/** One part of a set. Queries are all rows, in some order; keys are some of the rows, each at most once. */
export interface Part {
  readonly queries: Rows;
  readonly keys: Rows;
  readonly span: Span;
}

/** All rows, in order. */
const ALL: Rows = { kind: "all" };

/** A set as disjoint parts: every pair of the set is in exactly one part, once. */
export function parts(set: AttentionSet, n: number): Part[] {
  const { causal } = set;
  const inOrder = (span: Span): Part => ({ queries: ALL, keys: ALL, span });
  const window = (l: number) => inOrder({ kind: "window", back: l, ahead: causal ? 0 : l });
  switch (set.kind) {
    case "dense":
      return [window(MOST)];
    case "window":
      return [window(set.l)];
    case "column":
    case "strided": {
      const { l } = set, rows: Rows = { kind: "residue", l };
      const part = (side: -1 | 0 | 1, gap: number): Part => ({ queries: rows, keys: rows, span: { kind: "residue", l, side, gap } });
      if (set.kind === "column") return [causal ? part(-1, 0) : part(0, 0)];
      // Of its own residue class the window already holds the row itself and its neighbours at distance l.
      return [window(l), part(-1, 2), ...causal ? [] : [part(1, 2)]];
    }
    case "segment":
      return [inOrder({ kind: "segment", l: set.l, causal })];
    case "summary":
    case "fixed": {
      const { l, from, to } = set;
      const part = (side: -1 | 0 | 1 | "self"): Part => ({
        queries: ALL,
        keys: { kind: "columns", l, from, to },
        span: { kind: "summary", l, from, to, side },
      });
      if (set.kind === "fixed") return [inOrder({ kind: "segment", l, causal }), part(-1), ...causal ? [] : [part(1)]];
      return [inOrder({ kind: "self", l, from, to }), part(causal ? "self" : 0)];
    }
    case "longformer":
      return listed(n, causal, (i) => {
        if (i < set.globals) return [[0, n]];
        const low = Math.max(0, i - set.l);
        return [[0, Math.min(set.globals, low)], [low, Math.min(n, i + set.l + 1)]];
      });
    case "blocks":
      return listed(n, causal, (i) => set.blocks[Math.floor(i / set.block)].map((k) => [k * set.block, Math.min(n, (k + 1) * set.block)]));
    case "intervals":
      return listed(n, causal, (i) => set.intervals[i], set.keys);
  }
}

/** Parts for any set given as intervals of each row; those that touch join. The row's last goes first. */
function listed(n: number, causal: boolean, intervals: (i: number) => IntervalLists[number], keys = n): Part[] {
  const made: { lo: Uint32Array; hi: Uint32Array }[] = [];
  for (let i = 0; i < n; i++) {
    const joined: [number, number][] = [];
    for (const [lo, end] of [...intervals(i)].sort(([a], [b]) => a - b)) {
      const hi = Math.min(end, causal ? i + 1 : keys), last = joined.at(-1);
      if (hi <= lo) continue;
      if (last && last[1] >= lo) last[1] = Math.max(last[1], hi);
      else joined.push([lo, hi]);
    }
    joined.reverse().forEach(([lo, hi], part) => {
      made[part] ??= { lo: new Uint32Array(n), hi: new Uint32Array(n) };
      made[part].lo[i] = lo;
      made[part].hi[i] = hi;
    });
  }
  return made.map((span) => ({ queries: ALL, keys: ALL, span: { kind: "listed", ...span } }));
}
