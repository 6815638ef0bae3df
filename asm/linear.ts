// The products of Eqs. 9–14, y = residual + dropout(f(x·wᵀ + b)), and their gradients: dx = residual + (dy·w) ∘ f′(pre), dw (+)= dyᵀ·x.
// y[rows, out] = x[rows, inner] · panels, where the panels hold the weights as B (see matmul.ts).

import { loadPart, Optional, Pointer, storePart } from "./lib/memory";
import { GELU_SLOPE } from "./lib/constants.gen";
import { decode, decoded, dotInt8 } from "./lib/int8";
import { dot, dotPair, gate, splat, up4 } from "./lib/math";
import { DEPTH, packColumns, packFour, packRows, PANEL, tile4x8, turn } from "./lib/matmul";
import { normalise } from "./lib/normalise";
import { beginDropout, drop8 } from "./lib/random";
import { workspace } from "./workspace";

// Columns are packed from this many rows at a time: then a cache line serves all the columns it holds before rows that are
// a power of two apart push it out of its set of 8 (input gradient of 1024 × 512 × 2048: 22 → 31 GFLOP/s).
const STRIP: u32 = 8;

function pack_forward_workspace(inner: u32, scale: Optional<f32>): u32 {
  return scale ? decoded(PANEL * inner) : 0;
}

// Weights [out, inner] as panels of B = wᵀ: what x is multiplied by. Where there is a scale they are i8 and are not multiplied by it here.
// A unit is a panel.
export function pack_forward(
  begin: u32, end: u32, w: Pointer<f32>, scale: Optional<f32>, panels: Pointer<f32>, out: u32, inner: u32,
): void {
  const stride = (inner as usize) << 2;
  for (let p = begin; p < end; p++) {
    let from = w + ((p << 3) as usize) * stride;
    const have = out - (p << 3);
    if (scale) {
      from = workspace();
      decode(w + ((p << 3) as usize) * inner, min(PANEL, have) * inner, 1, from);
    }
    packRows(from, stride, 0, have, inner, panels + (p as usize) * inner * 32);
  }
}

// Weights [out, inner] as panels of B = w: what dy is multiplied by. A unit is a panel.
export function pack_backward(begin: u32, end: u32, w: Pointer<f32>, panels: Pointer<f32>, out: u32, inner: u32): void {
  const stride = (inner as usize) << 2;
  for (let row: u32 = 0; row < out; row += STRIP) {
    const to = panels + ((row as usize) << 5), from = w + (row as usize) * stride;
    for (let p = begin; p < end; p++) packColumns(from, stride, p << 3, inner, min(STRIP, out - row), to + (p as usize) * out * 32);
  }
}

// What finish() does, set once per call; addresses are 0 for what is absent.
let y: usize = 0, pre: usize = 0, scaling: usize = 0, bias: usize = 0, residual: usize = 0, columns: u32 = 0;
// What is done to a product z: nothing, z·sigmoid(1.702z), or times its derivative at `pre`.
export const NO_ACTIVATION: u32 = 0, GELU: u32 = 1, GELU_GRADIENT: u32 = 2;
let activation: u32 = 0, dropping: bool = false;

