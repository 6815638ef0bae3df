/** Cases of the loss, with its gradient and without: few rows and many, vocabularies of a vector and odd ones, rows without a target. @module */

import { NO_TARGET } from "../../src/ops/mod.ts";
import { Case } from "../case.ts";

/** Targets of a fifth are missing, the first one beyond the vocabulary. */
const PARTLY = [[7, 6], [33, 256], [9, 257]];

export default [[1, 2], [5, 256], [65, 257], [3, 1000], [300, 256], [300, 257], ...PARTLY].flatMap(([rows, vocabulary], at) =>
  [false, true].map((gradient) =>
    new Case(
      `cross_entropy ${rows}×${vocabulary}${gradient ? ", gradient" : ""}${at > 5 ? ", rows without a target" : ""}`,
      { op: "cross_entropy", rows, vocabulary, gradient },
      (c) => {
        c.ops.push({
          op: "cross_entropy",
          logits: c.f32("logits", [rows, vocabulary], 5),
          targets: c.u32("targets", [rows], (row) => at > 5 && row % 5 === 0 ? (row === 0 ? vocabulary : NO_TARGET) : c.below(vocabulary)),
          losses: c.out("losses", [rows]),
          dLogits: gradient ? c.out("dLogits", [rows, vocabulary]) : undefined,
          scale: 1 / rows,
        });
      },
    )
  )
);
