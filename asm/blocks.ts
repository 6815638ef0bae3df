// Blocks of positions: their means, y[k] = Σ x[row] / rows over the rows of block k, copies of chosen ones, y[e] = x[choice[e]], and the gradients of
// both, which are sums over what was made of a row.

import { getU32, loadPart, Pointer, storePart } from "./lib/memory";
import { splat } from "./lib/math";

// to[0 … width) += from · factor
// @ts-ignore: decorator
@inline
function addRow(to: usize, from: usize, width: u32, factor: v128): void {
  for (let c: u32 = 0; c < width; c += 4) {
    const at = (c as usize) << 2, left = width - c;
    storePart(to + at, f32x4.add(loadPart(to + at, left), f32x4.mul(loadPart(from + at, left), factor)), left);
  }
}

// A unit is a block of a sequence.
export function block_mean(begin: u32, end: u32, x: Pointer<f32>, y: Pointer<f32>, n: u32, block: u32, width: u32): void {
  const blocks = (n + block - 1) / block, bytes = (width as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const first = unit % blocks * block, count = min(block, n - first), to = y + (unit as usize) * bytes;
    const factor = splat(1 / (count as f32));
    memory.fill(to, 0, bytes);
    for (let t: u32 = 0; t < count; t++) addRow(to, x + ((unit / blocks * n + first + t) as usize) * bytes, width, factor);
  }
}

// A unit is a row of dx.
export function block_mean_backward(begin: u32, end: u32, dy: Pointer<f32>, dx: Pointer<f32>, n: u32, block: u32, width: u32): void {
  const blocks = (n + block - 1) / block, bytes = (width as usize) << 2;
  for (let row = begin; row < end; row++) {
    const k = row % n / block, count = min(block, n - k * block);
    addRow(dx + (row as usize) * bytes, dy + ((row / n * blocks + k) as usize) * bytes, width, splat(1 / (count as f32)));
  }
}

// A unit is a copy of a block, of all heads: each has its own block.
export function gather_blocks(
  begin: u32, end: u32, x: Pointer<f32>, choice: Pointer<u32>, y: Pointer<f32>, n: u32, block: u32, heads: u32, top: u32, d: u32,
): void {
  const all = (n + block - 1) / block * top, row = ((heads * d) as usize) << 2, bytes = (d as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const b = unit / all, entry = unit % all;
    for (let head: u32 = 0; head < heads; head++) {
      const k = getU32(choice, (b * heads + head) * all + entry);
      let to = y + ((unit * block) as usize) * row + (head as usize) * bytes;
      let from = x + ((b * n + k * block) as usize) * row + (head as usize) * bytes;
      for (let t: u32 = 0; t < block; t++) {
        if (k == u32.MAX_VALUE) memory.fill(to, 0, bytes);
        else memory.copy(to, from, bytes);
        to += row;
        from += row;
      }
    }
  }
}

// A unit is a block of keys of a head: its copies one after another.
export function gather_blocks_backward(
  begin: u32, end: u32, dy: Pointer<f32>, starts: Pointer<u32>, list: Pointer<u32>, dx: Pointer<f32>, n: u32, block: u32, heads: u32, top: u32,
  d: u32,
): void {
  const blocks = (n + block - 1) / block, all = blocks * top, row = ((heads * d) as usize) << 2, bytes = (d as usize) << 2, one = splat(1);
  for (let unit = begin; unit < end; unit++) {
    const line = unit / blocks, k = unit % blocks, b = line / heads, head = (line % heads) as usize;
    for (let e = getU32(starts, line + unit), last = getU32(starts, line + unit + 1); e < last; e++) {
      let from = dy + (((b * all + getU32(list, line * all + e)) * block) as usize) * row + head * bytes;
      let to = dx + ((b * n + k * block) as usize) * row + head * bytes;
      for (let t: u32 = 0; t < block; t++) {
        addRow(to, from, d, one);
        to += row;
        from += row;
      }
    }
  }
}
