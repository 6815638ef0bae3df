// Branches of an attention, mixed by gates, y = Σ σ(gate)·branch, and the gradients; a branch per call.

import { exp, dot, splat } from "./lib/math";
import { getF32, loadPart, Pointer, setF32, storePart } from "./lib/memory";

// @ts-ignore: decorator
@inline
export function sigmoid(x: f32): f32 {
  return 1 / (1 + f32x4.extract_lane(exp(splat(-x)), 0));
}

// y (+)= σ(gates[row, first + h]) · part. A unit is a row.
export function mix(
  begin: u32, end: u32, gates: Pointer<f32>, part: Pointer<f32>, y: Pointer<f32>, heads: u32, d: u32, columns: u32, first: u32,
): void {
  for (let row = begin; row < end; row++) {
    for (let head: u32 = 0; head < heads; head++) {
      const by = splat(sigmoid(getF32(gates, row * columns + first + head))), at = (((row * heads + head) * d) as usize) << 2;
      for (let c: u32 = 0; c < d; c += 4) {
        const to = y + at + ((c as usize) << 2), left = d - c;
        const value = f32x4.mul(by, loadPart(part + at + ((c as usize) << 2), left));
        storePart(to, first ? f32x4.add(loadPart(to, left), value) : value, left);
      }
    }
  }
}

// dz = σ′(z) · (dy · part), dPart = σ(z) · dy. A unit is a row.
export function mix_backward(
  begin: u32, end: u32, gates: Pointer<f32>, part: Pointer<f32>, dy: Pointer<f32>, dGates: Pointer<f32>, dPart: Pointer<f32>, heads: u32, d: u32,
  columns: u32, first: u32,
): void {
  for (let row = begin; row < end; row++) {
    for (let head: u32 = 0; head < heads; head++) {
      const place = row * columns + first + head, gate = sigmoid(getF32(gates, place)), by = splat(gate);
      const at = (((row * heads + head) * d) as usize) << 2;
      setF32(dGates, place, gate * (1 - gate) * dot(dy + at, part + at, d));
      for (let c: u32 = 0; c < d; c += 4) {
        const to = at + ((c as usize) << 2), left = d - c;
        storePart(dPart + to, f32x4.mul(by, loadPart(dy + to, left)), left);
      }
    }
  }
}

// y += x. A unit is a row.
export function add(begin: u32, end: u32, x: Pointer<f32>, y: Pointer<f32>, width: u32): void {
  for (let c = begin * width, last = end * width; c < last; c += 4) {
    const at = (c as usize) << 2, left = last - c;
    storePart(y + at, f32x4.add(loadPart(y + at, left), loadPart(x + at, left)), left);
  }
}
