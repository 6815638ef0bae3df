/**
 * Sums over rows: by strips of rows first, then over the strips.
 *
 * @module
 */

import type { Tensor } from "../../../ops/mod.ts";
import { PLACES, type Plan, THREADS } from "./plan.ts";

/** Strips of rows for a sum over rows: enough of them to fill a GPU, each long enough to be worth a partial. */
export function stripsOf(rows: number): { strips: number; strip: number } {
  const strip = Math.max(32, Math.ceil(rows / PLACES));
  return { strips: Math.ceil(rows / strip), strip };
}

/** y[i] (+)= Σ partials[s·stride + offset + i] */
export function planReduce(
  plan: Plan,
  { partials, count, stride, offset, y, elements, accumulate }: {
    partials: Tensor;
    count: number;
    stride: number;
    offset: number;
    y: Tensor;
    elements: number;
    accumulate: boolean;
  },
): void {
  // Many partials are of narrow sums, whose columns alone would not fill a GPU.
  const LANES = count >= 64 ? 32 : count >= 16 ? 8 : 1;
  plan.dispatch({
    kernel: "reduce_partials",
    values: { ACCUMULATE: accumulate, LANES },
    bindings: { partials, y },
    params: { count: elements, partials: count, stride, offset },
    grid: plan.linear(elements, THREADS / LANES),
  });
}
