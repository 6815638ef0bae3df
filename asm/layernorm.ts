// The norm of Eqs. 9–14 by row, y = (x − mean)·rstd·gain + bias, rstd = 1/√(variance + 1e-5), and its gradient.

import { getF32, loadPart, Optional, Pointer, setF32, storePart } from "./lib/memory";
import { splat, sumLanes } from "./lib/math";
import { normalise } from "./lib/normalise";

// A unit is a row.
export function layernorm(
  begin: u32, end: u32, x: Pointer<f32>, gain: Pointer<f32>, bias: Pointer<f32>, y: Pointer<f32>, mean: Pointer<f32>,
  rstd: Pointer<f32>, d: u32,
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
  begin: u32, end: u32, x: Pointer<f32>, gain: Pointer<f32>, mean: Pointer<f32>, rstd: Pointer<f32>, dy: Pointer<f32>,
  residual: Optional<f32>, dx: Pointer<f32>, partial: Pointer<f32>, rows: u32, d: u32, chunk: u32,
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

// Columns of a unit of the sum.
export const LAYERNORM_COLUMNS: u32 = 4;

// dGain, dBias (+)= the chunks' shares, in order. A unit is LAYERNORM_COLUMNS columns.
export function layernorm_backward_sum(
  begin: u32, end: u32, partial: Pointer<f32>, dGain: Pointer<f32>, dBias: Pointer<f32>, chunks: u32, d: u32, accumulate: bool,
): void {
  for (let c = begin * LAYERNORM_COLUMNS; c < min(d, end * LAYERNORM_COLUMNS); c += LAYERNORM_COLUMNS) {
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
