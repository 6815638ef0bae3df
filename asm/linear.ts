// Matrix products with what follows them: bias, activation, dropout, residual, and the backward pass.
// y[rows, out] = x[rows, inner] · panels, where the panels hold the weights as B (see matmul.ts).

import { loadPart, storePart } from "./memory";
import { normalise } from "./layernorm";
import { dot, dotPair, gate, splat } from "./math";
import { packColumns, packFour, packRows, tile4x8, turn } from "./matmul";
import { beginDropout, drop8 } from "./random";
import { workspace } from "./workspace";

// Steps of the inner dimension between visits to C: a panel of 512 · 32 bytes is half of a 32 KiB first-level cache.
const DEPTH: u32 = 512;

// Columns are packed from this many rows at a time: then a cache line serves all the columns it holds before rows that are
// a power of two apart push it out of its set of 8 (input gradient of 1024 × 512 × 2048: 22 → 31 GFLOP/s).
const STRIP: u32 = 8;

// Weights [out, inner] as panels of B = wᵀ: what x is multiplied by. A unit is a panel.
export function pack_forward(begin: u32, end: u32, w: usize, panels: usize, out: u32, inner: u32): void {
  for (let p = begin; p < end; p++) packRows(w, (inner as usize) << 2, p << 3, out, inner, panels + (p as usize) * inner * 32);
}

// Weights [out, inner] as panels of B = w: what dy is multiplied by. A unit is a panel.
export function pack_backward(begin: u32, end: u32, w: usize, panels: usize, out: u32, inner: u32): void {
  const stride = (inner as usize) << 2;
  for (let row: u32 = 0; row < out; row += STRIP) {
    const to = panels + ((row as usize) << 5), from = w + (row as usize) * stride;
    for (let p = begin; p < end; p++) packColumns(from, stride, p << 3, inner, min(STRIP, out - row), to + (p as usize) * out * 32);
  }
}

// What finish() does, set once a call; addresses are 0 for what is absent.
let y: usize = 0, pre: usize = 0, bias: usize = 0, residual: usize = 0, columns: u32 = 0;
// 0 nothing, 1 z·sigmoid(1.702z), 2 times its derivative at `pre`.
let activation: u32 = 0, dropping: bool = false;

// @ts-ignore: decorator
@inline
function activate(z: v128, at: usize, left: u32): v128 {
  if (activation == 1) {
    if (pre) storePart(pre + at, z, left);
    return f32x4.mul(z, gate(z));
  }
  if (activation == 2) {
    const x = loadPart(pre + at, left), s = gate(x);
    const t = f32x4.mul(f32x4.mul(splat(1.702), x), f32x4.sub(splat(1), s));
    return f32x4.mul(z, f32x4.mul(s, f32x4.add(splat(1), t)));
  }
  if (pre) storePart(pre + at, z, left);
  return z;
}

// Takes a finished tile [4][8] of products to y.
function finish(tile: usize, row: u32, rows: u32, column: u32): void {
  const left = columns - column, high = left > 4 ? left - 4 : 0;
  for (let i: u32 = 0; i < rows; i++) {
    const index = (row + i) * columns + column, at = ((row + i) as usize) * columns * 4 + ((column as usize) << 2);
    let z0 = v128.load(tile), z1 = v128.load(tile, 16);
    if (bias) {
      z0 = f32x4.add(z0, loadPart(bias + ((column as usize) << 2), left));
      z1 = f32x4.add(z1, loadPart(bias + ((column as usize) << 2) + 16, high));
    }
    z0 = activate(z0, at, left);
    z1 = activate(z1, at + 16, high);
    if (dropping) {
      v128.store(tile, z0);
      v128.store(tile, z1, 16);
      drop8(tile, index);
      z0 = v128.load(tile);
      z1 = v128.load(tile, 16);
    }
    if (residual) {
      z0 = f32x4.add(z0, loadPart(residual + at, left));
      z1 = f32x4.add(z1, loadPart(residual + at + 16, high));
    }
    storePart(y + at, z0, left);
    storePart(y + at + 16, z1, high);
    tile += 32;
  }
}

