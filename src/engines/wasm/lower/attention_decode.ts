/** Calls of attention of one position. @module */

import type { AttentionDecode } from "../../../ops/mod.ts";
import type { CachePlan } from "../../../pattern/cache.ts";
import { type Call, Table } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

const tables = new WeakMap<CachePlan, Table>();

/** A schedule's words, the same table however many layers follow it. */
function tableOf(plan: CachePlan): Table {
  let made = tables.get(plan);
  if (!made) tables.set(plan, made = new Table(plan.words));
  return made;
}

/** A head of a sequence at a time. */
export function lowerAttentionDecode({ q, k, v, o, keys, values, position, plan }: AttentionDecode): Call[] {
  const [batch, heads, slots, dk] = keys.shape, dv = values.shape[3], { most, parts } = plan;
  const args = { q, k, v, o, keys, values, position, plan: tableOf(plan), heads, slots, dk, dv, most, parts };
  return [call("attention_decode", { units: batch * heads, grain: PIECE / (most * (dk + dv)), args })];
}
