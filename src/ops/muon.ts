/**
 * Muon: momentum whose singular values are brought near 1.
 *
 * @module
 */

import { holds, matrix } from "./check.ts";
import { HYPER } from "./norm.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Muon for matrices [out, in] of any shapes; does nothing where factor is 0. With g = grad · factor:
 * m ← μ·m + g; u = g + μ·m; X = u/(‖u‖_F + 1e-7), transposed where it has more rows than columns; five times A = X·Xᵀ,
 * X ← a·X + (b·A + c·A·A)·X with {@linkcode ./newton_schulz.ts!NEWTON_SCHULZ}; transposed back; p ← p − η·(√max(1, out/in)·X + wd·p), η = hyper[3].
 * Lists are parallel.
 */
export interface Muon {
  /** Which operation. */
  readonly op: "muon";
  /** f32 [out, in], updated in place */
  readonly params: readonly Tensor[];
  /** f32, multiplied by factor when read */
  readonly grads: readonly Tensor[];
  /** f32 momentum */
  readonly m: readonly Tensor[];
  /** f32 [1] from {@linkcode ./norm.ts!Clip}. */
  readonly factor: Tensor;
  /** f32 [{@linkcode ./norm.ts!HYPER}] from {@linkcode ./norm.ts!Clip}. */
  readonly hyper: Tensor;
  /** μ. */
  readonly momentum: number;
  /** Decoupled decay, times the rate. */
  readonly weightDecay: number;
  /**
   * Of f16, an engine may store X, A and the polynomial so, all elements of which are below 4, where that is faster; by default, and all
   * else always, f32.
   */
  readonly dtype?: "f32" | "f16";
}

/** What {@linkcode Muon} says of itself. */
export const muon: Descriptor<Muon> = {
  reads: ["grads", "factor", "hyper"],
  writes: ["params", "m"],
  activations: [],
  late: true,
  check(op) {
    holds(op, op.hyper, HYPER);
    holds(op, op.factor, 1);
    op.params.forEach((p, i) => {
      for (const t of [p, op.grads[i], op.m[i]]) matrix(op, t ?? p, t && p.shape.length === 2 ? p.shape[0] : -1, p.shape[1]);
    });
  },
};
