/**
 * Attention of one decoded position over caches.
 *
 * @module
 */

import type { CachePlan } from "../pattern/cache.ts";
import { caches, fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * One decoded position i: k and v go into the caches, then q attends to the keys of its set, by head. `plan` says where a
 * position's key goes and which slots are read: a cache keeps only what the pattern reads again.
 */
export interface AttentionDecode {
  /** Which operation. */
  readonly op: "attention_decode";
  /** [batch, heads · d_qk_head] */
  readonly q: Tensor;
  /** as q */
  readonly k: Tensor;
  /** [batch, heads · d_v_head] */
  readonly v: Tensor;
  /** as v */
  readonly o: Tensor;
  /** [batch, heads, slots, d_qk_head], persistent */
  readonly keys: Tensor;
  /** [batch, heads, slots, d_v_head], persistent */
  readonly values: Tensor;
  /** u32 [1]: i. */
  readonly position: Tensor;
  /** The schedule of the heads. */
  readonly plan: CachePlan;
}

/** What {@linkcode AttentionDecode} says of itself. */
export const attentionDecode: Descriptor<AttentionDecode> = {
  reads: ["q", "k", "v", "position"],
  writes: ["keys", "values", "o"],
  activations: [],
  check(op) {
    const [batch, dq] = op.q.shape, [, dv] = op.v.shape, [, heads, slots] = op.keys.shape;
    matrix(op, op.k, batch, dq);
    for (const t of [op.v, op.o]) matrix(op, t, batch, dv);
    if (op.plan.heads !== heads || op.plan.slots !== slots) {
      fail(op, `needs the plan's ${op.plan.heads} heads of ${op.plan.slots} slots`, op.keys);
    }
    holds(op, op.position, 1, "u32");
    caches(op, batch, dq, dv);
  },
};
