/** Calls of Muon. @module */

import { type Muon, size, type Tensor } from "../../../ops/mod.ts";
import { type Call, Table } from "../plan.ts";
import { call } from "./lowering.ts";

/** A matrix at a time, those of one shape in a call, the largest first, so that no thread is left with one at the end. */
export function lowerMuon({ params, grads, m, factor, hyper, momentum, weightDecay }: Muon): Call[] {
  const work = (t: Tensor) => Math.min(...t.shape) * size(t), shapes = new Map<string, number[]>();
  params.forEach(({ shape }, at) => shapes.set(shape.join(), [...shapes.get(shape.join()) ?? [], at]));
  const largestFirst = [...shapes.values()].sort(([a], [b]) => work(params[b]) - work(params[a]));
  return largestFirst.map((those, i) => {
    const [out, inner] = params[those[0]].shape;
    const table = new Table(those.flatMap((at) => [params, grads, m].map((list) => ({ tensor: list[at], offset: 0 }))));
    const args = { table, out, inner, factor, hyper, mu: momentum, weightDecay };
    return { ...call("muon", { units: those.length, args }), joined: i > 0 };
  });
}
