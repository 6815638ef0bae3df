// µ-law companding, sign(x)·ln(1 + 255·|x|) / ln 256, by tables that src/data/mulaw.ts makes in float64. A unit is a sample.

import { setF32 } from "./lib/memory";

// 1 + 255·|x| in [1, 256] has exponents 0 … 8: with 7 bits of mantissa 8 · 128 + 1 cells, each holding at most one border
// between codes, because a code spans at least 256^(1/128) − 1 = 4.4 %: 5 cells. One set of cells a sign.
export const MULAW_CELLS: u32 = 1025;

// cells: [2 signs, 1025] of (f32 border, u32 code below it). Samples beyond ±1 get the extreme codes.
export function mulaw_encode(samples: usize, codes: usize, count: u32, cells: usize): void {
  const one = f32x4.splat(1), mu = f32x4.splat(255), base = i32x4.splat(0x3f80), negative = i32x4.splat(MULAW_CELLS);
  const vectors = count & ~3;
  for (let i: u32 = 0; i < vectors; i += 4) {
    const x = v128.load(samples + ((i as usize) << 2));
    // In this order a NaN becomes 1.
    const y = f32x4.add(one, f32x4.mul(mu, f32x4.pmin(one, f32x4.abs(x))));
    const cell = i32x4.add(i32x4.sub(i32x4.shr_u(y, 16), base), v128.and(i32x4.shr_s(x, 31), negative));
    const at = i32x4.shl(cell, 3);
    const a = cells + i32x4.extract_lane(at, 0), b = cells + i32x4.extract_lane(at, 1);
    const c = cells + i32x4.extract_lane(at, 2), d = cells + i32x4.extract_lane(at, 3);
    const low = load<u32>(a, 4) + u32(f32x4.extract_lane(x, 0) > load<f32>(a)) |
      (load<u32>(b, 4) + u32(f32x4.extract_lane(x, 1) > load<f32>(b))) << 8;
    const high = load<u32>(c, 4) + u32(f32x4.extract_lane(x, 2) > load<f32>(c)) |
      (load<u32>(d, 4) + u32(f32x4.extract_lane(x, 3) > load<f32>(d))) << 8;
    store<u32>(codes + i, low | high << 16);
  }
  for (let i = vectors; i < count; i++) {
    const x = load<f32>(samples + ((i as usize) << 2)), ax = abs(x);
    const y: f32 = 1 + 255 * (ax < 1 ? ax : 1);
    const cell = (reinterpret<u32>(y) >> 16) - 0x3f80 + (reinterpret<u32>(x) >> 31) * MULAW_CELLS;
    const at = cells + ((cell as usize) << 3);
    store<u8>(codes + i, load<u32>(at, 4) + u32(x > load<f32>(at)));
  }
}

// values: [256] f32, the amplitude of each code.
export function mulaw_decode(codes: usize, samples: usize, count: u32, values: usize): void {
  const vectors = count & ~3;
  for (let i: u32 = 0; i < vectors; i += 4) {
    const four = load<u32>(codes + i);
    let x = v128.load32_zero(values + ((four & 255) << 2));
    x = v128.load_lane<f32>(values + (four >> 6 & 0x3fc), x, 1);
    x = v128.load_lane<f32>(values + (four >> 14 & 0x3fc), x, 2);
    x = v128.load_lane<f32>(values + (four >> 22 & 0x3fc), x, 3);
    v128.store(samples + ((i as usize) << 2), x);
  }
  for (let i = vectors; i < count; i++) setF32(samples, i, load<f32>(values + ((load<u8>(codes + i) as usize) << 2)));
}
