/** Routed attention of one decoded position in float64. @module */

import type { RoutedDecode } from "../../ops/mod.ts";
import { bestBlocks, NO_BLOCK, offered } from "../../pattern/routed.ts";
import { dot } from "./attention.ts";
import type { Values } from "./values.ts";

/** Store, choose, attend by branches, mix, summarise. */
export function routedDecode(op: RoutedDecode, values: Values): void {
  const { block, window } = op,
    [q, k, v, o, keys, cached, choice, z] = [op.q, op.k, op.v, op.o, op.keys, op.values, op.choice, op.gates].map(values);
  const [batch, heads, slots, d] = op.keys.shape, dv = op.values.shape[3], [, , blocks, top] = op.choice.shape, n = slots - blocks;
  const [i] = values(op.position),
    j = Math.floor(i / block),
    from = (first: number, count: number) => Array.from({ length: count }, (_, t) => first + t);
  for (let line = 0; line < batch * heads; line++) {
    const b = Math.floor(line / heads), head = line % heads, cache = line * slots, qi = line * d, vi = line * dv;
    keys.set(k.subarray(qi, qi + d), (cache + i) * d);
    cached.set(v.subarray(vi, vi + dv), (cache + i) * dv);
    const own = (line * blocks + j) * top, score = (slot: number) => dot(q, qi, keys, (cache + slot) * d, d);
    if (i % block === 0) choice.set(bestBlocks(from(n, offered(j, { block, window })).map(score), top), own);
    const chosen = [...choice.subarray(own, own + top)].filter((one) => one !== NO_BLOCK);
    const branches = [
      from(Math.max(0, i - window), Math.min(i, window) + 1),
      chosen.flatMap((one) => from(one * block, block)),
      from(n, j),
    ];
    o.fill(0, vi, vi + dv);
    branches.slice(0, op.compressed ? 3 : 2).forEach((slots, p) => {
      const gate = 1 / (1 + Math.exp(-z[(b * (op.compressed ? 3 : 2) + p) * heads + head]));
      const scores = slots.map((slot) => score(slot) / Math.sqrt(d)), most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const weights = scores.map((s) => Math.exp(s - most)), sum = weights.reduce((a, b) => a + b, 0);
      slots.forEach((slot, at) => {
        for (let c = 0; c < dv; c++) o[vi + c] += gate * weights[at] / sum * cached[(cache + slot) * dv + c];
      });
    });
    if ((i + 1) % block !== 0) continue;
    for (const [tensor, width] of [[keys, d], [cached, dv]] as const) {
      for (let c = 0; c < width; c++) {
        tensor[(cache + n + j) * width + c] = from(j * block, block).reduce((sum, slot) => sum + tensor[(cache + slot) * width + c], 0) /
          block;
      }
    }
  }
}
