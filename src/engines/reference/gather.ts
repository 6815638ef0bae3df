/** Rows picked out of others, in float64. @module */

import { type Gather, NO_ROW } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** y[r] = x[index[r]], or 0. */
export function gather(op: Gather, values: Values): void {
  const x = values(op.x), index = values(op.index), y = values(op.y), [rows, d] = op.y.shape;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < d; c++) y[r * d + c] = index[r] === NO_ROW ? 0 : x[index[r] * d + c];
  }
}
