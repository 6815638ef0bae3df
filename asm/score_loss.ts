// The loss of one number per row, squared or logistic, and its gradient. A unit is a row; dX may be x itself.

import { getF32, Optional, Pointer, setF32 } from "./lib/memory";
import { exp, log, splat } from "./lib/math";

export function score_loss(
  begin: u32, end: u32, x: Pointer<f32>, targets: Pointer<f32>, weights: Pointer<f32>, losses: Pointer<f32>, dX: Optional<f32>,
  lossScale: Optional<f32>, squared: u32, meanScale: f32,
): void {
  const scale = lossScale ? meanScale * load<f32>(lossScale) : meanScale;
  for (let row = begin; row < end; row++) {
    const z = getF32(x, row), t = getF32(targets, row), weight = getF32(weights, row), off = z - t;
    let loss: f32 = off * off, slope: f32 = 2.0 * off;
    if (!squared) {
      const e = f32x4.extract_lane(exp(splat(-abs(z))), 0), sigmoid = (z < 0 ? e : (1.0 as f32)) / ((1.0 as f32) + e);
      loss = max<f32>(z, 0) - t * z + (log(1 + (e as f64)) as f32);
      slope = sigmoid - t;
    }
    setF32(losses, row, weight * loss);
    if (dX) setF32(dX, row, weight * slope * scale);
  }
}
