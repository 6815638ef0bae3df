/**
 * Softmax cross-entropy, and its gradient.
 *
 * @module
 */

import { holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** The target of a row that counts for nothing: its loss is 0, and so is its gradient. So is any that is not below the vocabulary's size. */
export const NO_TARGET: number = 0xffffffff;

/** losses[r] = −ln softmax(logits[r])[targets[r]]; dLogits = (softmax − onehot) · scale; both 0 where there is {@linkcode NO_TARGET}. */
export interface CrossEntropy {
  /** Which operation. */
  readonly op: "cross_entropy";
  /** [rows, vocabulary] */
  readonly logits: Tensor;
  /** u32 [rows] */
  readonly targets: Tensor;
  /** f32 [rows], nats */
  readonly losses: Tensor;
  /** [rows, vocabulary]; absent when only the loss is wanted. */
  readonly dLogits?: Tensor;
  /** 1 / (rows · micro-batches) when training. */
  readonly scale: number;
  /** f32 [2], see {@linkcode ./norm.ts!Clip}: dLogits is also multiplied by lossScale[0]. */
  readonly lossScale?: Tensor;
}

/** What {@linkcode CrossEntropy} says of itself. */
export const crossEntropy: Descriptor<CrossEntropy> = {
  reads: ["logits", "targets", "lossScale"],
  writes: ["losses", "dLogits"],
  activations: ["logits", "dLogits"],
  rows: ["logits", "targets", "losses", "dLogits"],
  late: true,
  check(op) {
    const [rows, vocabulary] = op.logits.shape;
    holds(op, op.targets, rows, "u32");
    holds(op, op.losses, rows);
    holds(op, op.lossScale, 2);
    matrix(op, op.dLogits, rows, vocabulary);
  },
};
