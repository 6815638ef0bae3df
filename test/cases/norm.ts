/** Cases of sums, of the gradients' norm, and of clipping by it: a norm over the bound, under it, none, and none that is finite. @module */

import { HYPER } from "../../src/ops/mod.ts";
import { Case } from "../case.ts";

const cases = [1, 255, 1025, 70001].map((count) =>
  new Case(`sum of ${count}`, { op: "sum", count, accumulate: false }, (c) => {
    c.ops.push({ op: "sum", x: c.f32("x", [count]), y: c.out("y", [1]), scale: 0.5, accumulate: false });
  })
);
cases.push(
  new Case("sum of 300, accumulate", { op: "sum", count: 300, accumulate: true }, (c) => {
    c.ops.push({ op: "sum", x: c.f32("x", [300]), y: c.inOut("y", [1]), scale: 2, accumulate: true });
  }),
  new Case("square_norm", { op: "square_norm" }, (c) => {
    c.ops.push({ op: "square_norm", xs: [1, 7, 300, 64, 40000].map((n, i) => c.f32(`x${i}`, [n])), y: c.out("y", [1]) });
  }),
);

for (
  const [name, square, maxNorm] of [
    ["over", 16, 1],
    ["under", 0.25, 1],
    ["off", 16, 0],
    ["not finite", Infinity, 1],
    ["NaN", NaN, 1],
  ] as const
) {
  cases.push(
    new Case(`clip ${name}`, { op: "clip", square, maxNorm }, (c) => {
      const skipped = c.u32("skipped", [2], (i) => [5, 2][i]), squareNorm = c.values("squareNorm", square);
      c.update(skipped);
      const schedule = c.f32("schedule", [8, HYPER]), known = c.u32("known", [1], () => 3), hyper = c.out("hyper", [HYPER]);
      c.ops.push({ op: "clip", squareNorm, factor: c.out("factor", [1]), skipped, maxNorm, schedule, known, hyper });
    }),
  );
}

export default cases;
