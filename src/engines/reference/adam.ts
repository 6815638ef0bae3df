/** Adam with decoupled weight decay in float64. @module */

import type { Adam } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** p ← p − lr·(m̂/(√v̂ + ε) + wd·p), Loshchilov and Hutter (arXiv:1711.05101, algorithm 2) */
export function adam(op: Adam, values: Values): void {
  const [factor] = values(op.factor), [lr, correct1, correct2] = values(op.hyper);
  if (factor === 0) return;
  op.params.forEach((t, at) => {
    const p = values(t), g = values(op.grads[at]), m = values(op.m[at]), v = values(op.v[at]);
    const decay = op.decay[at] ? op.weightDecay : 0;
    for (let i = 0; i < p.length; i++) {
      const grad = g[i] * factor;
      m[i] = op.beta1 * m[i] + (1 - op.beta1) * grad;
      v[i] = op.beta2 * v[i] + (1 - op.beta2) * grad * grad;
      p[i] -= lr * (m[i] * correct1 / (Math.sqrt(v[i] * correct2) + op.eps) + decay * p[i]);
    }
  });
}
