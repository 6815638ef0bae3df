/**
 * Dispatch of the cross-entropy.
 *
 * @module
 */

import type { CrossEntropy } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import type { Plan } from "./plan.ts";

/** losses and, where wanted, dLogits */
export function planCrossEntropy(plan: Plan, op: CrossEntropy): void {
  const [rows, columns] = op.logits.shape, storage = storageOf(op.logits);
  plan.dispatch({
    kernel: "cross_entropy",
    values: { GRADIENT: !!op.dLogits, LOSS_SCALE: !!op.lossScale, STORAGE: storage },
    bindings: { logits: op.logits, targets: op.targets, losses: op.losses, gradient: op.dLogits, loss_scale: op.lossScale },
    params: { rows, width: columns / valueWidth(storage), scale: op.scale },
    grid: plan.linear(rows, 8),
  });
}
