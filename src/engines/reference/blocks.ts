/** Blocks of positions in float64. @module */

import type { BlockMean, BlockMeanBackward, GatherBlocks, GatherBlocksBackward } from "../../ops/mod.ts";
import { blocksIn, NO_BLOCK } from "../../pattern/routed.ts";
import type { Values } from "./values.ts";

/** For each row its block's row, and how many the block has. */
function* blockRows(rows: number, n: number, block: number): Generator<readonly [row: number, of: number, count: number]> {
  for (let row = 0; row < rows; row++) {
    const i = row % n, k = Math.floor(i / block);
    yield [row, Math.floor(row / n) * blocksIn(n, block) + k, Math.min(block, n - k * block)];
  }
}

/** Means of blocks. */
export function blockMean({ x, y, n, block }: BlockMean, values: Values): void {
  const [rows, width] = x.shape, from = values(x), to = values(y).fill(0);
  for (const [row, of, count] of blockRows(rows, n, block)) {
    for (let c = 0; c < width; c++) to[of * width + c] += from[row * width + c] / count;
  }
}

/** Of each position its share of its block's gradient. */
export function blockMeanBackward({ dy, dx, n, block }: BlockMeanBackward, values: Values): void {
  const [rows, width] = dx.shape, from = values(dy), to = values(dx);
  for (const [row, of, count] of blockRows(rows, n, block)) {
    for (let c = 0; c < width; c++) to[row * width + c] += from[of * width + c] / count;
  }
}

/** Where a row of a copy is, by head, and the row that it is a copy of. */
function* copies(
  shape: readonly number[],
  choice: Float64Array,
  n: number,
  block: number,
): Generator<readonly [copy: number, head: number, row: number]> {
  const [batch, heads, blocks, top] = shape;
  for (let at = 0; at < batch * heads * blocks * top; at++) {
    const b = Math.floor(at / (heads * blocks * top)), head = Math.floor(at / (blocks * top)) % heads, entry = at % (blocks * top);
    if (choice[at] === NO_BLOCK) continue;
    for (let t = 0; t < block; t++) yield [(b * blocks * top + entry) * block + t, head, b * n + choice[at] * block + t];
  }
}

/** Copies of chosen blocks. */
export function gatherBlocks({ x, choice, y, n, block }: GatherBlocks, values: Values): void {
  const [, heads] = choice.shape, width = x.shape[1], d = width / heads, from = values(x), to = values(y).fill(0);
  for (const [copy, head, row] of copies([...choice.shape.slice(0, 2), blocksIn(n, block), choice.shape[3]], values(choice), n, block)) {
    for (let c = head * d; c < (head + 1) * d; c++) to[copy * width + c] = from[row * width + c];
  }
}

/** Gradients of copies, added to that of what they are copies of; by lists, as engines do. */
export function gatherBlocksBackward({ dy, starts, list, dx, n, block }: GatherBlocksBackward, values: Values): void {
  const [batch, heads, , top] = list.shape, blocks = blocksIn(n, block), width = dx.shape[1], d = width / heads;
  const from = values(dy), to = values(dx), begins = values(starts), entries = values(list);
  for (let line = 0; line < batch * heads; line++) {
    const b = Math.floor(line / heads), head = line % heads;
    for (let k = 0; k < blocks; k++) {
      for (let e = begins[line * (blocks + 1) + k]; e < begins[line * (blocks + 1) + k + 1]; e++) {
        const copy = (b * blocks * top + entries[line * blocks * top + e]) * block, row = b * n + k * block;
        for (let t = 0; t < block; t++) {
          for (let c = head * d; c < (head + 1) * d; c++) to[(row + t) * width + c] += from[(copy + t) * width + c];
        }
      }
    }
  }
}
