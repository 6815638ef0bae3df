// Gradients as f16 on their way between processes: f32 to f16 and back, and sums of f16 over processes, made in f32. A unit is 8 numbers.

import { Pointer } from "./lib/memory";

// Four f16, in bits, to f32: a normal's exponent goes from a bias of 15 to one of 127, a subnormal is a multiple of 2⁻²⁴.
// @ts-ignore: decorator
@inline
function widen(half: v128): v128 {
  const magnitude = v128.and(half, i32x4.splat(0x7fff)), moved = i32x4.shl(magnitude, 13);
  const normal = i32x4.add(moved, i32x4.splat(112 << 23)), subnormal = f32x4.mul(f32x4.convert_i32x4_s(magnitude), f32x4.splat(1.0 / 16777216));
  const finite = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x400)));
  const endless = v128.and(i32x4.ge_s(magnitude, i32x4.splat(0x7c00)), i32x4.splat(0x7f800000));
  return v128.or(v128.or(finite, endless), i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16));
}

// Four f32 to the bits of the nearest f16, ties to even; from 65,520 on infinity.
// @ts-ignore: decorator
@inline
function narrow(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff)), rebased = i32x4.sub(magnitude, i32x4.splat(112 << 23));
  const odd = v128.and(i32x4.shr_u(rebased, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(rebased, i32x4.splat(0xfff)), odd), 13);
  // Beside ½ an f32 has as many places as a subnormal of f16, and adding rounds to them.
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  let y = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  y = v128.bitselect(i32x4.splat(0x7c00), y, i32x4.ge_s(magnitude, i32x4.splat(0x477ff000)));
  y = v128.bitselect(i32x4.splat(0x7e00), y, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
  return v128.or(y, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)));
}

// @ts-ignore: decorator
@inline
function low(halves: v128): v128 {
  return widen(i32x4.extend_low_i16x8_u(halves));
}

// @ts-ignore: decorator
@inline
function high(halves: v128): v128 {
  return widen(i32x4.extend_high_i16x8_u(halves));
}

export function halves_pack(begin: u32, end: u32, from: Pointer<f32>, to: Pointer<u32>): void {
  for (let i = begin as usize; i < (end as usize); i++) {
    v128.store(to + (i << 4), i16x8.narrow_i32x4_u(narrow(v128.load(from + (i << 5))), narrow(v128.load(from + (i << 5), 16))));
  }
}

export function halves_unpack(begin: u32, end: u32, from: Pointer<u32>, to: Pointer<f32>): void {
  for (let i = begin as usize; i < (end as usize); i++) {
    const halves = v128.load(from + (i << 4));
    v128.store(to + (i << 5), low(halves));
    v128.store(to + (i << 5), high(halves), 16);
  }
}

// to = Σ of `ranks` lists of f16 that lie one after another, `bytes` each, added in their order.
export function halves_sum(begin: u32, end: u32, ranks: u32, bytes: u32, from: Pointer<u32>, to: Pointer<u32>): void {
  for (let i = begin as usize; i < (end as usize); i++) {
    let at = from + (i << 4), halves = v128.load(at), first = low(halves), second = high(halves);
    for (let rank: u32 = 1; rank < ranks; rank++) {
      at += bytes;
      halves = v128.load(at);
      first = f32x4.add(first, low(halves));
      second = f32x4.add(second, high(halves));
    }
    v128.store(to + (i << 4), i16x8.narrow_i32x4_u(narrow(first), narrow(second)));
  }
}
