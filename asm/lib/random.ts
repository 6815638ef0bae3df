// Threefry-2x32-20, four counters at once: the twin of src/base/random.ts.

import { words } from "../workspace";

// x rotated left, xor y.
// @ts-ignore: decorator
@inline
function mix(x: v128, y: v128, by: i32): v128 {
  return v128.xor(v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by)), y);
}

// The 8 words of blocks c0 … c0 + 3, in order, to `out`. The rounds are written out: in a loop the rotations are no
// immediates, and the state lives in globals.
export function threefry(k0: u32, k1: u32, c0: u32, c1: u32, out: usize): void {
  const k2 = k0 ^ k1 ^ 0x1bd11bda;
  let x0 = i32x4.add(i32x4.splat(c0 + k0), i32x4(0, 1, 2, 3)), x1 = i32x4.splat(c1 + k1);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 13);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 15);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 26);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 6);
  x0 = i32x4.add(x0, i32x4.splat(k1));
  x1 = i32x4.add(x1, i32x4.splat(k2 + 1));
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 17);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 29);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 16);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 24);
  x0 = i32x4.add(x0, i32x4.splat(k2));
  x1 = i32x4.add(x1, i32x4.splat(k0 + 2));
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 13);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 15);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 26);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 6);
  x0 = i32x4.add(x0, i32x4.splat(k0));
  x1 = i32x4.add(x1, i32x4.splat(k1 + 3));
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 17);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 29);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 16);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 24);
  x0 = i32x4.add(x0, i32x4.splat(k1));
  x1 = i32x4.add(x1, i32x4.splat(k2 + 4));
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 13);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 15);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 26);
  x0 = i32x4.add(x0, x1);
  x1 = mix(x1, x0, 6);
  x0 = i32x4.add(x0, i32x4.splat(k2));
  x1 = i32x4.add(x1, i32x4.splat(k0 + 5));
  v128.store(out, v128.shuffle<i32>(x0, x1, 0, 4, 1, 5));
  v128.store(out, v128.shuffle<i32>(x0, x1, 2, 6, 3, 7), 16);
}

// The dropout of one operation: key (seed, site), second counter word `step`.
let seed: u32 = 0, site: u32 = 0, step: u32 = 0, before: u32 = 0, threshold: u32 = 0, kept: f32 = 1;

// `seeds` is the address of [seed, counter of the step's first micro-batch].
// `first` is the number, in the whole, of the output's first element.
export function beginDropout(seeds: usize, dropoutSite: u32, micro: u32, first: u32, p: f64): void {
  seed = load<u32>(seeds);
  site = dropoutSite;
  step = load<u32>(seeds, 4) + micro;
  before = first;
  threshold = floor(p * 16777216) as u32;
  kept = (1 / (1 - p)) as f32;
}

// Masks and scales the 8 numbers at `at`, elements `index` … `index + 7` of the operation's output.
export function drop8(at: usize, index: u32): void {
  const limit = i32x4.splat(threshold), scale = f32x4.splat(kept), drawn = words();
  index += before;
  threefry(seed, site, index >> 1, step, drawn);
  // An odd index starts at a block's second word and ends in a fifth block.
  if (index & 1) threefry(seed, site, (index >> 1) + 4, step, drawn + 32);
  const words0 = drawn + ((index & 1) << 2);
  const low = i32x4.ge_s(i32x4.shr_u(v128.load(words0), 8), limit), high = i32x4.ge_s(i32x4.shr_u(v128.load(words0, 16), 8), limit);
  v128.store(at, v128.and(f32x4.mul(v128.load(at), scale), low));
  v128.store(at, v128.and(f32x4.mul(v128.load(at, 16), scale), high), 16);
}
