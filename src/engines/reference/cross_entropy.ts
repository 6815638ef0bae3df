/** Softmax cross-entropy in float64. @module */

import type { CrossEntropy } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** losses = −ln softmax(logits)[target]; dLogits = (softmax − onehot)·scale·lossScale */
export function crossEntropy(op: CrossEntropy, values: Values): void {
  const logits = values(op.logits), targets = values(op.targets), losses = values(op.losses);
  const dLogits = op.dLogits && values(op.dLogits), [rows, vocabulary] = op.logits.shape;
  const scale = op.scale * (op.lossScale ? values(op.lossScale)[0] : 1);
  for (let r = 0; r < rows; r++) {
    if (targets[r] >= vocabulary) {
      losses[r] = 0;
      dLogits?.fill(0, r * vocabulary, (r + 1) * vocabulary);
      continue;
    }
    const row = logits.subarray(r * vocabulary, (r + 1) * vocabulary);
    const top = row.reduce((a, b) => Math.max(a, b)), lse = top + Math.log(row.reduce((sum, z) => sum + Math.exp(z - top), 0));
    losses[r] = lse - row[targets[r]];
    if (!dLogits) continue;
    for (let c = 0; c < vocabulary; c++) dLogits[r * vocabulary + c] = (Math.exp(row[c] - lse) - (c === targets[r] ? 1 : 0)) * scale;
  }
}
