/** Calls of routed attention of one position. @module */

import type { RoutedDecode } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A head of a sequence at a time. */
export function lowerRoutedDecode(op: RoutedDecode): Call[] {
  const { q, k, v, gates, o, keys, values, choice, position, block, window } = op,
    [batch, heads, slots, dk] = keys.shape,
    dv = values.shape[3];
  const [, , blocks, top] = choice.shape, branches = op.compressed ? 3 : 2, most = window + top * block + blocks;
  const args = { q, k, v, gates, o, keys, values, choice, position, heads, slots, blocks, top, dk, dv, block, window, branches };
  return [call("routed_decode", { units: batch * heads, grain: PIECE / (most * (dk + dv)), args })];
}
