// Muon (Jordan et al. 2024): momentum whose singular values five iterations of Newton–Schulz, X ← a·X + (b·A + c·A·A)·X, A = X·Xᵀ, bring
// near 1.
// A unit is a matrix, all in its thread's workspace: X [r, c] with r ≤ c, both rounded up to 8 and 0 there, which the iteration keeps 0.
// Of A = X·Xᵀ and of P = a·I + b·A + c·A·A, which are symmetric, one half is computed: 1.8 GFLOP for 2.5 of the text preset's matrices.

import { NEWTON_SCHULZ_A, NEWTON_SCHULZ_B, NEWTON_SCHULZ_C, NEWTON_SCHULZ_TIMES } from "./lib/constants.gen";
import { getU32, loadPart, Pointer, storePart } from "./lib/memory";
import { splat, up8 } from "./lib/math";
import { DEPTH, packColumns, packFour, packRows, tile4x8, transpose4, turn } from "./lib/matmul";
import { workspace } from "./workspace";

// The coefficients of the iteration, and how many there are.
const A = NEWTON_SCHULZ_A as f32, B = NEWTON_SCHULZ_B as f32, C = NEWTON_SCHULZ_C as f32, TIMES = NEWTON_SCHULZ_TIMES as u32;

// result [4·fours, 8·panels], or of a symmetric one the tiles that reach its diagonal or lie below it.
function multiply(fours: usize, panels: usize, left: u32, right: u32, depth: u32, to: usize, stride: usize, half: bool): void {
  for (let k: u32 = 0; k < depth; k += DEPTH) {
    const some = min(DEPTH, depth - k);
    for (let j: u32 = 0; j < right; j++) {
      const panel = panels + (((j * depth + k) as usize) << 5);
      for (let i: u32 = half ? j << 1 : 0; i < left; i++) {
        tile4x8(
          fours + (((i * depth + k) as usize) << 4), panel, some, to + (i as usize) * 4 * stride + ((j as usize) << 5), stride, k > 0,
        );
      }
    }
  }
}

// Copies what lies below the diagonal of a symmetric [r, r] above it.
function mirror(m: usize, r: u32): void {
  const stride = (r as usize) << 2;
  for (let i: u32 = 4; i < r; i += 4) {
    for (let j: u32 = 0; j < i; j += 4) {
      const from = m + (i as usize) * stride + ((j as usize) << 2);
      transpose4(
        v128.load(from), v128.load(from + stride), v128.load(from + 2 * stride), v128.load(from + 3 * stride),
        m + (j as usize) * stride + ((i as usize) << 2), stride,
      );
    }
  }
}

// Fours and panels of the columns of a matrix [r, columns].
function packAll(m: usize, r: u32, columns: u32, fours: usize, panels: usize): void {
  const stride = (columns as usize) << 2;
  if (fours) { for (let i: u32 = 0; i < columns; i += 4) packFour(m, stride, i, columns, r, fours + (((i * r) as usize) << 2)); }
  if (panels) { for (let j: u32 = 0; j < columns; j += 8) packColumns(m, stride, j, columns, r, panels + (((j * r) as usize) << 2)); }
}

function iterate(x: usize, r: u32, c: u32, fours: usize, panels: usize, gram: usize, polynomial: usize): void {
  const stride = (c as usize) << 2, side = (r as usize) << 2, b = splat(B), cc = splat(C);
  for (let time: u32 = 0; time < TIMES; time++) {
    for (let i: u32 = 0; i < r; i += 4) {
      const row = x + (i as usize) * stride;
      turn(row, row + stride, row + 2 * stride, row + 3 * stride, c, fours + (((i * c) as usize) << 2), 16, 1);
    }
    for (let j: u32 = 0; j < r; j += 8) packRows(x, stride, j, r, c, panels + (((j * c) as usize) << 2));
    multiply(fours, panels, r >> 2, r >> 3, c, gram, side, true);
    mirror(gram, r);
    packAll(gram, r, r, fours, panels);
    multiply(fours, panels, r >> 2, r >> 3, r, polynomial, side, true);
    mirror(polynomial, r);
    for (let i: u32 = 0; i < r * r; i += 4) {
      const at = (i as usize) << 2;
      v128.store(polynomial + at, f32x4.add(f32x4.mul(cc, v128.load(polynomial + at)), f32x4.mul(b, v128.load(gram + at))));
    }
    for (let i: u32 = 0; i < r; i++) {
      const at = polynomial + (((i * r + i) as usize) << 2);
      store<f32>(at, load<f32>(at) + A);
    }
    packAll(polynomial, r, r, fours, 0);
    packAll(x, r, c, 0, panels);
    multiply(fours, panels, r >> 2, c >> 3, r, x, stride, false);
  }
}

