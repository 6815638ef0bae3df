/** Layer norm in float64. @module */

import { type LayerNorm, LAYERNORM_EPSILON, type LayerNormBackward } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** y = (x − mean)·rstd·gain + bias */
export function layernorm(op: LayerNorm, values: Values): void {
  const { y, mean, rstd } = normalise(values(op.x), values(op.gain), values(op.bias));
  values(op.y).set(y);
  values(op.mean).set(mean);
  values(op.rstd).set(rstd);
}

/** Rows of x, each as wide as the gain, normalised. */
export function normalise(x: Float64Array, gain: Float64Array, bias: Float64Array) {
  const d = gain.length, rows = x.length / d, y = new Float64Array(x.length), mean = new Float64Array(rows), rstd = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    let total = 0, squares = 0;
    for (let c = 0; c < d; c++) total += x[r * d + c];
    mean[r] = total / d;
    for (let c = 0; c < d; c++) squares += (x[r * d + c] - mean[r]) ** 2;
    rstd[r] = 1 / Math.sqrt(squares / d + LAYERNORM_EPSILON);
    for (let c = 0; c < d; c++) y[r * d + c] = (x[r * d + c] - mean[r]) * rstd[r] * gain[c] + bias[c];
  }
  return { y, mean, rstd };
}

/** With x̂ the normalised row and g = dy∘gain: dx = residual + rstd·(g − mean(g) − x̂·mean(g∘x̂)). */
export function layernormBackward(op: LayerNormBackward, values: Values): void {
  const x = values(op.x), dy = values(op.dy), dx = values(op.dx), gain = values(op.gain);
  const mean = values(op.mean), rstd = values(op.rstd), residual = op.residual && values(op.residual);
  const dGain = values(op.dGain), dBias = values(op.dBias), [rows, d] = op.x.shape;
  if (!op.accumulate) {
    dGain.fill(0);
    dBias.fill(0);
  }
  for (let r = 0; r < rows; r++) {
    let meanG = 0, meanGx = 0;
    for (let c = 0; c < d; c++) {
      const at = r * d + c, hat = (x[at] - mean[r]) * rstd[r], g = dy[at] * gain[c];
      meanG += g / d;
      meanGx += g * hat / d;
      dGain[c] += dy[at] * hat;
      dBias[c] += dy[at];
    }
    for (let c = 0; c < d; c++) {
      const at = r * d + c, hat = (x[at] - mean[r]) * rstd[r];
      dx[at] = (residual ? residual[at] : 0) + rstd[r] * (dy[at] * gain[c] - meanG - hat * meanGx);
    }
  }
}
