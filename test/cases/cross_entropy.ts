/** Cases of the loss, with its gradient and without: few rows and many, vocabularies of a vector and odd ones. @module */

import { Case } from "../case.ts";

export default [[1, 2], [5, 256], [65, 257], [3, 1000], [300, 256], [300, 257]].flatMap(([rows, vocabulary]) =>
  [false, true].map((gradient) =>
    new Case(
      `cross_entropy ${rows}×${vocabulary}${gradient ? ", gradient" : ""}`,
      { op: "cross_entropy", rows, vocabulary, gradient },
      (c) => {
        c.ops.push({
          op: "cross_entropy",
          logits: c.f32("logits", [rows, vocabulary], 5),
          targets: c.u32("targets", [rows], () => c.below(vocabulary)),
          losses: c.out("losses", [rows]),
          dLogits: gradient ? c.out("dLogits", [rows, vocabulary]) : undefined,
          scale: 1 / rows,
        });
      },
    )
  )
);
