/** Sums, the global norm and clipping in float64. @module */

import { CLEAN_STEPS, type Clip, HYPER, type SquareNorm, type Sum } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** y (+)= scale·Σx */
export function sum(op: Sum, values: Values): void {
  const y = values(op.y), total = values(op.x).reduce((a, b) => a + b, 0) * op.scale;
  y[0] = op.accumulate ? y[0] + total : total;
}

/** y = Σx² over all tensors */
export function squareNorm(op: SquareNorm, values: Values): void {
  values(op.y)[0] = op.xs.reduce((total, t) => total + values(t).reduce((a, x) => a + x * x, 0), 0);
}

/** The factor of the update, 0 where the norm is not finite, the step's constants, the count of skipped steps, the loss scale's next value. */
export function clip(op: Clip, values: Values): void {
  const [square] = values(op.squareNorm), factor = values(op.factor), skipped = values(op.skipped);
  const state = op.lossScale && values(op.lossScale), scale = state ? state[0] : 1;
  const row = Math.min(skipped[0] - values(op.known)[0], op.schedule.shape[0] - 1);
  values(op.hyper).set(values(op.schedule).subarray(row * HYPER, (row + 1) * HYPER));
  if (!Number.isFinite(square)) {
    factor[0] = 0;
    skipped[0]++;
    skipped[1]++;
    state?.set([scale / 2, 0]);
    return;
  }
  factor[0] = (op.maxNorm === 0 ? 1 : Math.min(1, op.maxNorm / (Math.sqrt(square) / scale + 1e-6))) / scale;
  skipped[1] = 0;
  if (state) state.set(state[1] + 1 >= CLEAN_STEPS ? [scale * 2, 0] : [scale, state[1] + 1]);
}
