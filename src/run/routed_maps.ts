/**
 * What the queries of routed attention weigh, made again from queries, keys and gates. Loaded where a model has such layers.
 *
 * @module
 */

import type { TensorData } from "../ops/mod.ts";
import { bestBlocks, blocksIn, NO_BLOCK, offered } from "../pattern/routed.ts";
import type { AttentionSet } from "../pattern/sets.ts";

/** Queries and keys [n, width], of which a head has d columns from head · d on; gates [n, branches · heads]. */
interface From {
  readonly q: TensorData;
  readonly k: TensorData;
  readonly gates: TensorData;
  readonly width: number;
  readonly head: number;
  readonly heads: number;
  readonly d: number;
}

/** Weights of some queries of a head: each branch's softmax times its share of the gates of those that have keys. */
export function weighRouted(
  set: Extract<AttentionSet, { kind: "routed" }>,
  n: number,
  queries: readonly number[],
  { q, k, gates, width, head, heads, d }: From,
): { query: number; keys: Uint32Array<ArrayBuffer>; weights: Float32Array<ArrayBuffer> }[] {
  const { block, top_k, window } = set,
    branches = set.compressed ? 3 : 2,
    blocks = blocksIn(n, block),
    means = new Float64Array(blocks * d);
  for (let i = 0; i < n; i++) {
    const of = Math.floor(i / block), count = Math.min(block, n - of * block);
    for (let c = 0; c < d; c++) means[of * d + c] += k[i * width + head * d + c] / count;
  }
  const score = (i: number, keys: ArrayLike<number>, at: number) => {
    let dot = 0;
    for (let c = 0; c < d; c++) dot += q[i * width + head * d + c] * keys[at + c];
    return dot;
  };
  const choices = new Map<number, number[]>(), range = (from: number, count: number) => Array.from({ length: count }, (_, t) => from + t);
  const chosenBy = (j: number) => {
    if (!choices.has(j)) choices.set(j, bestBlocks(range(0, offered(j, set)).map((of) => score(j * block, means, of * d)), top_k));
    return choices.get(j)!.filter((of) => of !== NO_BLOCK);
  };
  return queries.map((query) => {
    const j = Math.floor(query / block), sums = new Map<number, number>();
    const seen = [
      range(Math.max(0, query - window), Math.min(query, window) + 1),
      chosenBy(j).flatMap((of) => range(of * block, block)),
      range(0, j),
    ];
    const branch = seen.slice(0, branches).map((keys, p) => ({ keys, p })).filter(({ keys }) => keys.length > 0);
    const gate = (p: number) => 1 / (1 + Math.exp(-gates[(query * branches + p) * heads + head]));
    const all = branch.reduce((sum, { p }) => sum + gate(p), 0);
    for (const { keys, p } of branch) {
      const isMean = p === 2,
        scores = keys.map((at) => score(query, isMean ? means : k, isMean ? at * d : at * width + head * d) / Math.sqrt(d));
      const most = scores.reduce((a, b) => Math.max(a, b)), sum = scores.reduce((sum, one) => sum + Math.exp(one - most), 0);
      keys.forEach((key, at) => {
        const weight = gate(p) / all * Math.exp(scores[at] - most) / sum, count = isMean ? block : 1;
        for (let t = 0; t < count; t++) sums.set(key * count + t, (sums.get(key * count + t) ?? 0) + weight / count);
      });
    }
    const keys = Uint32Array.from(sums.keys()).sort();
    return { query, keys, weights: Float32Array.from(keys, (key) => sums.get(key)!) };
  });
}
