/**
 * Whether attention's backward pass makes dk and dv by one kernel. Only training asks.
 *
 * @module
 */

import { type AttentionBackward, headsOf } from "../../../ops/mod.ts";
import type { Plan } from "../plan/plan.ts";
import { attentionProblem } from "./problems.ts";
import { attentionFits, hasLongRows, isUsable, tuned } from "./select.ts";
import { ATTENTION_DEFAULTS, type AttentionKernel, type AttentionVariant } from "./variants.ts";

/**
 * Whether dk and dv are made by one kernel: where that was measured to be faster, and where nothing was measured, if the device has room
 * for it. With room for 32 × 32 only, long rows go apart where that is by the largest tiles: those gain more than the scores that are
 * computed twice cost, smaller ones less.
 */
export function isFused(plan: Plan, op: AttentionBackward): boolean {
  const { limits, tiles, tuning } = plan.context, problem = attentionProblem(op), { d, dv } = headsOf(op);
  if (tiles === "smallest") return false;
  const apart = () => plan.context.matrices?.attention("attention_backward_dk", op, limits).length;
  if (tiles === "auto" && tuned(tuning, "attention_backward_dkv", problem)) return true;
  if (tiles === "auto" && tuned(tuning, "attention_backward_dk", problem) || apart()) return false;
  const [d4, v4] = [d, dv].map((width) => Math.ceil(width / 4));
  const fits = (kernel: AttentionKernel, tile: AttentionVariant) => attentionFits(limits, kernel, tile, d4, v4);
  const together = ATTENTION_DEFAULTS.filter((tile) => isUsable(tile, true) && fits("attention_backward_dkv", tile));
  return together.length > 1 || (together.length === 1 && !(hasLongRows(op.sets) && fits("attention_backward_dk", ATTENTION_DEFAULTS[0])));
}
