// Layer norm of one row.

import { LAYERNORM_EPSILON } from "./constants.gen";
import { getF32, loadPart, storePart } from "./memory";
import { splat, sumLanes } from "./math";

// One row: to = (from − mean)·rstd·gain + bias. Returns the mean and rstd as lanes 0 and 1.
export function normalise(from: usize, gain: usize, bias: usize, to: usize, d: u32): v128 {
  const vectors = d & ~3, tail = d & 3;
  let sum = splat(0);
  for (let c: u32 = 0; c < d; c += 4) sum = f32x4.add(sum, loadPart(from + ((c as usize) << 2), d - c));
  const average = sumLanes(sum) / (d as f32), center = splat(average);
  let squares = splat(0);
  for (let c: u32 = 0; c < vectors; c += 4) {
    const t = f32x4.sub(v128.load(from + ((c as usize) << 2)), center);
    squares = f32x4.add(squares, f32x4.mul(t, t));
  }
  let variance = sumLanes(squares);
  for (let c = vectors; c < d; c++) {
    const t = getF32(from, c) - average;
    variance += t * t;
  }
  const r = (1 / sqrt((variance / (d as f32)) as f64 + LAYERNORM_EPSILON)) as f32, factor = splat(r);
  for (let c: u32 = 0; c < vectors; c += 4) {
    const at = (c as usize) << 2;
    const t = f32x4.mul(f32x4.mul(f32x4.sub(v128.load(from + at), center), factor), v128.load(gain + at));
    v128.store(to + at, f32x4.add(t, v128.load(bias + at)));
  }
  if (tail) {
    const at = (vectors as usize) << 2;
    const t = f32x4.mul(f32x4.mul(f32x4.sub(loadPart(from + at, tail), center), factor), loadPart(gain + at, tail));
    storePart(to + at, f32x4.add(t, loadPart(bias + at, tail)), tail);
  }
  return f32x4.replace_lane(center, 1, r);
}
