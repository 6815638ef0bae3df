/**
 * The loss of one number per row, and its gradient.
 *
 * @module
 */

import { holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * losses[r] = weights[r] · ℓ(x[r], targets[r]); dX = ∂ losses/∂ x · scale, where ℓ is (x − t)² of `squared`, and of `logistic`
 * −t·ln σ(x) − (1 − t)·ln(1 − σ(x)), σ(x) = 1 / (1 + e⁻ˣ): cross-entropy, t from 0 to 1.
 */
export interface ScoreLoss {
  /** Which operation. */
  readonly op: "score_loss";
  /** Which loss. */
  readonly kind: "squared" | "logistic";
  /** [rows, 1] */
  readonly x: Tensor;
  /** f32 [rows] */
  readonly targets: Tensor;
  /** f32 [rows]: 0 where a row counts for nothing. */
  readonly weights: Tensor;
  /** f32 [rows] */
  readonly losses: Tensor;
  /** [rows, 1]; absent when only the loss is wanted. */
  readonly dX?: Tensor;
  /** 1 / (rows · micro-batches) when training. */
  readonly scale: number;
  /** f32 [2], see {@linkcode ./norm.ts!Clip}: dX is also multiplied by lossScale[0]. */
  readonly lossScale?: Tensor;
}

/** What {@linkcode ScoreLoss} says of itself. */
export const scoreLoss: Descriptor<ScoreLoss> = {
  reads: ["x", "targets", "weights", "lossScale"],
  writes: ["losses", "dX"],
  activations: ["x", "dX"],
  rows: ["x", "targets", "weights", "losses", "dX"],
  late: true,
  check(op) {
    const [rows] = op.x.shape;
    for (const t of [op.x, op.dX]) matrix(op, t, rows, 1);
    for (const t of [op.targets, op.weights, op.losses]) holds(op, t, rows);
    holds(op, op.lossScale, 2);
  },
};
