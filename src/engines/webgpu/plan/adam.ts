/**
 * Dispatches of the update.
 *
 * @module
 */

import type { Adam, Tensor } from "../../../ops/mod.ts";
import { ALIGNMENT, paddedBytes } from "../storage.ts";
import type { Plan } from "./plan.ts";
import { contiguousRuns, type Run } from "./runs.ts";

/** One bit per block of 64 elements: whether it decays. */
function decayBits(op: Adam, run: Run): Uint32Array {
  const bits = new Uint32Array(Math.ceil(run.bytes / ALIGNMENT / 32));
  let block = 0;
  for (let at = run.first; at < run.first + run.count; at++) {
    const end = block + paddedBytes(op.params[at]) / ALIGNMENT;
    if (op.decay[at]) { for (let b = block; b < end; b++) bits[b >> 5] |= 1 << (b & 31); }
    block = end;
  }
  return bits;
}

/** Adam with decoupled decay over runs of neighbouring tensors */
export function planAdam(plan: Plan, whole: Adam): void {
  const flat = (list: readonly Tensor[]) => plan.context.bands.flat(list);
  const decay = whole.params.flatMap((t, at) => flat([t]).map(() => whole.decay[at]));
  const op: Adam = { ...whole, params: flat(whole.params), grads: flat(whole.grads), m: flat(whole.m), v: flat(whole.v), decay };
  for (const run of contiguousRuns(plan, [op.params, op.grads, op.m, op.v])) {
    const bind = (list: readonly Tensor[]) => ({ tensor: list[run.first], bytes: run.bytes }), count = run.bytes / 16;
    plan.dispatch({
      kernel: "adam",
      values: {},
      bindings: {
        p: bind(op.params),
        g: bind(op.grads),
        m: bind(op.m),
        v: bind(op.v),
        factor: op.factor,
        hyper: op.hyper,
        decays: plan.constant("which parameters decay", decayBits(op, run)),
      },
      params: {
        count,
        beta1: op.beta1,
        beta2: op.beta2,
        rest1: 1 - op.beta1,
        rest2: 1 - op.beta2,
        eps: op.eps,
        decay: op.weightDecay,
      },
      grid: plan.linear(count),
    });
  }
}
