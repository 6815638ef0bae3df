/** Calls of gather. @module */

import type { Gather } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A row at a time. */
export function lowerGather({ x, index, y }: Gather): Call[] {
  const [rows, d] = y.shape;
  return [call("gather", { units: rows, grain: PIECE / d, args: { x, index, y, d } })];
}
