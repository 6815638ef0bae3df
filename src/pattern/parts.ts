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
 * or only those with j mod l ∈ [from, to), in order; or as given, ascending.
 */
export type Rows =
  | { readonly kind: "all" }
  | { readonly kind: "residue"; readonly l: number }
  | { readonly kind: "columns"; readonly l: number; readonly from: number; readonly to: number }
  | { readonly kind: "listed"; readonly rows: Uint32Array };

/**
 * The interval of keys of each query, both numbered in the part's order. K is the number of the part's keys, u the query.
 *
 * - `window`: u − back … u + ahead
 * - `segment`: the l keys of u's segment, up to u where causal
 * - `residue`: u's residue class, of it only keys at most `reach` places away, and at least `gap` before u (`side` −1), at least `gap`
 *   after it (+1), or on either side (0)
 * - `summary`: columns of windows before u's own (−1), after it (+1), at or before u itself (`self`), or all (0)
 * - `self`: u alone, only where it is not a column of [from, to)
 * - `listed`: as given
 */
export type Span =
  | { readonly kind: "window"; readonly back: number; readonly ahead: number }
  | { readonly kind: "segment"; readonly l: number; readonly causal: boolean }
  | { readonly kind: "residue"; readonly l: number; readonly side: -1 | 0 | 1; readonly gap: number; readonly reach: number }
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
      return causal ? [residue(set.l, -1, 0, set.within)] : [residue(set.l, 0, 0, set.within)];
    case "strided": {
      const { l, more = [] } = set, strides = [l, ...more];
      // Of its own residue class the window already holds the row itself and its neighbours at distance l, as does the part before where
      // its stride divides this one.
      const others = strides.flatMap((stride, at) => {
        const gap = at === 0 || stride % strides[at - 1] === 0 ? 2 : 1;
        return (causal ? [-1] as const : [-1, 1] as const).map((side) => residue(stride, side, gap, strides[at + 1]));
      });
      return [window(l), ...others];
    }
    case "segment":
      return set.larger ? nested(n, [set.l, ...set.larger], causal, [-1]) : [inOrder({ kind: "segment", l: set.l, causal })];
    case "summary":
    case "fixed": {
      const { l, from, to } = set;
      if (set.kind === "fixed" && set.more) return nested(n, [l, ...set.more], causal, [-1, ...set.more.keys(), set.more.length], set);
      if (set.kind === "summary" && set.larger) {
        return [inOrder({ kind: "window", back: 0, ahead: 0 }), ...nested(n, [l, ...set.larger], causal, [0], set)];
      }
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
      return listed(n, causal, (i) => set.intervals[i]);
  }
}

/** The residue classes mod l, up to `within` away. */
function residue(l: number, side: -1 | 0 | 1, gap: number, within = MOST): Part {
  const rows: Rows = { kind: "residue", l };
  return { queries: rows, keys: rows, span: { kind: "residue", l, side, gap, reach: Math.floor(within / l) } };
}

/**
 * Parts of windows within windows: those of each stride begin anew where one of the next begins.
 *
 * @param levels −1: the query's own window of the first stride; m: the columns of strides[m] in its own window of strides[m + 1], or of
 * all positions, but in other windows of strides[m]
 * @param columns of the first stride; those of the others are as far from their window's end
 */
function nested(n: number, strides: readonly number[], causal: boolean, levels: readonly number[], columns = { from: 0, to: 0 }): Part[] {
  const made: Part[] = [], table = (of: (i: number) => number) => new Uint32Array(n).map((_, i) => of(i));
  let outer = new Uint32Array(n), outerEnd = outer.slice().fill(n);
  for (let m = strides.length - 1; m >= 0; m--) {
    const l = strides[m], begins = outer, ends = outerEnd, past = l - strides[0];
    const start = table((i) => i - (i - begins[i]) % l), end = table((i) => Math.min(ends[i], start[i] + l));
    if (levels.includes(m)) {
      const rows: number[] = [], below = new Uint32Array(n + 1);
      for (let j = 0; j < n; j++) {
        const inside = j - start[j] - past;
        if (inside >= columns.from && inside < columns.to) rows.push(j);
        below[j + 1] = rows.length;
      }
      const keys: Rows = { kind: "listed", rows: Uint32Array.from(rows) };
      const part = (lo: Uint32Array, hi: Uint32Array): Part => ({
        queries: ALL,
        keys,
        span: { kind: "listed", lo: lo.map((row) => below[row]), hi: hi.map((row) => below[row]) },
      });
      if (!causal) made.unshift(part(end, ends));
      made.unshift(part(begins, start));
    }
    if (m === 0 && levels.includes(-1)) {
      made.unshift({ queries: ALL, keys: ALL, span: { kind: "listed", lo: start, hi: causal ? table((i) => i + 1) : end } });
    }
    [outer, outerEnd] = [start, end];
  }
  return made;
}

/** Parts for any set given as intervals of each row; those that touch join. The row's last goes first. */
function listed(n: number, causal: boolean, intervals: (i: number) => IntervalLists[number]): Part[] {
  const made: { lo: Uint32Array; hi: Uint32Array }[] = [];
  for (let i = 0; i < n; i++) {
    const joined: [number, number][] = [];
    for (const [lo, end] of [...intervals(i)].sort(([a], [b]) => a - b)) {
      const hi = Math.min(end, causal ? i + 1 : n), last = joined.at(-1);
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
