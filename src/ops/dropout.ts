/**
 * Dropout: inside an operation, and as one.
 *
 * @module
 */

import { distinct, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** Dropout inside an operation; the mask is {@linkcode ../base/random.ts!dropoutKeeps} of (seeds[0], site, seeds[1] + micro, first + element). */
export interface Dropout {
  /** Probability of dropping, in [0, 1). Kept elements are scaled by 1 / (1 − p). */
  readonly p: number;
  /** Which dropout of the network. */
  readonly site: number;
  /** Micro-batch number within a step. */
  readonly micro: number;
  /** Elements of the whole before the first here, whole rows of them, where only some of its rows are here; 0 where absent. */
  readonly first?: number;
  /** u32 [2]: the run's seed, and the counter of the step's first micro-batch. */
  readonly seeds: Tensor;
}

/** y = x masked and scaled: the backward pass of dropout. */
export interface DropoutOp {
  /** Which operation. */
  readonly op: "dropout";
  /** [rows, d] */
  readonly x: Tensor;
  /** [rows, d]; another tensor than x. */
  readonly y: Tensor;
  /** The mask. */
  readonly dropout: Dropout;
}

/** What {@linkcode DropoutOp} says of itself. */
export const dropout: Descriptor<DropoutOp> = {
  reads: ["x", "dropout.seeds"],
  writes: ["y"],
  activations: ["x", "y"],
  rows: ["x", "y"],
  late: true,
  check(op) {
    matrix(op, op.y, op.x.shape[0], op.x.shape[1]);
    distinct(op, op.y, op.x);
  },
};
