/**
 * Dispatches of layer norm's gradients.
 *
 * @module
 */

import type { LayerNormBackward } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import type { Plan } from "./plan.ts";
import { planReduce, stripsOf } from "./reduce.ts";

/** dx by rows; dGain and dBias by strips of rows, then over the strips */
export function planLayernormBackward(plan: Plan, op: LayerNormBackward): void {
  const { x, gain, mean, rstd, dy, residual, dx, accumulate } = op, storage = storageOf(x), [rows, columns] = x.shape;
  const width = columns / valueWidth(storage);
  plan.dispatch({
    kernel: "layernorm_backward",
    values: { RESIDUAL: !!residual, STORAGE: storage },
    bindings: { x, gain, mean, rstd, dy, residual, dx },
    params: { rows, width },
    grid: plan.linear(rows, 8),
  });
  const { strips, strip } = stripsOf(rows), partials = plan.temporary("layer norm gradients by strip", strips * 2 * columns);
  plan.dispatch({
    kernel: "layernorm_backward_columns",
    values: { STORAGE: storage },
    bindings: { x, mean, rstd, dy, partials },
    params: { rows, width, strip },
    grid: [Math.ceil(width / 32), strips, 1],
  });
  planReduce(plan, { partials, count: strips, stride: 2 * columns, offset: 0, y: op.dGain, elements: columns, accumulate });
  planReduce(plan, { partials, count: strips, stride: 2 * columns, offset: columns, y: op.dBias, elements: columns, accumulate });
}
