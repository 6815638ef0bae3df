/**
 * Dispatches of routing.
 *
 * @module
 */

import type { Route, RouteLists } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import { type Plan, planInF32 } from "./plan.ts";

/** A workgroup per block of queries of a head */
export async function planRoute(plan: Plan, op: Route): Promise<void> {
  const heads = op.choice.shape[1];
  if (op.q.shape[1] / heads % 4 === 0) planChoice(plan, op);
  else await planInF32(plan, op, planChoice);
}

function planChoice(plan: Plan, { q, summaries, choice, n, block, window }: Route): void {
  const [batch, heads, places, top] = choice.shape, d = q.shape[1] / heads, STORAGE = d % 4 === 0 ? storageOf(q) : "f32";
  const blocks = Math.ceil(n / block), units = batch * heads * blocks, sequences = q.shape[0] / n;
  plan.dispatch({
    kernel: "route",
    values: { STORAGE, DECODE: false },
    bindings: { q, summaries, choice, position: undefined },
    params: { units, sequences, heads, n, block, window, blocks, places, top, width: d / valueWidth(STORAGE) },
    grid: plan.linear(units, 1),
  });
}

/** A workgroup per head */
export function planRouteLists(plan: Plan, { choice, starts, list }: RouteLists): void {
  const [batch, heads, blocks, top] = choice.shape, units = batch * heads;
  plan.dispatch({
    kernel: "route_lists",
    values: {},
    bindings: { choice, starts, list },
    params: { units, blocks, top },
    grid: plan.linear(units, 1),
  });
}
