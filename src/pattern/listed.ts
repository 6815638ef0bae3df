/**
 * Parts of sets whose intervals are lists: of patterns that few models have, so that pages which sample others do not load it.
 *
 * @module
 */

import type { Part, Rows } from "./part.ts";
import { chosenOf, spreadBlocks } from "./routed.ts";
import type { AttentionSet, IntervalLists } from "./sets.ts";

const ALL: Rows = { kind: "all" };

/** Parts of a set that is lists of blocks or of intervals, or soon made such. */
export function listedParts(set: AttentionSet, n: number): Part[] {
  const { causal } = set;
  switch (set.kind) {
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
    case "routed":
      return listed(n, causal, (i) => [
        [Math.max(0, i - set.window), i + 1],
        ...spreadBlocks(Math.floor(i / set.block), set).map((k): [number, number] => [k * set.block, (k + 1) * set.block]),
      ]);
    case "chosen": {
      const { block, top_k } = set, lo = new Uint32Array(n).map((_, i) => Math.floor(i / block) * top_k * block);
      return [{
        queries: ALL,
        keys: ALL,
        span: { kind: "listed", lo, hi: lo.map((first, i) => first + chosenOf(Math.floor(i / block), set) * block) },
      }];
    }
    case "past": {
      const lo = new Uint32Array(n);
      return [{ queries: ALL, keys: ALL, span: { kind: "listed", lo, hi: lo.map((_, i) => Math.floor(i / set.block)) } }];
    }
    default:
      return [];
  }
}

/** Parts of factors of more than one stride. */
export function nestedParts(set: AttentionSet, n: number): Part[] {
  const { causal } = set;
  if (set.kind === "segment") return nested(n, [set.l, ...set.larger!], causal, [-1]);
  if (set.kind === "fixed") return nested(n, [set.l, ...set.more!], causal, [-1, ...set.more!.keys(), set.more!.length], set);
  if (set.kind !== "summary") return [];
  const self: Part = { queries: ALL, keys: ALL, span: { kind: "window", back: 0, ahead: 0 } };
  return [self, ...nested(n, [set.l, ...set.larger!], causal, [0], set)];
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
