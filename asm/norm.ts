// Sums, the squared global norm, and the factor that clips: min(1, maxNorm / (√squareNorm / S + 1e-6)) / S, S the loss scale.
// Sums go over fixed chunks to f64 partials, then over the partials in order, so that they do not depend on threads.

import { CLEAN_STEPS, HYPER } from "./lib/constants.gen";
import { getF32, getU32, Optional, Pointer } from "./lib/memory";

// Σ x of chunk u of `chunk` elements into partials[u].
export function sum_chunks(begin: u32, end: u32, x: Pointer<f32>, count: u32, chunk: u32, partials: Pointer<f64>): void {
  for (let unit = begin; unit < end; unit++) {
    const last = min(count, (unit + 1) * chunk);
    let total: f64 = 0;
    for (let i = unit * chunk; i < last; i++) total += getF32(x, i) as f64;
    store<f64>(partials + ((unit as usize) << 3), total);
  }
}

// Σ x² of the chunk that table entry u names (address, elements) into partials[u].
export function square_chunks(begin: u32, end: u32, table: Pointer<u32>, partials: Pointer<f64>): void {
  for (let unit = begin; unit < end; unit++) {
    const x = getU32(table, unit * 2) as usize, count = getU32(table, unit * 2 + 1), vectors = count & ~3;
    let a = f64x2.splat(0), b = f64x2.splat(0);
    for (let i: u32 = 0; i < vectors; i += 4) {
      const t = v128.load(x + ((i as usize) << 2));
      const low = f64x2.promote_low_f32x4(t), high = f64x2.promote_low_f32x4(v128.shuffle<i32>(t, t, 2, 3, 0, 1));
      a = f64x2.add(a, f64x2.mul(low, low));
      b = f64x2.add(b, f64x2.mul(high, high));
    }
    const both = f64x2.add(a, b);
    let total = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
    for (let i = vectors; i < count; i++) {
      const t = getF32(x, i) as f64;
      total += t * t;
    }
    store<f64>(partials + ((unit as usize) << 3), total);
  }
}

// y[0] (+)= scale · Σ partials. One unit.
export function sum_partials(
  begin: u32, end: u32, partials: Pointer<f64>, count: u32, y: Pointer<f32>, scale: f64, accumulate: bool,
): void {
  let total: f64 = 0;
  for (let i: u32 = 0; i < count; i++) total += load<f64>(partials + ((i as usize) << 3));
  total *= scale;
  store<f32>(y, (accumulate ? total + (load<f32>(y) as f64) : total) as f32);
}

// The factor that gradients are multiplied by, this step's constants (row skipped − known of schedule [rows, HYPER]), and the loss scale's
// next value (lossScale may be 0: absent). One unit.
export function clip(
  begin: u32, end: u32, squareNorm: Pointer<f32>, factor: Pointer<f32>, skipped: Pointer<u32>, lossScale: Optional<f32>, maxNorm: f64,
  schedule: Pointer<f32>, rows: u32, known: Pointer<u32>, hyper: Pointer<f32>,
): void {
  if (HYPER != 4) ERROR("a step's constants are one vector");
  v128.store(hyper, v128.load(schedule + ((min(load<u32>(skipped) - load<u32>(known), rows - 1) as usize) << 4)));
  const square = load<f32>(squareNorm) as f64, scale: f32 = lossScale ? load<f32>(lossScale) : 1;
  // ∞ − ∞ and NaN − NaN are NaN.
  if (square - square != 0) {
    store<f32>(factor, 0);
    store<u32>(skipped, load<u32>(skipped) + 1);
    store<u32>(skipped, load<u32>(skipped, 4) + 1, 4);
    if (lossScale) {
      store<f32>(lossScale, scale / 2);
      store<f32>(lossScale, 0, 4);
    }
    return;
  }
  const norm = sqrt(square) / (scale as f64);
  store<f32>(factor, ((maxNorm == 0 ? 1 : min<f64>(1, maxNorm / (norm + 1e-6))) / (scale as f64)) as f32);
  store<u32>(skipped, 0, 4);
  if (!lossScale) return;
  const clean = load<f32>(lossScale, 4) + 1;
  store<f32>(lossScale, clean >= (CLEAN_STEPS as f32) ? scale * 2 : scale);
  store<f32>(lossScale, clean >= (CLEAN_STEPS as f32) ? 0 : clean, 4);
}
