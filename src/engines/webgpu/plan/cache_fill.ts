/**
 * Dispatches of filling caches.
 *
 * @module
 */

import { type CacheFill, size } from "../../../ops/mod.ts";
import type { Plan } from "./plan.ts";

/** Slots of keys, then of values, from the positions that they hold */
export function planCacheFill(plan: Plan, op: CacheFill): void {
  const { rows, n } = op, [, heads, slots] = op.keys.shape, sequences = op.k.shape[0] / n;
  for (const [x, cache] of [[op.k, op.keys], [op.v, op.values]] as const) {
    const count = size(cache);
    plan.dispatch({
      kernel: "cache_fill",
      values: {},
      bindings: { x, rows, cache },
      params: { count, lines: heads * slots, heads, slots, width: cache.shape[3], n, sequences },
      grid: plan.linear(count),
    });
  }
}
