/**
 * Sparse attention, and its gradients.
 *
 * @module
 */

import type { AttentionSet } from "../pattern/sets.ts";
import { fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * o = softmax(q·kᵀ/√d_qk_head over the set)·v, by head. Head h owns columns h·d … (h + 1)·d of each matrix.
 * Only tiles that hold a pair of the set are visited.
 */
export interface Attention {
  /** Which operation. */
  readonly op: "attention";
  /** [batch · n, heads · d_qk_head] */
  readonly q: Tensor;
  /** as q */
  readonly k: Tensor;
  /** [batch · n, heads · d_v_head] */
  readonly v: Tensor;
  /** as v */
  readonly o: Tensor;
  /** f32 [batch, heads, n]: natural log-sum-exp of each row's scaled scores. */
  readonly lse: Tensor;
  /** One set a head. */
  readonly sets: readonly AttentionSet[];
  /** Sequences. */
  readonly batch: number;
  /** Positions of a sequence. */
  readonly n: number;
}

/** dq, dk, dv of {@linkcode Attention}, probabilities recomputed from lse. */
export interface AttentionBackward extends Omit<Attention, "op"> {
  /** Which operation. */
  readonly op: "attention_backward";
  /** as o: the gradient that comes in. */
  readonly dO: Tensor;
  /** f32 [batch, heads, n]: receives rowsum(dO ∘ o). */
  readonly delta: Tensor;
  /** as q */
  readonly dq: Tensor;
  /** as k */
  readonly dk: Tensor;
  /** as v */
  readonly dv: Tensor;
}

function checkForward(op: Attention | AttentionBackward): void {
  const rows = op.batch * op.n, heads = op.sets.length, [, dq] = op.q.shape, [, dv] = op.v.shape;
  for (const t of [op.q, op.k]) matrix(op, t, rows, dq);
  for (const t of [op.v, op.o]) matrix(op, t, rows, dv);
  if (heads === 0 || dq % heads !== 0 || dv % heads !== 0) fail(op, `needs widths divisible by ${heads} heads`, op.q, op.v);
  holds(op, op.lse, op.batch * heads * op.n);
}

/** What {@linkcode Attention} says of itself. */
export const attention: Descriptor<Attention> = {
  reads: ["q", "k", "v"],
  writes: ["o", "lse"],
  activations: ["q", "k", "v", "o"],
  check: checkForward,
};

/** What {@linkcode AttentionBackward} says of itself. */
export const attentionBackward: Descriptor<AttentionBackward> = {
  reads: ["q", "k", "v", "o", "lse", "dO"],
  writes: ["delta", "dq", "dk", "dv"],
  activations: ["q", "k", "v", "o", "dO", "dq", "dk", "dv"],
  late: true,
  check(op) {
    checkForward(op);
    const rows = op.batch * op.n, [, dq] = op.q.shape, [, dv] = op.v.shape;
    for (const t of [op.dq, op.dk]) matrix(op, t, rows, dq);
    for (const t of [op.dO, op.dv]) matrix(op, t, rows, dv);
    holds(op, op.delta, op.batch * op.sets.length * op.n);
  },
};
