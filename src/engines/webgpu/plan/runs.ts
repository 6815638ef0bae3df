/**
 * Neighbouring tensors as one: an update over a hundred parameters becomes one dispatch where they share a page.
 *
 * @module
 */

import type { Tensor } from "../../../ops/mod.ts";
import { paddedBytes } from "../storage.ts";
import type { Plan } from "./plan.ts";

/** Consecutive positions of parallel lists whose tensors are neighbours in every list. */
export interface Run {
  /** First position. */
  readonly first: number;
  /** Positions. */
  readonly count: number;
  /** Bytes of the tensors with their padding; the same in every list. */
  readonly bytes: number;
}

/** Splits parallel lists of tensors into the longest runs that one binding each can hold. */
export function contiguousRuns(plan: Plan, lists: readonly (readonly Tensor[])[]): Run[] {
  const { place, limits } = plan.context, runs: Run[] = [];
  const follows = (list: readonly Tensor[], at: number) => {
    const before = place(list[at - 1]), here = place(list[at]);
    return before && here && before.buffer === here.buffer && here.offset === before.offset + paddedBytes(list[at - 1]);
  };
  lists[0].forEach((t, at) => {
    const bytes = paddedBytes(t), last = runs.at(-1);
    if (last && last.bytes + bytes <= limits.maxStorageBufferBindingSize && lists.every((list) => follows(list, at))) {
      runs[runs.length - 1] = { ...last, count: last.count + 1, bytes: last.bytes + bytes };
    } else runs.push({ first: at, count: 1, bytes });
  });
  return runs;
}
