/**
 * Filling caches from many positions at once.
 *
 * @module
 */

import { caches, fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** Fills caches from keys and values of many positions at once: slot s of head h gets position `rows[h, s]`. */
export interface CacheFill {
  /** Which operation. */
  readonly op: "cache_fill";
  /** [batch · n, heads · d_qk_head], or [n, …]: then every sequence gets the same. */
  readonly k: Tensor;
  /** [as k, heads · d_v_head] */
  readonly v: Tensor;
  /** [batch, heads, slots, d_qk_head], persistent */
  readonly keys: Tensor;
  /** [batch, heads, slots, d_v_head], persistent */
  readonly values: Tensor;
  /** u32 [heads, slots]: a position below n, or any other number to leave the slot as it is. */
  readonly rows: Tensor;
  /** Positions of a sequence in k and v. */
  readonly n: number;
}

/** What {@linkcode CacheFill} says of itself. */
export const cacheFill: Descriptor<CacheFill> = {
  reads: ["k", "v", "rows"],
  writes: ["keys", "values"],
  activations: [],
  check(op) {
    const [rows, dq] = op.k.shape, [, dv] = op.v.shape, [batch, heads, slots] = op.keys.shape;
    matrix(op, op.v, rows, dv);
    if (rows !== op.n && rows !== batch * op.n) fail(op, `needs ${op.n} rows, or that many a sequence`, op.k);
    holds(op, op.rows, heads * slots, "u32");
    caches(op, batch, dq, dv);
  },
};
