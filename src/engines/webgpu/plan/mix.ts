/**
 * Dispatches of gated branches, one per branch, in f32.
 *
 * @module
 */

import { type Add, type Mix, type MixBackward, size } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import { type Plan, planInF32 } from "./plan.ts";

const storage = (d: number) => d % 4 === 0 ? "f32x4" : "f32";

/** y = the gated sum */
export async function planMix(plan: Plan, op: Mix): Promise<void> {
  await planInF32(plan, op, planBranches);
}

function planBranches(plan: Plan, { gates, parts, y, heads }: Mix): void {
  const width = y.shape[1], STORAGE = storage(width / heads), wide = valueWidth(STORAGE), count = size(y) / wide, columns = gates.shape[1];
  parts.forEach((part, p) =>
    plan.dispatch({
      kernel: "mix",
      values: { STORAGE },
      bindings: { gates, part, y },
      params: { count, heads, width: width / wide, columns, first: p * heads },
      grid: plan.linear(count),
    })
  );
}

/** dGates and dParts */
export async function planMixBackward(plan: Plan, op: MixBackward): Promise<void> {
  await planInF32(plan, op, planGradients);
}

function planGradients(plan: Plan, { gates, parts, dy, dGates, dParts, heads }: MixBackward): void {
  const [rows, whole] = dy.shape, STORAGE = storage(whole / heads), width = whole / heads / valueWidth(STORAGE), columns = gates.shape[1];
  parts.forEach((part, p) =>
    plan.dispatch({
      kernel: "mix_backward",
      values: { STORAGE },
      bindings: { gates, part, dy, d_gates: dGates, d_part: dParts[p] },
      params: { rows: rows * heads, width, heads, columns, first: p * heads },
      grid: plan.linear(rows * heads, 8),
    })
  );
}

/** y += x */
export function planAdd(plan: Plan, { x, y }: Add): void {
  const STORAGE = storageOf(y), count = size(y) / valueWidth(STORAGE);
  plan.dispatch({ kernel: "add", values: { STORAGE }, bindings: { x, y }, params: { count }, grid: plan.linear(count) });
}
