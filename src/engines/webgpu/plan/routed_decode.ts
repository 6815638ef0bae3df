/**
 * Dispatches of routed attention of one decoded position.
 *
 * @module
 */

import { ShapeError } from "../../../base/errors.ts";
import { type RoutedDecode, size } from "../../../ops/mod.ts";
import { valueWidth } from "../storage.ts";
import type { Plan } from "./plan.ts";

// As wgsl/routed_decode.wgsl is written: the widest value.
const THREADS = 128;

/** Key and value stored, blocks chosen, then attention */
export function planRoutedDecode(plan: Plan, op: RoutedDecode): void {
  const { q, k, v, gates, o, keys, values, choice, position, block, window } = op,
    [batch, heads, slots, d] = keys.shape,
    dv = values.shape[3];
  const [, , blocks, top] = choice.shape, lines = batch * heads, n = slots - blocks;
  const STORAGE = d % 4 === 0 && dv % 4 === 0 ? "f32x4" : "f32", wide = valueWidth(STORAGE), width = d / wide;
  if (dv / wide > THREADS) {
    throw new ShapeError(
      `Cannot plan ${op.op}: heads of v are ${dv} wide, the WebGPU engine has kernels up to ${THREADS * wide}; use more heads`,
    );
  }
  for (const [x, cache] of [[k, keys], [v, values]] as const) {
    plan.dispatch({
      kernel: "routed_decode_store",
      values: {},
      bindings: { x, position, cache },
      params: { count: size(x), width: cache.shape[3], n, slots, block },
      grid: plan.linear(size(x)),
    });
  }
  plan.dispatch({
    kernel: "route",
    values: { STORAGE, DECODE: true },
    bindings: { q, summaries: keys, choice, position },
    params: { units: lines, sequences: batch, heads, n, block, window, blocks, places: blocks, top, width },
    grid: plan.linear(lines, 1),
  });
  plan.dispatch({
    kernel: "routed_decode",
    values: { STORAGE },
    bindings: { q, gates, keys, values, choice, position, o },
    params: {
      ...{ heads, n, slots, block, window, top, branches: op.compressed ? 3 : 2 },
      ...{ width, value_width: dv / wide, scale: 1 / Math.sqrt(d) },
    },
    grid: [lines, 1, 1],
  });
}
