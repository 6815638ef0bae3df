/**
 * Sparse attention in float64, pair by pair from the definition of the set ({@linkcode attends}): no layout, no
 * tiles, so that it can judge both.
 *
 * @module
 */

import type { Attention, AttentionBackward } from "../../ops/mod.ts";
import { attends } from "../../pattern/sets.ts";
import type { Values } from "./values.ts";

/** Σ a[i]·b[j] over d elements. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, d: number): number {
  let total = 0;
  for (let c = 0; c < d; c++) total += a[i + c] * b[j + c];
  return total;
}

/** Calls back once for each head of each sequence. */
function eachHead(op: Pick<Attention, "batch" | "n" | "sets">, visit: (head: number, row0: number, stat0: number) => void): void {
  const heads = op.sets.length;
  for (let b = 0; b < op.batch; b++) {
    for (let h = 0; h < heads; h++) visit(h, b * op.n, (b * heads + h) * op.n);
  }
}

/** o = softmax(q·kᵀ/√d over the set)·v; lse its normaliser. */
export function attention(op: Attention, values: Values): void {
  const q = values(op.q), k = values(op.k), v = values(op.v), o = values(op.o), lse = values(op.lse);
  const wq = op.q.shape[1], wv = op.v.shape[1], dq = wq / op.sets.length, dv = wv / op.sets.length, { n } = op;
  eachHead(op, (h, row0, stat0) => {
    for (let i = 0; i < n; i++) {
      const keys: number[] = [], scores: number[] = [];
      for (let j = 0; j < n; j++) {
        if (!attends(op.sets[h], i, j)) continue;
        keys.push(j);
        scores.push(dot(q, (row0 + i) * wq + h * dq, k, (row0 + j) * wq + h * dq, dq) / Math.sqrt(dq));
      }
      const top = scores.reduce((a, b) => Math.max(a, b)), total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
      lse[stat0 + i] = top + Math.log(total);
      const out = (row0 + i) * wv + h * dv;
      o.fill(0, out, out + dv);
      keys.forEach((j, at) => {
        const p = Math.exp(scores[at] - lse[stat0 + i]);
        for (let c = 0; c < dv; c++) o[out + c] += p * v[(row0 + j) * wv + h * dv + c];
      });
    }
  });
}

/** With p the probabilities: dv = pᵀ·dO; ds = p∘(dO·vᵀ − rowsum(dO∘o)); dq = ds·k/√d; dk = dsᵀ·q/√d. */
export function attentionBackward(op: AttentionBackward, values: Values): void {
  const q = values(op.q), k = values(op.k), v = values(op.v), o = values(op.o), lse = values(op.lse), dO = values(op.dO);
  const gq = values(op.dq), gk = values(op.dk), gv = values(op.dv), delta = values(op.delta);
  const wq = op.q.shape[1], wv = op.v.shape[1], dq = wq / op.sets.length, dv = wv / op.sets.length, { n } = op;
  for (const g of [gq, gk, gv]) g.fill(0);
  eachHead(op, (h, row0, stat0) => {
    for (let i = 0; i < n; i++) {
      const qi = (row0 + i) * wq + h * dq, oi = (row0 + i) * wv + h * dv;
      delta[stat0 + i] = dot(dO, oi, o, oi, dv);
      for (let j = 0; j < n; j++) {
        if (!attends(op.sets[h], i, j)) continue;
        const kj = (row0 + j) * wq + h * dq, vj = (row0 + j) * wv + h * dv;
        const p = Math.exp(dot(q, qi, k, kj, dq) / Math.sqrt(dq) - lse[stat0 + i]);
        const ds = p * (dot(dO, oi, v, vj, dv) - delta[stat0 + i]) / Math.sqrt(dq);
        for (let c = 0; c < dv; c++) gv[vj + c] += p * dO[oi + c];
        for (let c = 0; c < dq; c++) {
          gq[qi + c] += ds * k[kj + c];
          gk[kj + c] += ds * q[qi + c];
        }
      }
    }
  });
}