// m ← μ·m + g·factor; u = g·factor + μ·m. Gives ‖u‖.
function momentum(g: usize, m: usize, u: usize, count: u32, factor: f32, mu: f32): f64 {
  const f = splat(factor), by = splat(mu);
  let a = f64x2.splat(0), b = f64x2.splat(0);
  for (let i: u32 = 0; i < count; i += 4) {
    const at = (i as usize) << 2, left = count - i, gradient = f32x4.mul(loadPart(g + at, left), f);
    const first = f32x4.add(f32x4.mul(by, loadPart(m + at, left)), gradient), both = f32x4.add(gradient, f32x4.mul(by, first));
    storePart(m + at, first, left);
    storePart(u + at, both, left);
    const low = f64x2.promote_low_f32x4(both), high = f64x2.promote_low_f32x4(v128.shuffle<i32>(both, both, 2, 3, 0, 1));
    a = f64x2.add(a, f64x2.mul(low, low));
    b = f64x2.add(b, f64x2.mul(high, high));
  }
  const sum = f64x2.add(a, b);
  return sqrt(f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1));
}

// [rows, columns], `stride` bytes between rows, as [columns, rows], `wide` bytes between rows.
function transposed(from: usize, rows: u32, columns: u32, stride: usize, to: usize, wide: usize, scale: f32): void {
  let row: u32 = 0;
  for (; row + 4 <= rows; row += 4) {
    const r = from + (row as usize) * stride;
    turn(r, r + stride, r + 2 * stride, r + 3 * stride, columns, to + ((row as usize) << 2), wide, scale);
  }
  for (; row < rows; row++) {
    for (let i: u32 = 0; i < columns; i++) {
      store<f32>(to + (i as usize) * wide + ((row as usize) << 2), load<f32>(from + (row as usize) * stride + ((i as usize) << 2)) * scale);
    }
  }
}

function muon_workspace(out: u32, inner: u32): u32 {
  return 3 * up8(out) * up8(inner) + 2 * min(up8(out), up8(inner)) * min(up8(out), up8(inner));
}

// Matrices [out, inner]. Table entry: addresses of p, g and m.
export function muon(
  begin: u32, end: u32, table: Pointer<u32>, out: u32, inner: u32, factor: Pointer<f32>, hyper: Pointer<f32>, mu: f32, weightDecay: f32,
): void {
  const f = load<f32>(factor), rate = load<f32>(hyper, 12), x = workspace();
  if (f == 0) return;
  for (let unit = begin; unit < end; unit++) {
    const p = getU32(table, unit * 3) as usize, g = getU32(table, unit * 3 + 1) as usize, m = getU32(table, unit * 3 + 2) as usize;
    const tall = out > inner, r = up8(min(out, inner)), c = up8(max(out, inner)), stride = (c as usize) << 2, line = (inner as usize) << 2;
    const bytes = ((r * c) as usize) << 2, square = ((r * r) as usize) << 2;
    const fours = x + bytes, panels = fours + bytes, gram = panels + bytes;
    const scale = (1 / (momentum(g, m, fours, out * inner, f, mu) + 1e-7)) as f32;
    memory.fill(x, 0, bytes);
    if (tall) transposed(fours, out, inner, line, x, stride, scale);
    else {
      for (let row: u32 = 0; row < out; row++) {
        const from = fours + (row as usize) * line, to = x + (row as usize) * stride;
        for (let i: u32 = 0; i < inner; i += 4) {
          v128.store(to + ((i as usize) << 2), f32x4.mul(loadPart(from + ((i as usize) << 2), inner - i), splat(scale)));
        }
      }
    }
    iterate(x, r, c, fours, panels, gram, gram + square);
    // Back as [out, in]: r is at least in, and a multiple of four.
    let from = x, width = stride;
    if (tall) {
      width = (r as usize) << 2;
      transposed(x, r, out, stride, fours, width, 1);
      from = fours;
    }
    const by = splat(rate * (sqrt(max<f64>(1, (out as f64) / (inner as f64))) as f32)), keep = splat(1 - rate * weightDecay);
    for (let row: u32 = 0; row < out; row++) {
      for (let i: u32 = 0; i < inner; i += 4) {
        const at = p + (row as usize) * line + ((i as usize) << 2), left = inner - i;
        const change = v128.load(from + (row as usize) * width + ((i as usize) << 2));
        storePart(at, f32x4.sub(f32x4.mul(keep, loadPart(at, left)), f32x4.mul(by, change)), left);
      }
    }
  }
}
