/** Cases of AdamW over several tensors at once: the whole update, a clipped one, and a step that is skipped. @module */

import { Case } from "../case.ts";

const SHAPES = [[33, 20], [7], [130], [64, 64], [130, 260]];

export default [1, 0.3, 0].map((factor) =>
  new Case(`adam, factor ${factor}`, { op: "adam", factor }, (c) => {
    const factors = c.values("factor", factor), hyper = c.values("hyper", 0.01, 1 / (1 - 0.9 ** 3), 1 / (1 - 0.999 ** 3), 0.02);
    c.ops.push({
      op: "adam",
      params: SHAPES.map((s, i) => c.inOut(`p${i}`, s)),
      grads: SHAPES.map((s, i) => c.f32(`g${i}`, s)),
      m: SHAPES.map((s, i) => c.inOut(`m${i}`, s, 0.1)),
      v: SHAPES.map((s, i) => {
        const v = c.inOut(`v${i}`, s, 0.1), data = c.inputs.get(v)!;
        data.forEach((x, at) => data[at] = x * x);
        return v;
      }),
      decay: SHAPES.map((s) => s.length === 2),
      factor: factors,
      hyper,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: 0.01,
    });
  })
);
