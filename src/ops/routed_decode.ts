/**
 * Routed attention of one decoded position.
 *
 * @module
 */

import { caches, fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/**
 * One decoded position i of a routed attention, by head. Its key and value go into the caches; at the first position of a block of queries
 * blocks are chosen as {@linkcode ./route.ts!Route} does, and kept for the others; o is what {@linkcode ./mix.ts!Mix} makes of attention over
 * the window, over the chosen blocks and, where `compressed`, over the summaries of the blocks before i's; after the last position of a block
 * the means of its keys and values are its summaries.
 */
export interface RoutedDecode {
  /** Which operation. */
  readonly op: "routed_decode";
  /** [batch, heads · d_qk_head] */
  readonly q: Tensor;
  /** as q */
  readonly k: Tensor;
  /** [batch, heads · d_v_head] */
  readonly v: Tensor;
  /** [batch, branches · heads] */
  readonly gates: Tensor;
  /** as v */
  readonly o: Tensor;
  /** [batch, heads, n + ⌈n / block⌉, d_qk_head], persistent: keys of all positions, then of the summaries. */
  readonly keys: Tensor;
  /** [batch, heads, n + ⌈n / block⌉, d_v_head], persistent */
  readonly values: Tensor;
  /** u32 [batch, heads, ⌈n / block⌉, top_k], persistent */
  readonly choice: Tensor;
  /** u32 [1]: i. */
  readonly position: Tensor;
  /** Positions of a block. */
  readonly block: number;
  /** The farthest key of the window. */
  readonly window: number;
  /** Whether it attends to the summaries too. */
  readonly compressed: boolean;
}

/** What {@linkcode RoutedDecode} says of itself. */
export const routedDecode: Descriptor<RoutedDecode> = {
  reads: ["q", "k", "v", "gates", "position"],
  writes: ["keys", "values", "choice", "o"],
  activations: [],
  late: true,
  apart: true,
  check(op) {
    const [batch, dq] = op.q.shape, [, dv] = op.v.shape, [, heads, blocks] = op.choice.shape;
    matrix(op, op.k, batch, dq);
    for (const t of [op.v, op.o]) matrix(op, t, batch, dv);
    matrix(op, op.gates, batch, heads * (op.compressed ? 3 : 2));
    holds(op, op.choice, size(op.choice), "u32");
    holds(op, op.position, 1, "u32");
    caches(op, batch, dq, dv);
    if (op.keys.shape[1] !== heads || op.keys.shape[2] > blocks * (op.block + 1)) fail(op, "needs places for its choices", op.choice);
  },
};