function setFinish(
  out: u32, toY: usize, toPre: usize, withBias: usize, withResidual: usize, f: u32, seeds: usize, site: u32, micro: u32, p: f64,
): void {
  columns = out;
  y = toY;
  pre = toPre;
  bias = withBias;
  residual = withResidual;
  activation = f;
  dropping = seeds != 0;
  if (seeds) beginDropout(seeds, site, micro, p);
}

/**
 * A unit is a block of `blockRows` rows and `blockPanels` panels, counted along the rows of blocks; blockRows is a multiple
 * of 4. Workspace, in floats: blockRows · min(inner, DEPTH), and 32, or where inner > DEPTH blockRows · blockPanels · 8.
 */
export function linear(
  begin: u32, end: u32, x: usize, panels: usize, rows: u32, inner: u32, out: u32, blockRows: u32, blockPanels: u32,
  toY: usize, toPre: usize, withBias: usize, withResidual: usize, f: u32, seeds: usize, site: u32, micro: u32, p: f64,
): void {
  setFinish(out, toY, toPre, withBias, withResidual, f, seeds, site, micro, p);
  const all = (out + 7) >> 3, across = (all + blockPanels - 1) / blockPanels, stride = (inner as usize) << 2, deep = inner > DEPTH;
  const fours = workspace(), tiles = fours + (blockRows as usize) * min(inner, DEPTH) * 4;
  for (let unit = begin; unit < end; unit++) {
    const firstRow = unit / across * blockRows, lastRow = min(rows, firstRow + blockRows);
    const firstPanel = unit % across * blockPanels, lastPanel = min(all, firstPanel + blockPanels);
    for (let k: u32 = 0; k < inner; k += DEPTH) {
      const depth = min(DEPTH, inner - k), last = k + depth == inner, fourBytes = (depth as usize) << 4;
      let four = fours, tile = tiles;
      for (let row = firstRow; row < lastRow; row += 4) {
        // Rows past the last repeat it; their products are not taken.
        const have = lastRow - row, a = x + (row as usize) * stride + ((k as usize) << 2);
        const a1 = a + (have > 1 ? stride : 0), a2 = have > 2 ? a1 + stride : a1, a3 = have > 3 ? a2 + stride : a2;
        turn(a, a1, a2, a3, depth, four, 16, 1);
        four += fourBytes;
      }
      for (let panel = firstPanel; panel < lastPanel; panel++) {
        const b = panels + (panel as usize) * inner * 32 + ((k as usize) << 5);
        four = fours;
        for (let row = firstRow; row < lastRow; row += 4) {
          tile4x8(four, b, depth, tile, 32, k > 0);
          if (last) finish(tile, row, min(4, lastRow - row), panel << 3);
          if (deep) tile += 128;
          four += fourBytes;
        }
      }
    }
  }
}

// The same for a few rows, as when decoding: w [out, inner] is read once, as it lies, and x is normalised first where there is
// a gain. A unit is 8 columns of y. Workspace, in floats: 64, and with a gain rows · inner rounded up to 4.
export function linear_few(
  begin: u32, end: u32, x: usize, w: usize, rows: u32, inner: u32, out: u32, gain: usize, shift: usize,
  toY: usize, toPre: usize, withBias: usize, withResidual: usize, f: u32, seeds: usize, site: u32, micro: u32, p: f64,
): void {
  setFinish(out, toY, toPre, withBias, withResidual, f, seeds, site, micro, p);
  const stride = (inner as usize) << 2, tile = workspace();
  if (gain) {
    // Once a piece of units: cheaper than a call of its own, for which all threads would have to wait.
    const normed = tile + 256;
    for (let row: u32 = 0; row < rows; row++) normalise(x + (row as usize) * stride, gain, shift, normed + (row as usize) * stride, inner);
    x = normed;
  }
  for (let unit = begin; unit < end; unit++) {
    const column = unit << 3, have = min(8, out - column), from = w + (column as usize) * stride;
    for (let row: u32 = 0; row < rows; row += 2) {
      const a = x + (row as usize) * stride, pair = row + 1 < rows;
      for (let c: u32 = 0; c < have; c++) {
        const to = tile + ((c as usize) << 2), line = from + (c as usize) * stride;
        if (pair) dotPair(a, stride, line, inner, to);
        else store<f32>(to, dot(a, line, inner));
      }
      finish(tile, row, pair ? 2 : 1, column);
    }
  }
}

