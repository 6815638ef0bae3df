/**
 * Matrix products with what follows them, and their gradients.
 *
 * @module
 */

import { distinct, holds, matrix, weights } from "./check.ts";
import type { Dropout } from "./dropout.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * z = g(x)·wᵀ + b; y = residual + dropout(f(z)), f the identity or x·sigmoid(1.702x), g the identity or layer norm.
 *
 * The norm is for decoding, where an operation of its own for one row costs as much as the product: it keeps no statistics.
 */
export interface Linear {
  /** Which operation. */
  readonly op: "linear";
  /** [rows, in] */
  readonly x: Tensor;
  /** f32 [in] both: g is layer norm with this gain and bias. */
  readonly norm?: { readonly gain: Tensor; readonly bias: Tensor };
  /** [out, in], f32 or i8. */
  readonly w: Tensor;
  /** f32 [out], where w is i8: what its rows are multiplied by. */
  readonly scale?: Tensor;
  /** f32 [out] */
  readonly b?: Tensor;
  /** [rows, out] */
  readonly y: Tensor;
  /** [rows, out]: receives z, for the backward pass of an activation. */
  readonly pre?: Tensor;
  /** f. */
  readonly activation?: "gelu";
  /** Applied after f, before the residual. */
  readonly dropout?: Dropout;
  /** [rows, out]; another tensor than y. */
  readonly residual?: Tensor;
}

/** dx = residual + (dy·w) ∘ f′(pre), f′ = 1 where `pre` is absent. */
export interface LinearInputGrad {
  /** Which operation. */
  readonly op: "linear_input_grad";
  /** [rows, out] */
  readonly dy: Tensor;
  /** [out, in] */
  readonly w: Tensor;
  /** [rows, in] */
  readonly dx: Tensor;
  /** [rows, in]: z of the layer that made this one's input by gelu. */
  readonly pre?: Tensor;
  /** [rows, in]; another tensor than dx. */
  readonly residual?: Tensor;
}

/** dw (+)= dyᵀ·x; db (+)= column sums of dy. */
export interface LinearWeightGrad {
  /** Which operation. */
  readonly op: "linear_weight_grad";
  /** [rows, out] */
  readonly dy: Tensor;
  /** [rows, in] */
  readonly x: Tensor;
  /** f32 [out, in] */
  readonly dw: Tensor;
  /** f32 [out] */
  readonly db?: Tensor;
  /** Add to dw and db instead of overwriting them. */
  readonly accumulate: boolean;
}

/** Of the activation x·sigmoid(1.702x) (section 5.3). */
export const GELU_SLOPE = 1.702;

/** What {@linkcode Linear} says of itself. */
export const linear: Descriptor<Linear> = {
  reads: ["x", "w", "scale", "b", "residual", "dropout.seeds", "norm.gain", "norm.bias"],
  writes: ["y", "pre"],
  activations: ["x", "y", "pre", "residual"],
  weights: ["w"],
  rows: ["x", "y", "pre", "residual"],
  check(op) {
    const rows = op.x.shape[0], [out, inner] = op.w.shape;
    matrix(op, op.x, rows, inner);
    weights(op, op.w, op.scale);
    for (const t of [op.y, op.pre, op.residual]) matrix(op, t, rows, out);
    for (const t of [op.norm?.gain, op.norm?.bias]) holds(op, t, inner);
    holds(op, op.b, out);
    distinct(op, op.y, op.x, op.residual, op.pre);
  },
};

/** What {@linkcode LinearInputGrad} says of itself. */
export const linearInputGrad: Descriptor<LinearInputGrad> = {
  reads: ["dy", "w", "pre", "residual"],
  writes: ["dx"],
  activations: ["dy", "dx", "pre", "residual"],
  rows: ["dy", "dx", "pre", "residual"],
  late: true,
  check(op) {
    const rows = op.dy.shape[0], [out, inner] = op.w.shape;
    matrix(op, op.dy, rows, out);
    for (const t of [op.dx, op.pre, op.residual]) matrix(op, t, rows, inner);
    distinct(op, op.dx, op.dy, op.residual, op.pre);
  },
};

/** What {@linkcode LinearWeightGrad} says of itself. */
export const linearWeightGrad: Descriptor<LinearWeightGrad> = {
  reads: ["dy", "x"],
  writes: ["dw", "db"],
  activations: ["dy", "x"],
  rows: ["dy", "x"],
  late: true,
  check(op) {
    const [rows, out] = op.dy.shape, inner = op.x.shape[1];
    matrix(op, op.x, rows, inner);
    matrix(op, op.dw, out, inner);
    holds(op, op.db, out);
  },
};
