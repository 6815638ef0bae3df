/** Cases of dropout: one number, odd sizes, several probabilities. @module */

import { Case } from "../case.ts";

export default [[1, 1, 0.5], [33, 21, 0.1], [64, 64, 0.4], [600, 60, 0.3]].map(([rows, d, p]) =>
  new Case(`dropout ${rows}×${d}, p ${p}`, { op: "dropout", rows, d, p }, (c) => {
    c.ops.push({ op: "dropout", x: c.f32("x", [rows, d]), y: c.out("y", [rows, d]), dropout: { p, site: 5, micro: 0, seeds: c.seeds() } });
  })
);
