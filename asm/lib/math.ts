// Vector functions. Their constants lie in memory, a broadcast load each: V8 builds a vector constant from two 64-bit
// immediates wherever it is used, in loops too, which took 20 of the 30 cycles of an exponential.

import { GELU_SLOPE } from "./constants.gen";
import { loadPart } from "./memory";

let constants: usize = 0;

// Bytes of the constants.
export const CONSTANTS: usize = 128;

// Writes the constants to the thread's own place for them.
export function setConstants(at: usize): void {
  constants = at;
  store<f32>(at, -127);
  store<f32>(at, 128, 4);
  store<f32>(at, 12582912, 8);
  store<u32>(at, 127 << 23, 12);
  store<f32>(at, 0.00015353361783091126, 16);
  store<f32>(at, 0.0013398874455201658, 20);
  store<f32>(at, 0.009618437358503653, 24);
  store<f32>(at, 0.055503324709959535, 28);
  store<f32>(at, 0.24022647913616668, 32);
  store<f32>(at, 0.693147202855148, 36);
  store<f32>(at, 1, 40);
  store<f32>(at, -88.02969, 44);
  store<f32>(at, 88.72284, 48);
  store<f32>(at, 1.4426950408889634, 52);
  store<f32>(at, 0.693359375, 56);
  store<f32>(at, -2.12194440e-4, 60);
  store<f32>(at, -GELU_SLOPE as f32, 64);
}

// x rounded up to a multiple of 4, of 8.
// @ts-ignore: decorator
@inline
export function up4(x: u32): u32 {
  return (x + 3) & ~3;
}

// @ts-ignore: decorator
@inline
export function up8(x: u32): u32 {
  return (x + 7) & ~7;
}

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

// 2^x within about 1 ulp; exactly 0 below −126.5 (so −∞ gives 0), ∞ above 127.5; NaN stays NaN.
// @ts-ignore: decorator
@inline
export function exp2(x: v128): v128 {
  const at = constants;
  // pmax and pmin are one instruction each, and with x first they let NaN through.
  const clamped = f32x4.pmin(f32x4.pmax(x, v128.load32_splat(at)), v128.load32_splat(at, 4));
  const round = v128.load32_splat(at, 8), rounded = f32x4.add(clamped, round);
  return scale2(at, fraction2(at, f32x4.sub(clamped, f32x4.sub(rounded, round))), rounded);
}

// 2^r for |r| ≤ ½: a minimax fit of degree 6, relative error 2.0e-9 before rounding.
// @ts-ignore: decorator
@inline
function fraction2(at: usize, r: v128): v128 {
  let p = f32x4.add(f32x4.mul(v128.load32_splat(at, 16), r), v128.load32_splat(at, 20));
  p = f32x4.add(f32x4.mul(p, r), v128.load32_splat(at, 24));
  p = f32x4.add(f32x4.mul(p, r), v128.load32_splat(at, 28));
  p = f32x4.add(f32x4.mul(p, r), v128.load32_splat(at, 32));
  p = f32x4.add(f32x4.mul(p, r), v128.load32_splat(at, 36));
  return f32x4.add(f32x4.mul(p, r), v128.load32_splat(at, 40));
}

// p · 2^whole. Added to 1.5 · 2²³ a number below 2²² leaves its nearest integer in the low bits: that is `rounded`, and
// −127 gives the bits of 0, 128 those of ∞.
// @ts-ignore: decorator
@inline
function scale2(at: usize, p: v128, rounded: v128): v128 {
  return f32x4.mul(p, i32x4.add(i32x4.shl(rounded, 23), v128.load32_splat(at, 12)));
}

// e^x within about 1 ulp: x = whole·ln 2 + r with ln 2 in two pieces, then 2^(r/ln 2).
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  const at = constants, perLn2 = v128.load32_splat(at, 52), round = v128.load32_splat(at, 8);
  const clamped = f32x4.pmin(f32x4.pmax(x, v128.load32_splat(at, 44)), v128.load32_splat(at, 48));
  const rounded = f32x4.add(f32x4.mul(clamped, perLn2), round), whole = f32x4.sub(rounded, round);
  let r = f32x4.sub(clamped, f32x4.mul(whole, v128.load32_splat(at, 56)));
  r = f32x4.sub(r, f32x4.mul(whole, v128.load32_splat(at, 60)));
  return scale2(at, fraction2(at, f32x4.mul(r, perLn2)), rounded);
}

