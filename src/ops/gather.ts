/**
 * Rows picked out of others.
 *
 * @module
 */

import { distinct, fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** What `index` holds for a row that is 0. */
export const NO_ROW = 0xffffffff;

/** y[r] = x[index[r]], or 0 where index[r] is {@linkcode NO_ROW}: its own gradient, with the index turned round, where no row is taken twice. */
export interface Gather {
  /** Which operation. */
  readonly op: "gather";
  /** [from, d] */
  readonly x: Tensor;
  /** u32 [rows]: below `from`, or {@linkcode NO_ROW}. */
  readonly index: Tensor;
  /** [rows, d]; another tensor than x. */
  readonly y: Tensor;
}

/** What {@linkcode Gather} says of itself. */
export const gather: Descriptor<Gather> = {
  reads: ["x", "index"],
  writes: ["y"],
  activations: ["x", "y"],
  late: true,
  check(op) {
    const [rows, d] = op.y.shape;
    if (op.x.dtype !== op.y.dtype) fail(op, "needs x and y of one type", op.x, op.y);
    matrix(op, op.x, op.x.shape[0], d);
    holds(op, op.index, rows, "u32");
    distinct(op, op.y, op.x);
  },
};
