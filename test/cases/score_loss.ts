/** Cases of the loss of one number per row, either kind, with its gradient and without: rows about a workgroup, some that do not count. @module */

import { Case } from "../case.ts";

export default [1, 7, 256, 257].flatMap((rows) =>
  (["squared", "logistic"] as const).flatMap((kind) =>
    [false, true].map((gradient) =>
      new Case(`score_loss ${rows}, ${kind}${gradient ? ", gradient" : ""}`, { op: "score_loss", rows, kind, gradient }, (c) => {
        c.ops.push({
          op: "score_loss",
          kind,
          x: c.f32("x", [rows, 1], 9),
          targets: c.f32("targets", [rows]),
          weights: c.f32("weights", [rows]),
          losses: c.out("losses", [rows]),
          dX: gradient ? c.out("dX", [rows, 1]) : undefined,
          scale: 1 / rows,
        });
      })
    )
  )
);