// Rows of x and dy between visits to dw.
const ROWS: u32 = 256;

/**
 * dw[out, inner] (+)= dyᵀ · x, db (+)= column sums of dy. A unit is a block of `height` by `width` of dw, both multiples of 8.
 * Workspace, in floats: (height + width) · ROWS + height · width.
 */
export function linear_weight_grad(
  begin: u32, end: u32, dy: usize, x: usize, dw: usize, db: usize, rows: u32, out: u32, inner: u32, height: u32, width: u32,
  accumulate: u32,
): void {
  const across = (inner + width - 1) / width, fours = workspace(), panels = fours + (height as usize) * ROWS * 4;
  const block = panels + (width as usize) * ROWS * 4, stride = (width as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const row = unit / across * height, column = unit % across * width;
    const tall = min(height, out - row), wide = min(width, inner - column);
    for (let k: u32 = 0; k < rows; k += ROWS) {
      const depth = min(ROWS, rows - k);
      for (let i: u32 = 0; i < depth; i += STRIP) {
        const strip = min(STRIP, depth - i), left = dy + ((k + i) as usize) * out * 4, right = x + ((k + i) as usize) * inner * 4;
        for (let r: u32 = 0; r < tall; r += 4) {
          packFour(left, (out as usize) << 2, row + r, out, strip, fours + (r as usize) * ROWS * 4 + ((i as usize) << 4));
        }
        for (let c: u32 = 0; c < wide; c += 8) {
          packColumns(right, (inner as usize) << 2, column + c, inner, strip, panels + (c as usize) * ROWS * 4 + ((i as usize) << 5));
        }
      }
      for (let c: u32 = 0; c < wide; c += 8) {
        const panel = panels + (c as usize) * ROWS * 4;
        for (let r: u32 = 0; r < tall; r += 4) {
          tile4x8(fours + (r as usize) * ROWS * 4, panel, depth, block + (r as usize) * stride + ((c as usize) << 2), stride, k > 0);
        }
      }
      if (db && column == 0) {
        for (let r: u32 = 0; r < tall; r += 4) {
          addFour(fours + (r as usize) * ROWS * 4, depth, db + (((row + r) as usize) << 2), tall - r, accumulate != 0 || k > 0);
        }
      }
    }
    for (let r: u32 = 0; r < tall; r++) {
      const to = dw + ((row + r) as usize) * inner * 4 + ((column as usize) << 2), from = block + (r as usize) * stride;
      for (let c: u32 = 0; c < wide; c += 4) {
        const at = (c as usize) << 2;
        let value = v128.load(from + at);
        if (accumulate) value = f32x4.add(value, loadPart(to + at, wide - c));
        storePart(to + at, value, wide - c);
      }
    }
  }
}

// sums[4] (+)= the sums of a four over its columns; only the first `have` exist.
function addFour(four: usize, k: u32, sums: usize, have: u32, add: bool): void {
  let total = add ? loadPart(sums, have) : splat(0);
  for (let end = four + ((k as usize) << 4); four < end; four += 16) total = f32x4.add(total, v128.load(four));
  storePart(sums, total, have);
}
