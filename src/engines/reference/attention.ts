/**
 * Sparse attention in float64, pair by pair from the definition of the set ({@linkcode attends}): no layout, no
 * tiles, so that it can judge both.
 *
 * @module
 */

import { type Attention, type AttentionBackward, headsOf, keyPositions, NO_KEYS } from "../../ops/mod.ts";
import { attends } from "../../pattern/attends.ts";
import type { Values } from "./values.ts";

/** Σ a[i]·b[j] over d elements. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, d: number): number {
  let total = 0;
  for (let c = 0; c < d; c++) total += a[i + c] * b[j + c];
  return total;
}

/** One head of one sequence: where it begins in q and o, in k and v, and in lse and delta. */
interface Place {
  readonly head: number;
  readonly q: number;
  readonly k: number;
  readonly v: number;
  readonly o: number;
  readonly stat: number;
}

/** How wide rows are, the rows of a head's place, and the keys that query i of it sees with their scores. */
function geometry(op: Attention | AttentionBackward, values: Values) {
  const q = values(op.q), k = values(op.k), spans = op.spans && values(op.spans), { n, sets, slopes, batch } = op, m = keyPositions(op);
  const { heads, kvHeads, group, d, dv } = headsOf(op), wide = { q: heads * d, k: kvHeads * d, v: kvHeads * dv, o: heads * dv };
  const places = Array.from({ length: batch * heads }, (_, at): Place => {
    const head = at % heads, kv = Math.floor(head / group), sequence = Math.floor(at / heads);
    return {
      head,
      q: sequence * n * wide.q + head * d,
      k: sequence * m * wide.k + kv * d,
      v: sequence * m * wide.v + kv * dv,
      o: sequence * n * wide.o + head * dv,
      stat: at * n,
    };
  });
  const seen = ({ head, q: q0, k: k0, stat }: Place, i: number) => {
    const made: { j: number; score: number }[] = [], span = (Math.floor(stat / n / heads) * n + i) * 2;
    for (let j = 0; j < m; j++) {
      if (!attends(sets[head], i, j) || (spans && (j < spans[span] || j >= spans[span + 1]))) continue;
      const score = dot(q, q0 + i * wide.q, k, k0 + j * wide.k, d) / Math.sqrt(d);
      made.push({ j, score: score - (slopes?.[head] ?? 0) * Math.abs(i - j) });
    }
    return made;
  };
  return { n, d, dv, wide, places, seen, q, k, v: values(op.v), o: values(op.o), lse: values(op.lse) };
}

/** o = softmax(q·kᵀ/√d − slope·|i − j| over the set)·v; lse its normaliser. */
export function attention(op: Attention, values: Values): void {
  const { n, dv, wide, places, seen, v, o, lse } = geometry(op, values);
  for (const place of places) {
    for (let i = 0; i < n; i++) {
      const keys = seen(place, i), out = place.o + i * wide.o, top = keys.reduce((top, { score }) => Math.max(top, score), -Infinity);
      const total = keys.reduce((sum, { score }) => sum + Math.exp(score - top), 0);
      lse[place.stat + i] = keys.length ? top + Math.log(total) : NO_KEYS;
      o.fill(0, out, out + dv);
      for (const { j, score } of keys) {
        const p = Math.exp(score - lse[place.stat + i]);
        for (let c = 0; c < dv; c++) o[out + c] += p * v[place.v + j * wide.v + c];
      }
    }
  }
}

/** With p the probabilities: dv = pᵀ·dO; ds = p∘(dO·vᵀ − rowsum(dO∘o)); dq = ds·k/√d; dk = dsᵀ·q/√d. */
export function attentionBackward(op: AttentionBackward, values: Values): void {
  const { n, d, dv, wide, places, seen, q, k, v, o, lse } = geometry(op, values), dO = values(op.dO);
  const gq = values(op.dq), gk = values(op.dk), gv = values(op.dv), delta = values(op.delta);
  for (const g of [gq, gk, gv]) g.fill(0);
  for (const place of places) {
    for (let i = 0; i < n; i++) {
      const qi = place.q + i * wide.q, oi = place.o + i * wide.o, stat = place.stat + i;
      delta[stat] = dot(dO, oi, o, oi, dv);
      for (const { j, score } of seen(place, i)) {
        const kj = place.k + j * wide.k, vj = place.v + j * wide.v, p = Math.exp(score - lse[stat]);
        const ds = p * (dot(dO, oi, v, vj, dv) - delta[stat]) / Math.sqrt(d);
        for (let c = 0; c < dv; c++) gv[vj + c] += p * dO[oi + c];
        for (let c = 0; c < d; c++) {
          gq[qi + c] += ds * k[kj + c];
          gk[kj + c] += ds * q[qi + c];
        }
      }
    }
  }
}
