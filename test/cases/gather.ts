/** Cases of gather: one number; odd sizes; rows left out, and rows that are 0; the same turned round; more than 128 KiB. @module */

import { NO_ROW } from "../../src/ops/mod.ts";
import { Case } from "../case.ts";

export default [[1, 1, 1], [33, 21, 5], [40, 64, 64], [200, 13, 150], [150, 13, 200], [900, 40, 1100]].map(([from, d, rows]) =>
  new Case(`gather ${rows} of ${from} rows of ${d}`, { op: "gather", rows, from, d }, (c) => {
    const index = c.u32("index", [rows], (r) => rows > 1 && r % 7 === 3 ? NO_ROW : r * 11 % from);
    c.ops.push({ op: "gather", x: c.f32("x", [from, d]), index, y: c.out("y", [rows, d]) });
  })
);
