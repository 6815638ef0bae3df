// Weights of int8, w = scale·i8 by rows, on their way to f32.
// Eight bytes are read at a time: of a tensor's last ones up to seven behind it, which the engine keeps room for.

import { loadPart } from "./memory";
import { splat, sumLanes } from "./math";

// The first four of eight i16 as f32, and the last four.
// @ts-ignore: decorator
@inline
function low(x: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(x));
}
// @ts-ignore: decorator
@inline
function high(x: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(x));
}

// Floats that decode() writes for so many numbers.
export function decoded(count: u32): u32 {
  return (count + 7) & ~7;
}

// `count` numbers as f32, times `scale`.
export function decode(from: usize, count: u32, scale: f32, to: usize): void {
  const by = splat(scale);
  for (let end = to + ((count as usize) << 2); to < end; to += 32) {
    const x = v128.load8x8_s(from);
    v128.store(to, f32x4.mul(by, low(x)));
    v128.store(to, f32x4.mul(by, high(x)), 16);
    from += 8;
  }
}

// dot() of math.ts with a row of int8. A product's time is that of its loads, of which this has five for eight: as fast where w comes from a
// cache, faster where it comes from memory.
export function dotInt8(x: usize, w: usize, inner: u32): f32 {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  const end = x + ((inner as usize) << 2), turns = x + (((inner & ~15) as usize) << 2);
  for (; x < turns; x += 64) {
    let v = v128.load8x8_s(w);
    s0 = f32x4.add(s0, f32x4.mul(v128.load(x), low(v)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(x, 16), high(v)));
    v = v128.load8x8_s(w, 8);
    s2 = f32x4.add(s2, f32x4.mul(v128.load(x, 32), low(v)));
    s3 = f32x4.add(s3, f32x4.mul(v128.load(x, 48), high(v)));
    w += 16;
  }
  for (; x < end; x += 16) {
    s0 = f32x4.add(s0, f32x4.mul(loadPart(x, ((end - x) >> 2) as u32), low(v128.load8x8_s(w))));
    w += 4;
  }
  return sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
}