// @ts-ignore: decorator
@inline
function activate(z: v128, at: usize, left: u32): v128 {
  if (activation == GELU) {
    if (pre) storePart(pre + at, z, left);
    return f32x4.mul(z, gate(z));
  }
  if (activation == GELU_GRADIENT) {
    const x = loadPart(pre + at, left), s = gate(x);
    const t = f32x4.mul(f32x4.mul(splat(GELU_SLOPE as f32), x), f32x4.sub(splat(1), s));
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
    if (scaling) {
      z0 = f32x4.mul(z0, loadPart(scaling + ((column as usize) << 2), left));
      z1 = f32x4.mul(z1, loadPart(scaling + ((column as usize) << 2) + 16, high));
    }
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
  out: u32, toY: usize, toPre: usize, withScale: usize, withBias: usize, withResidual: usize, f: u32, seeds: usize, site: u32, micro: u32, first: u32, p: f64,
): void {
  columns = out;
  y = toY;
  pre = toPre;
  scaling = withScale;
  bias = withBias;
  residual = withResidual;
  activation = f;
  dropping = seeds != 0;
  if (seeds) beginDropout(seeds, site, micro, first, p);
}

// Floats of workspace that a kernel of this name takes, as everywhere below.
function linear_workspace(inner: u32, blockRows: u32, blockPanels: u32): u32 {
  return blockRows * min(inner, DEPTH) + (inner > DEPTH ? blockRows * blockPanels * PANEL : 4 * PANEL);
}

/**
 * A unit is a block of `blockRows` rows and `blockPanels` panels, counted along the rows of blocks; blockRows is a multiple
 * of 4.
 */
export function linear(
  begin: u32, end: u32, x: Pointer<f32>, panels: Pointer<f32>, rows: u32, inner: u32, out: u32, blockRows: u32, blockPanels: u32,
  y: Pointer<f32>, pre: Optional<f32>, scale: Optional<f32>, bias: Optional<f32>, residual: Optional<f32>, activation: u32,
  seeds: Optional<u32>, site: u32, micro: u32, first: u32, p: f64,
): void {
  setFinish(out, y, pre, scale, bias, residual, activation, seeds, site, micro, first, p);
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

function linear_few_workspace(rows: u32, inner: u32, gain: Optional<f32>, scale: Optional<f32>): u32 {
  return 64 + (gain ? up4(rows * inner) : 0) + (scale ? decoded(PANEL * inner) : 0);
}

// The same for a few rows, as when decoding: w [out, inner], i8 where there is a scale, is read once, as it lies, and x is normalised first
// where there is a gain. A unit is a panel's columns of y.
export function linear_few(
  begin: u32, end: u32, x: Pointer<f32>, w: Pointer<f32>, rows: u32, inner: u32, out: u32, gain: Optional<f32>, shift: Optional<f32>,
  y: Pointer<f32>, pre: Optional<f32>, scale: Optional<f32>, bias: Optional<f32>, residual: Optional<f32>, activation: u32,
  seeds: Optional<u32>, site: u32, micro: u32, first: u32, p: f64,
): void {
  setFinish(out, y, pre, scale, bias, residual, activation, seeds, site, micro, first, p);
  const stride = (inner as usize) << 2, tile = workspace(), kept = tile + 256 + (gain ? (up4(rows * inner) as usize) << 2 : 0);
  // Of int8 each weight is decoded once: for one row on its way, for more into a place that all of them read.
  const apart = scale && rows == 1;
  if (gain) {
    // Once a piece of units: cheaper than a call of its own, for which all threads would have to wait.
    const normed = tile + 256;
    for (let row: u32 = 0; row < rows; row++) normalise(x + (row as usize) * stride, gain, shift, normed + (row as usize) * stride, inner);
    x = normed;
  }
  for (let unit = begin; unit < end; unit++) {
    const column = unit << 3, have = min(8, out - column);
    let from = w + (column as usize) * stride;
    if (scale) {
      from = w + (column as usize) * inner;
      if (!apart) {
        decode(from, have * inner, 1, kept);
        from = kept;
      }
    }
    for (let row: u32 = 0; row < rows; row += 2) {
      const a = x + (row as usize) * stride, pair = row + 1 < rows;
      for (let c: u32 = 0; c < have; c++) {
        const to = tile + ((c as usize) << 2), line = from + (c as usize) * stride;
        if (pair) dotPair(a, stride, line, inner, to);
        else if (apart) store<f32>(to, dotInt8(a, from + (c as usize) * inner, inner));
        else store<f32>(to, dot(a, line, inner));
      }
      finish(tile, row, pair ? 2 : 1, column);
    }
  }
}

// Rows of x and dy between visits to dw.
const ROWS: u32 = 256;

function linear_weight_grad_workspace(height: u32, width: u32): u32 {
  return (height + width) * ROWS + height * width + height;
}

/**
 * dw[out, inner] (+)= dyᵀ · x, db (+)= column sums of dy. A unit is a block of `height` by `width` of dw, both multiples of 8. What is there
 * is added last, so that it is all one whether another process has it.
 */
export function linear_weight_grad(
  begin: u32, end: u32, dy: Pointer<f32>, x: Pointer<f32>, dw: Pointer<f32>, db: Optional<f32>, rows: u32, out: u32, inner: u32,
  height: u32, width: u32, accumulate: bool,
): void {
  const across = (inner + width - 1) / width, fours = workspace(), panels = fours + (height as usize) * ROWS * 4;
  const block = panels + (width as usize) * ROWS * 4, stride = (width as usize) << 2, sums = block + (height as usize) * stride;
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
          addFour(fours + (r as usize) * ROWS * 4, depth, sums + ((r as usize) << 2), k > 0);
        }
      }
    }
    if (db && column == 0) {
      for (let r: u32 = 0; r < tall; r += 4) {
        const to = db + (((row + r) as usize) << 2), have = tall - r;
        let value = v128.load(sums + ((r as usize) << 2));
        if (accumulate) value = f32x4.add(value, loadPart(to, have));
        storePart(to, value, have);
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

// sums[4] (+)= the sums of a four over its columns.
function addFour(four: usize, k: u32, sums: usize, add: bool): void {
  let total = add ? v128.load(sums) : splat(0);
  for (let end = four + ((k as usize) << 4); four < end; four += 16) total = f32x4.add(total, v128.load(four));
  v128.store(sums, total);
}
