/**
 * Sparse attention, and its gradients.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { type AttentionSet, keysOf } from "../pattern/sets.ts";
import { fail, holds, matrix } from "./check.ts";
import { headsOf, keyPositions } from "./heads.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** What lse holds for a query that sees no key: so far below any score that it weighs nothing, and finite, so that no difference is NaN. */
export const NO_KEYS: number = -1e30;

/**
 * o = softmax(q·kᵀ/√d_qk_head − slope·|i − j| over the set)·v, by head. Head h owns columns h·d … (h + 1)·d of each matrix.
 * Only tiles that hold a pair of the set are visited. A query that sees no key has o = 0, lse = {@linkcode NO_KEYS} and no gradient.
 *
 * Where the sets are between two sequences (intervals with `keys`: m), k and v have m positions of their own: cross-attention. Everywhere
 * else m = n.
 */
export interface Attention {
  /** Which operation. */
  readonly op: "attention";
  /** [batch · n, heads · d_qk_head] */
  readonly q: Tensor;
  /** [batch · m, kvHeads · d_qk_head] */
  readonly k: Tensor;
  /** [batch · m, kvHeads · d_v_head] */
  readonly v: Tensor;
  /** [batch · n, heads · d_v_head] */
  readonly o: Tensor;
  /** f32 [batch, heads, n]: natural log-sum-exp of each row's scaled scores, the bias by distance among them. */
  readonly lse: Tensor;
  /** One set per head of q. */
  readonly sets: readonly AttentionSet[];
  /**
   * Heads of k and v, a divisor of those of q, which are as many where it is absent: head h of q reads head ⌊h · kvHeads / heads⌋
   * (grouped-query attention, arXiv:2305.13245).
   */
  readonly kvHeads?: number;
  /** ALiBi (arXiv:2108.12409): one per head of q, what a scaled score loses per position between i and j. At least 0. */
  readonly slopes?: readonly number[];
  /** u32 [batch, n, 2]: of its set, query i sees only keys from the first number to before the second. All where absent. */
  readonly spans?: Tensor;
  /** Sequences. */
  readonly batch: number;
  /** Positions of a sequence of q. */
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
  const { batch, n, sets, slopes, spans } = op, rows = batch * n, heads = sets.length, { kvHeads, d, dv } = headsOf(op);
  const whole = Number.isInteger(d) && Number.isInteger(dv);
  if (op.kvHeads !== undefined) expect(`Cannot add ${op.op}`, { kvHeads: [kvHeads, [1, heads]] });
  if (heads === 0 || heads % kvHeads !== 0) fail(op, `needs kvHeads that divide its ${heads} heads, found ${kvHeads}`, op.k);
  if (!whole) fail(op, `needs widths divisible by ${heads} heads of q and ${kvHeads} of v`, op.q, op.v);
  matrix(op, op.q, rows, heads * d);
  const keys = keyPositions(op);
  if (sets.some((set) => keysOf(set, n) !== keys)) fail(op, "needs sets of one number of keys", op.k);
  matrix(op, op.k, batch * keys, kvHeads * d);
  matrix(op, op.v, batch * keys, kvHeads * dv);
  matrix(op, op.o, rows, heads * dv);
  holds(op, op.lse, batch * heads * n);
  if (slopes) {
    expect(`Cannot add ${op.op}`, { slopes: [slopes, { each: { from: 0 }, count: heads, words: `a list of ${heads}, one per head` }] });
  }
  if (spans && (spans.dtype !== "u32" || `${spans.shape}` !== `${[batch, n, 2]}`)) {
    fail(op, `needs spans of u32 [${batch}, ${n}, 2]`, spans);
  }
}

/** What {@linkcode Attention} says of itself. */
export const attention: Descriptor<Attention> = {
  reads: ["q", "k", "v", "spans"],
  writes: ["o", "lse"],
  activations: ["q", "k", "v", "o"],
  check: checkForward,
};

/** What {@linkcode AttentionBackward} says of itself. */
export const attentionBackward: Descriptor<AttentionBackward> = {
  reads: ["q", "k", "v", "spans", "o", "lse", "dO"],
  writes: ["delta", "dq", "dk", "dv"],
  activations: ["q", "k", "v", "o", "dO", "dq", "dk", "dv"],
  late: true,
  check(op) {
    checkForward(op);
    for (const [t, as] of [[op.dq, op.q], [op.dk, op.k], [op.dO, op.o], [op.dv, op.v]]) matrix(op, t, as.shape[0], as.shape[1]);
    holds(op, op.delta, op.batch * op.sets.length * op.n);
  },
};
