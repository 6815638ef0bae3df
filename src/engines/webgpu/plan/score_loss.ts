/**
 * Dispatch of the loss of one number per row.
 *
 * @module
 */

import type { ScoreLoss } from "../../../ops/mod.ts";
import type { Plan } from "./plan.ts";

/** losses and, where wanted, dX; a row of one number is kept in f32 whatever its type */
export function planScoreLoss(plan: Plan, op: ScoreLoss): void {
  const [count] = op.x.shape;
  plan.dispatch({
    kernel: "score_loss",
    values: { SQUARED: op.kind === "squared", GRADIENT: !!op.dX, LOSS_SCALE: !!op.lossScale },
    bindings: { x: op.x, targets: op.targets, weights: op.weights, losses: op.losses, gradient: op.dX, loss_scale: op.lossScale },
    params: { count, scale: op.scale },
    grid: plan.linear(count),
  });
}
