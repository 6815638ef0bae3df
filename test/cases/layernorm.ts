/** Cases of layer normalisation and its gradient: one row and many, widths of a vector and odd ones. @module */

import { Case } from "../case.ts";

const cases: Case[] = [];

for (const [rows, d] of [[1, 4], [3, 7], [65, 64], [130, 129], [257, 260]]) {
  cases.push(
    new Case(`layernorm ${rows}×${d}`, { op: "layernorm", rows, d }, (c) => {
      c.ops.push({
        op: "layernorm",
        x: c.f32("x", [rows, d], 3),
        gain: c.f32("gain", [d]),
        bias: c.f32("bias", [d]),
        y: c.out("y", [rows, d]),
        mean: c.out("mean", [rows]),
        rstd: c.out("rstd", [rows]),
      });
    }),
  );
  for (const full of [false, true]) {
    const fields = { rows, d, accumulate: full, tags: full ? ["residual"] : [] };
    cases.push(
      new Case(`layernorm_backward ${rows}×${d}${full ? ", residual, accumulate" : ""}`, { op: "layernorm_backward", ...fields }, (c) => {
        c.ops.push({
          op: "layernorm_backward",
          x: c.f32("x", [rows, d]),
          gain: c.f32("gain", [d]),
          mean: c.f32("mean", [rows], 0.1),
          rstd: c.f32("rstd", [rows]),
          dy: c.f32("dy", [rows, d]),
          residual: full ? c.f32("residual", [rows, d]) : undefined,
          dx: c.out("dx", [rows, d]),
          dGain: full ? c.inOut("dGain", [d]) : c.out("dGain", [d]),
          dBias: full ? c.inOut("dBias", [d]) : c.out("dBias", [d]),
          accumulate: full,
        });
      }),
    );
  }
}

export default cases;
