/**
 * Dispatch of dropout.
 *
 * @module
 */

import { type DropoutOp, size } from "../../../ops/mod.ts";
import { dropoutParams, type Plan, planInF32 } from "./plan.ts";

/** y = x masked and scaled */
export async function planDropout(plan: Plan, op: DropoutOp): Promise<void> {
  await planInF32(plan, op, planMask);
}

function planMask(plan: Plan, op: DropoutOp): void {
  const count = Math.ceil(size(op.x) / 2);
  plan.dispatch({
    kernel: "dropout",
    values: {},
    bindings: { x: op.x, seeds: op.dropout.seeds, y: op.y },
    params: { count, size: size(op.x), ...dropoutParams(op.dropout) },
    grid: plan.linear(count),
  });
}
