/** Calls of dropout. @module */

import { type Dropout, type DropoutOp, size } from "../../../ops/mod.ts";
import { DROPOUT_ELEMENTS } from "../kernels.gen.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** The arguments of a dropout inside an operation; no seeds where there is none. */
export const dropoutArgs = (dropout?: Dropout) => ({ seeds: undefined, site: 0, micro: 0, first: 0, p: 0, ...dropout });

/** Pieces a quarter as long as others: an element's random word takes four times as long as most work. */
export function lowerDropout({ x, y, dropout: { seeds, site, micro, first = 0, p } }: DropoutOp): Call[] {
  const count = size(x), units = Math.ceil(count / DROPOUT_ELEMENTS);
  return [call("dropout", { units, grain: PIECE / 4 / DROPOUT_ELEMENTS, args: { x, y, count, seeds, site, micro, first, p } })];
}
