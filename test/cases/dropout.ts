/** Cases of dropout: one number, odd sizes, several probabilities. @module */

import { Case } from "../case.ts";

export default [[1, 1, 0.5], [33, 21, 0.1], [33, 21, 0.1, 3], [64, 64, 0.4], [600, 60, 0.3, 7]].map(([rows, d, p, before = 0]) =>
  new Case(`dropout ${rows}×${d}, p ${p}${before ? `, after ${before} rows` : ""}`, { op: "dropout", rows, d, p, before }, (c) => {
    const dropout = { p, site: 5, micro: 0, first: before * d, seeds: c.seeds() };
    c.ops.push({ op: "dropout", x: c.f32("x", [rows, d]), y: c.out("y", [rows, d]), dropout });
  })
);
