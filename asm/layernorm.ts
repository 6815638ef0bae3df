// Layer norm by row, ε = 1e-5.

import { getF32, loadPart, setF32, storePart } from "./memory";
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
  const r = (1 / sqrt((variance / (d as f32)) as f64 + 1e-5)) as f32, factor = splat(r);
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

// A unit is a row.
export function layernorm(
  begin: u32, end: u32, x: usize, gain: usize, bias: usize, y: usize, mean: usize, rstd: usize, d: u32,
): void {
  for (let row = begin; row < end; row++) {
    const at = (row as usize) * d * 4, statistics = normalise(x + at, gain, bias, y + at, d);
    setF32(mean, row, f32x4.extract_lane(statistics, 0));
    setF32(rstd, row, f32x4.extract_lane(statistics, 1));
  }
}

// dx of the rows of a chunk, and the chunk's share of dGain and dBias into partial [chunks, 2, d]. A unit is a chunk of
// `chunk` rows: a fixed number, so that sums do not depend on how many threads there are.
export function layernorm_backward(
  begin: u32, end: u32, x: usize, gain: usize, mean: usize, rstd: usize, dy: usize, residual: usize, dx: usize, partial: usize,
  rows: u32, d: u32, chunk: u32,
): void {
  for (let unit = begin; unit < end; unit++) {
    const dGain = partial + (unit as usize) * d * 8, dBias = dGain + (d as usize) * 4;
    memory.fill(dGain, 0, (d as usize) << 3);
    const last = min(rows, (unit + 1) * chunk);
    for (let row = unit * chunk; row < last; row++) {
      const offset = (row as usize) * d * 4, r = splat(getF32(rstd, row)), center = splat(getF32(mean, row));
      let sum = splat(0), dot = splat(0);
      for (let c: u32 = 0; c < d; c += 4) {
        const at = (c as usize) << 2, left = d - c;
        const g = loadPart(dy + offset + at, left);
        // Past the row's end the loads give 0, and 0 − mean times 0 of dy adds nothing.
        const hat = f32x4.mul(f32x4.sub(loadPart(x + offset + at, left), center), r);
        const product = f32x4.mul(g, hat), weighted = f32x4.mul(g, loadPart(gain + at, left));
        storePart(dGain + at, f32x4.add(loadPart(dGain + at, left), product), left);
        storePart(dBias + at, f32x4.add(loadPart(dBias + at, left), g), left);
        sum = f32x4.add(sum, weighted);
        dot = f32x4.add(dot, f32x4.mul(weighted, hat));
      }
      const a = splat(sumLanes(sum) / (d as f32)), b = splat(sumLanes(dot) / (d as f32));
      for (let c: u32 = 0; c < d; c += 4) {
        const at = (c as usize) << 2, left = d - c;
        const hat = f32x4.mul(f32x4.sub(loadPart(x + offset + at, left), center), r);
        const weighted = f32x4.mul(loadPart(dy + offset + at, left), loadPart(gain + at, left));
        let out = f32x4.mul(r, f32x4.sub(f32x4.sub(weighted, a), f32x4.mul(hat, b)));
        if (residual) out = f32x4.add(out, loadPart(residual + offset + at, left));
        storePart(dx + offset + at, out, left);
      }
    }
  }
}

// dGain, dBias (+)= the chunks' shares, in order. A unit is 4 columns.
export function layernorm_backward_sum(
  begin: u32, end: u32, partial: usize, dGain: usize, dBias: usize, chunks: u32, d: u32, accumulate: u32,
): void {
  for (let c = begin << 2; c < min(d, end << 2); c += 4) {
    const at = (c as usize) << 2, left = d - c, row = (d as usize) << 2;
    let a = splat(0), b = splat(0), from = partial + at;
    for (let i: u32 = 0; i < chunks; i++) {
      a = f32x4.add(a, loadPart(from, left));
      b = f32x4.add(b, loadPart(from + row, left));
      from += row << 1;
    }
    if (accumulate) {
      a = f32x4.add(a, loadPart(dGain + at, left));
      b = f32x4.add(b, loadPart(dBias + at, left));
    }
    storePart(dGain + at, a, left);
    storePart(dBias + at, b, left);
  }
}
