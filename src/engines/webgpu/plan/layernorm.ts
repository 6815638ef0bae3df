/**
 * Dispatches of layer norm.
 *
 * @module
 */

import type { LayerNorm } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import type { Plan } from "./plan.ts";

/** y, mean, rstd */
export function planLayernorm(plan: Plan, op: LayerNorm): void {
  const { x, gain, bias, y, mean, rstd } = op, storage = storageOf(x), [rows, columns] = x.shape;
  plan.dispatch({
    kernel: "layernorm",
    values: { STORAGE: storage },
    bindings: { x, gain, bias, y, mean, rstd },
    params: { rows, width: columns / valueWidth(storage) },
    grid: plan.linear(rows, 8),
  });
}
