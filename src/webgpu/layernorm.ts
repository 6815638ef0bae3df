/**
 * Dispatches of layer norm.
 *
 * @module
 */

import type { LayerNorm, LayerNormBackward } from "../ops.ts";
import { planReduce, stripsOf } from "./linear.ts";
import type { Plan } from "./plan.ts";

/** y, mean, rstd */
export function planLayerNorm(plan: Plan, op: LayerNorm): void {
  const [rows, width] = op.x.shape, { x, gain, bias, y, mean, rstd } = op;
  plan.dispatch({
    kernel: "layernorm",
    values: {},
    bindings: { x, gain, bias, y, mean, rstd },
    params: { rows, width },
    grid: plan.linear(rows, 8),
  });
}

/** dx by rows; dGain and dBias by strips of rows, then over the strips */
export function planLayerNormBackward(plan: Plan, op: LayerNormBackward): void {
  const [rows, width] = op.x.shape, { x, gain, mean, rstd, dy, residual, dx, accumulate } = op;
  plan.dispatch({
    kernel: "layernorm_backward",
    values: { RESIDUAL: !!residual },
    bindings: { x, gain, mean, rstd, dy, residual, dx },
    params: { rows, width },
    grid: plan.linear(rows, 8),
  });
  const { strips, strip } = stripsOf(rows), partials = plan.temporary("layer norm gradients by strip", strips * 2 * width);
  plan.dispatch({
    kernel: "layernorm_backward_columns",
    values: {},
    bindings: { x, mean, rstd, dy, partials },
    params: { rows, width, strip },
    grid: [Math.ceil(width / 32), strips, 1],
  });
  planReduce(plan, { partials, count: strips, stride: 2 * width, offset: 0, y: op.dGain, elements: width, accumulate });
  planReduce(plan, { partials, count: strips, stride: 2 * width, offset: width, y: op.dBias, elements: width, accumulate });
}
