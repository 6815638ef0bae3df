/**
 * Which pairs a set holds, one pair at a time: the oracle of layouts and kernels.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { checkSet } from "./check_set.ts";
import { chosenOf, spreadBlocks } from "./routed.ts";
import type { AttentionSet } from "./sets.ts";

const checked = new WeakSet<AttentionSet>();

/** Where the window of the first of these strides begins that i is in; windows begin anew where one of the next stride begins. */
function startOf(i: number, [l, ...larger]: readonly number[]): number {
  return l === undefined ? 0 : i - (i - startOf(i, larger)) % l;
}

const isSame = (i: number, j: number, strides: readonly number[]) => startOf(i, strides) === startOf(j, strides);

/**
 * Whether query i attends to key j: the definition every layout and kernel is held against.
 *
 * @throws {ConfigError} where the set is none, or a position
 */
export function attends(set: AttentionSet, i: number, j: number): boolean {
  // Asked for n² pairs: what is right costs little.
  if (!checked.has(set)) {
    checkSet(set);
    checked.add(set);
  }
  if (!(i >= 0 && j >= 0 && i % 1 === 0 && j % 1 === 0) || i > MOST || j > MOST || typeof i !== "number" || typeof j !== "number") {
    expect("Cannot look up a pair", { query: [i, [0, MOST]], key: [j, [0, MOST]] });
  }
  if (set.causal && j > i) return false;
  switch (set.kind) {
    case "dense":
      return true;
    case "window":
      return Math.abs(i - j) <= set.l;
    case "column":
      return (i - j) % set.l === 0 && Math.abs(i - j) <= (set.within ?? MOST);
    case "strided": {
      const strides = [set.l, ...set.more ?? []], far = Math.abs(i - j);
      return far <= set.l || strides.some((l, at) => far % l === 0 && far <= (strides[at + 1] ?? MOST));
    }
    case "segment":
      return isSame(i, j, [set.l, ...set.larger ?? []]);
    case "summary": {
      const { l, from, to, larger } = set, strides = [l, ...larger ?? []], inside = j - startOf(j, strides);
      return i === j || (inside >= from && inside < to && (!larger || (!isSame(i, j, strides) && isSame(i, j, larger))));
    }
    case "fixed": {
      const { l, from, to, more = [] } = set, strides = [l, ...more];
      return isSame(i, j, strides) || strides.some((stride, at) => {
        const inside = j - startOf(j, strides.slice(at)) - (stride - l);
        return inside >= from && inside < to && !isSame(i, j, strides.slice(at)) && isSame(i, j, strides.slice(at + 1));
      });
    }
    case "longformer":
      return Math.abs(i - j) <= set.l || j < set.globals || i < set.globals;
    case "blocks":
      return !!set.blocks[Math.floor(i / set.block)]?.includes(Math.floor(j / set.block));
    case "routed":
      return i - j <= set.window || spreadBlocks(Math.floor(i / set.block), set).includes(Math.floor(j / set.block));
    case "chosen": {
      const own = Math.floor(i / set.block), first = own * set.top_k;
      return Math.floor(j / set.block) >= first && Math.floor(j / set.block) < first + chosenOf(own, set);
    }
    case "past":
      return j < Math.floor(i / set.block);
    case "intervals":
      return !!set.intervals[i]?.some(([first, end]) => first <= j && j < end);
  }
}
