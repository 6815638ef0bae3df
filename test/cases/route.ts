/**
 * Cases of routing. Queries and summaries are small whole numbers: their products are exact in any order, and many are equal. Windows of
 * several blocks; fewer blocks than are chosen; room for more; sequences that go round; more blocks than a workgroup has invocations, and
 * than it holds scores of.
 *
 * @module
 */

import { Case, type Problem } from "../case.ts";
import type { Tensor } from "../../src/ops/mod.ts";

/** An input of whole numbers from −3 to 3. */
export function whole(c: Problem, t: Tensor): Tensor {
  c.inputs.set(t, Float32Array.from(c.inputs.get(t)!, () => c.below(7) - 3));
  return t;
}

const lists = (shape: readonly number[]): Case =>
  new Case(`route_lists of nothing, ${shape}`, { op: "route_lists" }, (c) => {
    const choice = c.words("choice", shape, new Uint32Array(shape.reduce((a, b) => a * b)).fill(0xffffffff));
    c.ops.push({
      op: "route_lists",
      choice,
      starts: c.out("starts", [shape[0], shape[1], shape[2] + 1], "u32"),
      list: c.out("list", shape, "u32"),
    });
  });

export default [
  ...[
    [1, 1, 1, 1, 1, 1, 1, 4, 1],
    [2, 2, 3, 40, 8, 8, 2, 4, 5],
    [1, 3, 2, 61, 6, 17, 3, 8, 11],
    [2, 2, 2, 29, 5, 5, 9, 5, 6],
    [1, 1, 2, 300, 2, 2, 5, 4, 150],
    [1, 1, 1, 2100, 1, 3, 64, 4, 2100],
  ].map(([sequences, batch, heads, n, block, window, top_k, d, places]) =>
    new Case(
      `route ${top_k} of ${sequences} sequences of ${n} in blocks of ${block}, window ${window}, ${batch}×${heads} heads of ${d}`,
      { op: "route", sequences, batch, heads, n, block, window, top_k, d, tags: places > 2000 ? ["whole"] : [] },
      (c) => {
        c.ops.push({
          op: "route",
          q: whole(c, c.f32("q", [sequences * n, heads * d])),
          summaries: whole(c, c.f32("summaries", [sequences * Math.ceil(n / block), heads * d])),
          choice: c.update(c.u32("choice", [batch, heads, places, top_k], (at) => at)),
          n,
          block,
          window,
        });
      },
    )
  ),
  lists([2, 1, 3, 2]),
];