// 1 / (1 + e^−1.702x): the sigmoid of the feed-forward activation x·sigmoid(1.702x).
// @ts-ignore: decorator
@inline
export function gate(x: v128): v128 {
  const one = v128.load32_splat(constants, 40);
  return f32x4.div(one, f32x4.add(one, exp(f32x4.mul(x, v128.load32_splat(constants, 64)))));
}

// Natural logarithm of a positive number, in f64, without tables (tables would need a data segment). NaN stays NaN.
export function log(x: f64): f64 {
  if (x - x != 0) return x;
  const bits = reinterpret<u64>(x);
  let exponent = ((bits >> 52) as i32) - 1023;
  let m = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  // ln m = 2·artanh(s); |s| < 0.172, so the first term left out is below 1e-17.
  const s = (m - 1) / (m + 1), t = s * s;
  let sum: f64 = 1.0 / 21.0;
  sum = sum * t + 1.0 / 19.0;
  sum = sum * t + 1.0 / 17.0;
  sum = sum * t + 1.0 / 15.0;
  sum = sum * t + 1.0 / 13.0;
  sum = sum * t + 1.0 / 11.0;
  sum = sum * t + 1.0 / 9.0;
  sum = sum * t + 1.0 / 7.0;
  sum = sum * t + 1.0 / 5.0;
  sum = sum * t + 1.0 / 3.0;
  sum = sum * t + 1.0;
  return (exponent as f64) * 0.6931471805599453 + 2 * s * sum;
}

// @ts-ignore: decorator
@inline
export function sumLanes(x: v128): f32 {
  return (f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1)) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

// @ts-ignore: decorator
@inline
export function maxLanes(x: v128): f32 {
  return max(max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)), max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

// Dot product, four sums in turn so that additions overlap. `w` is read from its start to its end, so that row after row
// the weights of a model are one stream: from memory 25 GB/s, where four rows at once give 11; from a shared
// cache 42 and 37 (rows of 256).
// @ts-ignore: decorator
@inline
export function dot(x: usize, w: usize, inner: u32): f32 {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
  const end = x + ((inner as usize) << 2), turns = x + (((inner & ~15) as usize) << 2);
  for (; x < turns; x += 64) {
    s0 = f32x4.add(s0, f32x4.mul(v128.load(x), v128.load(w)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(x, 16), v128.load(w, 16)));
    s2 = f32x4.add(s2, f32x4.mul(v128.load(x, 32), v128.load(w, 32)));
    s3 = f32x4.add(s3, f32x4.mul(v128.load(x, 48), v128.load(w, 48)));
    w += 64;
  }
  for (; x < end; x += 16) {
    const left = ((end - x) >> 2) as u32;
    s0 = f32x4.add(s0, f32x4.mul(loadPart(x, left), loadPart(w, left)));
    w += 16;
  }
  return sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
}

// The same of two rows of x, `stride` bytes apart, with one of w: to `to` and 32 bytes behind it.
// @ts-ignore: decorator
@inline
export function dotPair(x: usize, stride: usize, w: usize, inner: u32, to: usize): void {
  let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0), t0 = splat(0), t1 = splat(0), t2 = splat(0), t3 = splat(0);
  const end = x + ((inner as usize) << 2), turns = x + (((inner & ~15) as usize) << 2);
  let y = x + stride;
  for (; x < turns; x += 64) {
    let v = v128.load(w);
    s0 = f32x4.add(s0, f32x4.mul(v128.load(x), v));
    t0 = f32x4.add(t0, f32x4.mul(v128.load(y), v));
    v = v128.load(w, 16);
    s1 = f32x4.add(s1, f32x4.mul(v128.load(x, 16), v));
    t1 = f32x4.add(t1, f32x4.mul(v128.load(y, 16), v));
    v = v128.load(w, 32);
    s2 = f32x4.add(s2, f32x4.mul(v128.load(x, 32), v));
    t2 = f32x4.add(t2, f32x4.mul(v128.load(y, 32), v));
    v = v128.load(w, 48);
    s3 = f32x4.add(s3, f32x4.mul(v128.load(x, 48), v));
    t3 = f32x4.add(t3, f32x4.mul(v128.load(y, 48), v));
    y += 64;
    w += 64;
  }
  for (; x < end; x += 16) {
    const left = ((end - x) >> 2) as u32, v = loadPart(w, left);
    s0 = f32x4.add(s0, f32x4.mul(loadPart(x, left), v));
    t0 = f32x4.add(t0, f32x4.mul(loadPart(y, left), v));
    y += 16;
    w += 16;
  }
  store<f32>(to, sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))));
  store<f32>(to, sumLanes(f32x4.add(f32x4.add(t0, t1), f32x4.add(t2, t3))), 32);
}
