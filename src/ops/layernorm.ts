/**
 * Layer norm, and its gradients.
 *
 * @module
 */

import { distinct, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** y = (x − mean) · rstd · gain + bias by row, ε = 1e-5; keeps mean and rstd (1/√(variance + ε)) for the backward pass. */
export interface LayerNorm {
  /** Which operation. */
  readonly op: "layernorm";
  /** [rows, d] */
  readonly x: Tensor;
  /** f32 [d] */
  readonly gain: Tensor;
  /** f32 [d] */
  readonly bias: Tensor;
  /** [rows, d] */
  readonly y: Tensor;
  /** f32 [rows] */
  readonly mean: Tensor;
  /** f32 [rows] */
  readonly rstd: Tensor;
}

/** dx = residual + layer norm's input gradient; dGain, dBias (+)= column sums. */
export interface LayerNormBackward {
  /** Which operation. */
  readonly op: "layernorm_backward";
  /** [rows, d] */
  readonly x: Tensor;
  /** f32 [d] */
  readonly gain: Tensor;
  /** f32 [rows] */
  readonly mean: Tensor;
  /** f32 [rows] */
  readonly rstd: Tensor;
  /** [rows, d] */
  readonly dy: Tensor;
  /** [rows, d]: the gradient that by-passes the norm; absent means 0. */
  readonly residual?: Tensor;
  /** [rows, d]; another tensor than dy and residual. */
  readonly dx: Tensor;
  /** f32 [d] */
  readonly dGain: Tensor;
  /** f32 [d] */
  readonly dBias: Tensor;
  /** Add to dGain and dBias instead of overwriting them. */
  readonly accumulate: boolean;
}

/** ε of {@linkcode LayerNorm}. */
export const LAYERNORM_EPSILON = 1e-5;

/** What {@linkcode LayerNorm} says of itself. */
export const layernorm: Descriptor<LayerNorm> = {
  reads: ["x", "gain", "bias"],
  writes: ["y", "mean", "rstd"],
  activations: ["x", "y"],
  rows: ["x", "y", "mean", "rstd"],
  check(op) {
    const [rows, d] = op.x.shape;
    matrix(op, op.y, rows, d);
    for (const t of [op.gain, op.bias]) holds(op, t, d);
    for (const t of [op.mean, op.rstd]) holds(op, t, rows);
    distinct(op, op.y, op.x);
  },
};

/** What {@linkcode LayerNormBackward} says of itself. */
export const layernormBackward: Descriptor<LayerNormBackward> = {
  reads: ["x", "gain", "mean", "rstd", "dy", "residual"],
  writes: ["dx", "dGain", "dBias"],
  activations: ["x", "dy", "residual", "dx"],
  rows: ["x", "mean", "rstd", "dy", "residual", "dx"],
  late: true,
  check(op) {
    const [rows, d] = op.x.shape;
    for (const t of [op.dy, op.dx, op.residual]) matrix(op, t, rows, d);
    for (const t of [op.gain, op.dGain, op.dBias]) holds(op, t, d);
    for (const t of [op.mean, op.rstd]) holds(op, t, rows);
    distinct(op, op.dx, op.x, op.dy, op.residual);
  },
};
