/** Dropout from the counter-based generator, in float64. @module */

import type { Dropout, DropoutOp } from "../../ops/mod.ts";
import { dropoutKeeps } from "../../base/random.ts";
import type { Values } from "./values.ts";

/** The factor of one element: 0, or 1 / (1 − p). */
export function dropoutFactor({ p, site, micro, first = 0, seeds }: Dropout, index: number, values: Values): number {
  const [seed, step] = values(seeds);
  return dropoutKeeps(seed, site, step + micro >>> 0, first + index, p) ? 1 / (1 - p) : 0;
}

/** y = x masked and scaled. */
export function dropout(op: DropoutOp, values: Values): void {
  const x = values(op.x), y = values(op.y);
  for (let i = 0; i < x.length; i++) y[i] = x[i] * dropoutFactor(op.dropout, i, values);
}
