// The inner product of everything: a 4 × 8 tile of C in eight registers, and the packing that feeds it.
// A four is 4 rows of A, column after column: [k][4], 16 bytes per column.
// A panel is 8 columns of B, row after row: [k][8], 32 bytes per row, 0 where B has no such column.

import { loadPart } from "./memory";
import { splat } from "./math";

// Columns of a panel.
export const PANEL: u32 = 8;

// Steps of the inner dimension between visits to C: a panel of 512 · 32 bytes is half of a 32 KiB first-level cache.
export const DEPTH: u32 = 512;

/**
 * C[4][8] (+)= four[k][4] · panel[k][8]; `stride` is the bytes between rows of C.
 * Deno checks every access against the memory's size (V8 without its trap handler), three instructions a load: so a column
 * of A is one load and three shuffles. The fourth row is loaded, because shuffles share pipes with the arithmetic. GFLOP/s in
 * cache, Deno and Node 20: so 41.7 and 42; four shuffles 40 and 40; four loads 35 and 28. Two steps a turn are merged by the
 * compilers into more live registers than there are: 31.
 */
export function tile4x8(a: usize, b: usize, k: u32, c: usize, stride: usize, accumulate: bool): void {
  let c00 = splat(0), c01 = splat(0);
  let c10 = splat(0), c11 = splat(0);
  let c20 = splat(0), c21 = splat(0);
  let c30 = splat(0), c31 = splat(0);
  if (accumulate) {
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c10 = v128.load(c + stride);
    c11 = v128.load(c + stride, 16);
    c20 = v128.load(c + 2 * stride);
    c21 = v128.load(c + 2 * stride, 16);
    c30 = v128.load(c + 3 * stride);
    c31 = v128.load(c + 3 * stride, 16);
  }
  for (let end = b + ((k as usize) << 5); b < end; b += 32) {
    const b0 = v128.load(b), b1 = v128.load(b, 16), column = v128.load(a);
    let x = v128.shuffle<i32>(column, column, 0, 0, 0, 0);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.shuffle<i32>(column, column, 1, 1, 1, 1);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    x = v128.shuffle<i32>(column, column, 2, 2, 2, 2);
    c20 = f32x4.add(c20, f32x4.mul(x, b0));
    c21 = f32x4.add(c21, f32x4.mul(x, b1));
    x = v128.load32_splat(a, 12);
    c30 = f32x4.add(c30, f32x4.mul(x, b0));
    c31 = f32x4.add(c31, f32x4.mul(x, b1));
    a += 16;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c + stride, c10);
  v128.store(c + stride, c11, 16);
  v128.store(c + 2 * stride, c20);
  v128.store(c + 2 * stride, c21, 16);
  v128.store(c + 3 * stride, c30);
  v128.store(c + 3 * stride, c31, 16);
}

// Four rows of four, transposed, to four places `stride` bytes apart.
// @ts-ignore: decorator
@inline
export function transpose4(r0: v128, r1: v128, r2: v128, r3: v128, to: usize, stride: usize): void {
  const t0 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5), t1 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
  const t2 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5), t3 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(t0, t2, 0, 2));
  v128.store(to + stride, v128.shuffle<i64>(t0, t2, 1, 3));
  v128.store(to + 2 * stride, v128.shuffle<i64>(t1, t3, 0, 2));
  v128.store(to + 3 * stride, v128.shuffle<i64>(t1, t3, 1, 3));
}

// The first `count` columns of four rows, times `scale`, as `count` rows of four numbers, `stride` bytes apart: with 16 a four,
// with 32 half a panel.
export function turn(r0: usize, r1: usize, r2: usize, r3: usize, count: u32, to: usize, stride: usize, scale: f32): void {
  const by = splat(scale);
  let left = count;
  for (; left >= 4; left -= 4) {
    transpose4(
      f32x4.mul(v128.load(r0), by), f32x4.mul(v128.load(r1), by), f32x4.mul(v128.load(r2), by), f32x4.mul(v128.load(r3), by), to, stride,
    );
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    to += 4 * stride;
  }
  for (; left > 0; left--) {
    let x = f32x4.splat(load<f32>(r0));
    x = f32x4.replace_lane(x, 1, load<f32>(r1));
    x = f32x4.replace_lane(x, 2, load<f32>(r2));
    v128.store(to, f32x4.mul(f32x4.replace_lane(x, 3, load<f32>(r3)), by));
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    to += stride;
  }
}

/**
 * Panel of 8 rows of a matrix as columns: B = Mᵀ, panel[k][8] = M[row … row + 7][k]. Rows from `rows` on give 0.
 * `stride` is the bytes between rows of M, `to` receives k · 32 bytes.
 */
export function packRows(m: usize, stride: usize, row: u32, rows: u32, k: u32, to: usize): void {
  const r = m + (row as usize) * stride, have = rows - row;
  if (have >= 8) {
    turn(r, r + stride, r + 2 * stride, r + 3 * stride, k, to, 32, 1);
    turn(r + 4 * stride, r + 5 * stride, r + 6 * stride, r + 7 * stride, k, to + 16, 32, 1);
    return;
  }
  memory.fill(to, 0, (k as usize) << 5);
  for (let i: u32 = 0; i < have; i++) {
    for (let c: u32 = 0; c < k; c++) store<f32>(to + ((c as usize) << 5) + ((i as usize) << 2), load<f32>(r + (i as usize) * stride + ((c as usize) << 2)));
  }
}

/**
 * Panel of 8 columns of a matrix: panel[k][8] = M[k][column … column + 7] for `k` rows from the address m on, `stride`
 * bytes apart. Columns from `columns` on give 0.
 */
export function packColumns(m: usize, stride: usize, column: u32, columns: u32, k: u32, to: usize): void {
  const have = columns - column, end = to + ((k as usize) << 5);
  let from = m + ((column as usize) << 2);
  if (have >= 8) {
    for (; to < end; to += 32) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      from += stride;
    }
    return;
  }
  for (; to < end; to += 32) {
    v128.store(to, loadPart(from, have));
    v128.store(to, have > 4 ? loadPart(from + 16, have - 4) : splat(0), 16);
    from += stride;
  }
}

// A four of columns of a matrix: four[k][4] = M[k][column … column + 3] for `k` rows from the address m on, `stride` bytes apart.
// Columns from `columns` on give 0.
export function packFour(m: usize, stride: usize, column: u32, columns: u32, k: u32, to: usize): void {
  const have = columns - column;
  let from = m + ((column as usize) << 2);
  for (let end = to + ((k as usize) << 4); to < end; to += 16) {
    v128.store(to, loadPart(from, have));
    from += stride;
  }
}
