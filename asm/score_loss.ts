// The loss of one number per row, weight·(x − t)², or weight·(ln(1 + eˣ) − t·x) where it is logistic, and its gradient · scale. A unit
// is a row; dX may be x itself.

import { getF32, loadPart, Optional, Pointer, setF32, storePart } from "./lib/memory";
import { exp, log, splat } from "./lib/math";

// ln(1 + e)
// @ts-ignore: decorator
@inline
function log1(e: f32): f32 {
  return log(1 + (e as f64)) as f32;
}

export function score_loss(
  begin: u32, end: u32, x: Pointer<f32>, targets: Pointer<f32>, weights: Pointer<f32>, losses: Pointer<f32>, dX: Optional<f32>,
  lossScale: Optional<f32>, squared: u32, meanScale: f32,
): void {
  const scale = splat(lossScale ? meanScale * load<f32>(lossScale) : meanScale), one = splat(1), none = splat(0);
  for (let row = begin; row < end; row += 4) {
    const at = (row as usize) << 2, have = end - row;
    const z = loadPart(x + at, have), t = loadPart(targets + at, have), weight = loadPart(weights + at, have), off = f32x4.sub(z, t);
    let loss = f32x4.mul(off, off), slope = f32x4.add(off, off);
    if (!squared) {
      // Of any z: σ(z) = 1 / (1 + e) or e / (1 + e), and ln(1 + e^z) = max(z, 0) + ln(1 + e), e = e^−|z|.
      const e = exp(f32x4.neg(f32x4.abs(z))), top = v128.bitselect(e, one, f32x4.lt(z, none));
      const logs = f32x4(
        log1(f32x4.extract_lane(e, 0)), log1(f32x4.extract_lane(e, 1)), log1(f32x4.extract_lane(e, 2)), log1(f32x4.extract_lane(e, 3)),
      );
      loss = f32x4.add(f32x4.sub(f32x4.max(z, none), f32x4.mul(t, z)), logs);
      slope = f32x4.sub(f32x4.div(top, f32x4.add(one, e)), t);
    }
    storePart(losses + at, f32x4.mul(weight, loss), have);
    if (dX) storePart(dX + at, f32x4.mul(f32x4.mul(weight, slope), scale), have);
  }
}
