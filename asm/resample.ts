// A polyphase filter for a rate change by up / down. A unit is an output sample.

import { setF32 } from "./lib/memory";

// Output k is Σ_j filter[phase, j] · x[at + j], where position `at` and `phase` move on by down / up a sample.
// x: [… at + taps) f32; filter: [up, taps] f32, taps a multiple of 8.
export function resample(
  x: usize, at: u32, phase: u32, count: u32, up: u32, down: u32, filter: usize, taps: u32, out: usize,
): void {
  const whole = down / up, part = down % up, bytes = (taps as usize) << 2;
  for (let k: u32 = 0; k < count; k++) {
    const from = x + ((at as usize) << 2), weights = filter + (phase as usize) * bytes;
    let a = f32x4.splat(0), b = f32x4.splat(0);
    for (let j: usize = 0; j < bytes; j += 32) {
      a = f32x4.add(a, f32x4.mul(v128.load(from + j), v128.load(weights + j)));
      b = f32x4.add(b, f32x4.mul(v128.load(from + j, 16), v128.load(weights + j, 16)));
    }
    const sum = f32x4.add(a, b);
    setF32(
      out,
      k,
      (f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1)) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3)),
    );
    at += whole;
    phase += part;
    if (phase >= up) {
      phase -= up;
      at++;
    }
  }
}
