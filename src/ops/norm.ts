/**
 * Sums, the global norm of gradients, and what follows from it for an update.
 *
 * @module
 */

import { holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** y[0] (+)= scale · Σ x. */
export interface Sum {
  /** Which operation. */
  readonly op: "sum";
  /** f32, any shape */
  readonly x: Tensor;
  /** f32 [1] */
  readonly y: Tensor;
  /** Multiplies the sum. */
  readonly scale: number;
  /** Add to y instead of overwriting it. */
  readonly accumulate: boolean;
}

/** y[0] = Σ over all tensors of x²: the squared global norm. */
export interface SquareNorm {
  /** Which operation. */
  readonly op: "square_norm";
  /** f32 */
  readonly xs: readonly Tensor[];
  /** f32 [1] */
  readonly y: Tensor;
}

/**
 * What the update multiplies gradients by, and the constants of this step: factor = min(1, maxNorm / (norm + 1e-6)) / S, or 1 / S where maxNorm is 0, or
 * 0 where squareNorm is not finite: then `skipped[0]` and `skipped[1]` go up by one; otherwise skipped[1] becomes 0.
 * norm = √squareNorm / S with S the loss scale, 1 where there is none.
 *
 * `lossScale` holds S and the clean steps since it last changed: S ← S/2 after a step that is not finite,
 * S ← 2·S after 1,000 clean ones, the count going back to 0 either way.
 *
 * `hyper` becomes row skipped[0] − known[0] of `schedule` (its last row beyond that), skipped[0] from before this step: a step that is
 * skipped must advance neither the schedule nor a bias correction, and the host learns of it later than the next step begins.
 */
export interface Clip {
  /** Which operation. */
  readonly op: "clip";
  /** f32 [1] */
  readonly squareNorm: Tensor;
  /** f32 [1], out */
  readonly factor: Tensor;
  /** u32 [2], in and out: steps skipped in all, and in a row. */
  readonly skipped: Tensor;
  /** Largest norm; 0 turns clipping off. */
  readonly maxNorm: number;
  /** f32 [2], in and out. */
  readonly lossScale?: Tensor;
  /** f32 [rows, {@linkcode HYPER}]: this step's constants, by the steps skipped since the host last looked. */
  readonly schedule: Tensor;
  /** u32 [1]: steps skipped in all when the host last looked. */
  readonly known: Tensor;
  /** f32 [{@linkcode HYPER}], out. */
  readonly hyper: Tensor;
}

/** Numbers of an update's constants: learning rate, 1/(1 − β₁ᵗ), 1/(1 − β₂ᵗ) with t the update's number from 1, and Muon's rate. */
export const HYPER = 4;

/** Steps without a non-finite gradient after which the loss scale doubles. */
export const CLEAN_STEPS = 1000;

/** What {@linkcode Sum} says of itself. */
export const sum: Descriptor<Sum> = {
  reads: ["x"],
  writes: ["y"],
  activations: [],
  late: true,
  check: (op) => holds(op, op.y, 1),
};

/** What {@linkcode SquareNorm} says of itself. */
export const squareNorm: Descriptor<SquareNorm> = {
  reads: ["xs"],
  writes: ["y"],
  activations: [],
  late: true,
  check: (op) => holds(op, op.y, 1),
};

/** What {@linkcode Clip} says of itself. */
export const clip: Descriptor<Clip> = {
  reads: ["squareNorm", "skipped", "lossScale", "schedule", "known"],
  writes: ["factor", "skipped", "lossScale", "hyper"],
  activations: [],
  late: true,
  check(op) {
    holds(op, op.squareNorm, 1);
    holds(op, op.factor, 1);
    holds(op, op.lossScale, 2);
    matrix(op, op.schedule, op.schedule.shape[0], HYPER);
    holds(op, op.known, 1, "u32");
    holds(op, op.hyper, HYPER);
    holds(op, op.skipped, 2, "u32");
  },
};
