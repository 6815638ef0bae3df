/**
 * Dispatch of dropout.
 *
 * @module
 */

import { type DropoutOp, size } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import { dropoutParams, type Plan } from "./plan.ts";

/** y = x masked and scaled */
export function planDropout(plan: Plan, op: DropoutOp): void {
  const storage = storageOf(op.x), count = Math.ceil(size(op.x) / Math.max(2, valueWidth(storage)));
  plan.dispatch({
    kernel: "dropout",
    values: { STORAGE: storage },
    bindings: { x: op.x, seeds: op.dropout.seeds, y: op.y },
    params: { count, size: size(op.x), ...dropoutParams(op.dropout) },
    grid: plan.linear(count),
  });
}
