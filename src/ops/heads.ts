/**
 * Heads of an attention and their widths.
 *
 * @module
 */

import { type AttentionSet, keysOf } from "../pattern/sets.ts";
import type { Tensor } from "./tensor.ts";

/** What heads are counted by: an attention. */
interface Headed {
  readonly q: Tensor;
  readonly v: Tensor;
  readonly sets: readonly unknown[];
  readonly kvHeads?: number;
}

/**
 * Heads of q and of k and v, how many of the first read one of the second, and the widths of a head of q and k, of v and o.
 */
export function headsOf({ q, v, sets, kvHeads = sets.length }: Headed) {
  const heads = sets.length;
  return { heads, kvHeads, group: heads / kvHeads, d: q.shape[1] / heads, dv: v.shape[1] / kvHeads };
}

/** Positions of a sequence of k and v: those of q, unless the sets are between two sequences. */
export const keyPositions = ({ sets, n }: { readonly sets: readonly AttentionSet[]; readonly n: number }): number =>
  sets.length > 0 ? keysOf(sets[0], n) : n;
