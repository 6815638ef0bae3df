/** The loss of one number per row in float64. @module */

import type { ScoreLoss } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** losses = weight·ℓ(x, t); dX = weight·ℓ′(x, t)·scale·lossScale */
export function scoreLoss(op: ScoreLoss, values: Values): void {
  const x = values(op.x), targets = values(op.targets), weights = values(op.weights), losses = values(op.losses);
  const dX = op.dX && values(op.dX), scale = op.scale * (op.lossScale ? values(op.lossScale)[0] : 1);
  for (let r = 0; r < x.length; r++) {
    const [z, t] = [x[r], targets[r]], isSquared = op.kind === "squared";
    // ln(1 + e^z) of any z.
    const softplus = Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
    losses[r] = weights[r] * (isSquared ? (z - t) ** 2 : softplus - t * z);
    if (dX) dX[r] = weights[r] * (isSquared ? 2 * (z - t) : 1 / (1 + Math.exp(-z)) - t) * scale;
  }
}
