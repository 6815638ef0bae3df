/** Attention of one decoded position in float64. @module */

import type { AttentionDecode } from "../../ops/mod.ts";
import { dot } from "./attention.ts";
import type { Values } from "./values.ts";

/** One position: store its key and value, then attend to the slots that the plan lists. */
export function attentionDecode(op: AttentionDecode, values: Values): void {
  const q = values(op.q), k = values(op.k), v = values(op.v), o = values(op.o), keys = values(op.keys), cached = values(op.values);
  const [i] = values(op.position), [batch, heads, slots] = op.keys.shape, dq = op.q.shape[1] / heads, dv = op.v.shape[1] / heads;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const cache = (b * heads + h) * slots, qi = (b * heads + h) * dq, vi = (b * heads + h) * dv, slot = cache + op.plan.slot(h, i);
      keys.set(k.subarray(qi, qi + dq), slot * dq);
      cached.set(v.subarray(vi, vi + dv), slot * dv);
      const read = Array.from(op.plan.reads(h, i), (s) => cache + s);
      const scores = read.map((s) => dot(q, qi, keys, s * dq, dq) / Math.sqrt(dq));
      const top = scores.reduce((a, b) => Math.max(a, b)), total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      o.fill(0, vi, vi + dv);
      read.forEach((s, at) => {
        for (let c = 0; c < dv; c++) o[vi + c] += Math.exp(scores[at] - top) / total * cached[s * dv + c];
      });
    }
  }
}
