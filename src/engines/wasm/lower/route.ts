/** Calls of routing. @module */

import type { Route, RouteLists } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A block of queries of a head at a time. */
export function lowerRoute({ q, summaries, choice, n, block, window }: Route): Call[] {
  const [batch, heads, places, top] = choice.shape, [rows, width] = q.shape, d = width / heads, sequences = rows / n;
  const blocks = Math.ceil(n / block), args = { q, summaries, choice, sequences, n, block, window, blocks, places, heads, top, d };
  return [call("route", { units: batch * heads * blocks, grain: PIECE / (blocks * (d + top)), args })];
}

/** A head at a time. */
export function lowerRouteLists({ choice, starts, list }: RouteLists): Call[] {
  const [batch, heads, blocks, top] = choice.shape;
  return [call("route_lists", { units: batch * heads, args: { choice, starts, list, blocks, top } })];
}
