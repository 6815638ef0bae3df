/**
 * Adam with decoupled decay.
 *
 * @module
 */

import { holds } from "./check.ts";
import { HYPER } from "./norm.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/** Adam with decoupled decay; does nothing where factor is 0. Lists are parallel. */
export interface Adam {
  /** Which operation. */
  readonly op: "adam";
  /** f32, updated in place */
  readonly params: readonly Tensor[];
  /** f32, multiplied by factor when read */
  readonly grads: readonly Tensor[];
  /** f32 first moments */
  readonly m: readonly Tensor[];
  /** f32 second moments */
  readonly v: readonly Tensor[];
  /** Which parameters decay (rank 2). */
  readonly decay: readonly boolean[];
  /** f32 [1] from {@linkcode ./norm.ts!Clip}. */
  readonly factor: Tensor;
  /** f32 [{@linkcode ./norm.ts!HYPER}] from {@linkcode ./norm.ts!Clip}. */
  readonly hyper: Tensor;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly eps: number;
  /** Decoupled decay, times the learning rate. */
  readonly weightDecay: number;
}

/** What {@linkcode Adam} says of itself. */
export const adam: Descriptor<Adam> = {
  reads: ["grads", "factor", "hyper"],
  writes: ["params", "m", "v"],
  activations: [],
  late: true,
  check(op) {
    holds(op, op.hyper, HYPER);
    holds(op, op.factor, 1);
    op.params.forEach((p, i) => {
      for (const t of [op.grads[i], op.m[i], op.v[i]]) holds(op, t ?? p, t ? size(p) : -1);
    });
  },
};
