// Vector functions. Constants of 2^r: a minimax fit of degree 6 on [−½, ½], relative error 2.0e-9 before rounding.

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

// 2^x within about 1 ulp; exactly 0 below −126.5 (so −∞ gives 0), ∞ above 127.5; NaN stays NaN.
export function exp2(x: v128): v128 {
  // pmax and pmin are one instruction each, and with x first they let NaN through.
  const clamped = f32x4.pmin(f32x4.pmax(x, splat(-127)), splat(128));
  const whole = f32x4.nearest(clamped);
  return scale2(fraction2(f32x4.sub(clamped, whole)), whole);
}

// 2^r for |r| ≤ ½.
// @ts-ignore: decorator
@inline
function fraction2(r: v128): v128 {
  let p = f32x4.add(f32x4.mul(splat(0.00015353361783091126), r), splat(0.0013398874455201658));
  p = f32x4.add(f32x4.mul(p, r), splat(0.009618437358503653));
  p = f32x4.add(f32x4.mul(p, r), splat(0.055503324709959535));
  p = f32x4.add(f32x4.mul(p, r), splat(0.24022647913616668));
  p = f32x4.add(f32x4.mul(p, r), splat(0.693147202855148));
  return f32x4.add(f32x4.mul(p, r), splat(1));
}

// p · 2^whole through the exponent bits: −127 gives the bits of 0, 128 those of ∞.
// @ts-ignore: decorator
@inline
function scale2(p: v128, whole: v128): v128 {
  const bits = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(whole), i32x4.splat(127)), 23);
  return f32x4.mul(p, bits);
}

// e^x within about 1 ulp: x = whole·ln 2 + r with ln 2 in two pieces, then 2^(r/ln 2).
export function exp(x: v128): v128 {
  const clamped = f32x4.pmin(f32x4.pmax(x, splat(-88.02969)), splat(88.72284));
  const whole = f32x4.nearest(f32x4.mul(clamped, splat(1.4426950408889634)));
  let r = f32x4.sub(clamped, f32x4.mul(whole, splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(whole, splat(-2.12194440e-4)));
  return scale2(fraction2(f32x4.mul(r, splat(1.4426950408889634))), whole);
}

// 1 / (1 + e^−1.702x): the sigmoid of the feed-forward activation x·sigmoid(1.702x).
// @ts-ignore: decorator
@inline
export function gate(x: v128): v128 {
  return f32x4.div(splat(1), f32x4.add(splat(1), exp(f32x4.mul(x, splat(-1.702)))));
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
  let sum: f64 = 0;
  for (let odd: f64 = 21; odd >= 1; odd -= 2) sum = sum * t + 1 / odd;
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
