/** Calls of means of blocks and of copies of blocks. @module */

import type { BlockMean, BlockMeanBackward, GatherBlocks, GatherBlocksBackward } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A block at a time. */
export function lowerBlockMean({ x, y, n, block }: BlockMean): Call[] {
  const width = x.shape[1];
  return [call("block_mean", { units: y.shape[0], grain: PIECE / (block * width), args: { x, y, n, block, width } })];
}

/** A row at a time. */
export function lowerBlockMeanBackward({ dy, dx, n, block }: BlockMeanBackward): Call[] {
  const [rows, width] = dx.shape;
  return [call("block_mean_backward", { units: rows, grain: PIECE / width, args: { dy, dx, n, block, width } })];
}

/** A copy at a time. */
export function lowerGatherBlocks({ x, choice, y, n, block }: GatherBlocks): Call[] {
  const [, heads, , top] = choice.shape, width = x.shape[1], args = { x, choice, y, n, block, heads, top, d: width / heads };
  return [call("gather_blocks", { units: y.shape[0] / block, grain: PIECE / (block * width), args })];
}

/** A block of keys of a head at a time. */
export function lowerGatherBlocksBackward({ dy, starts, list, dx, n, block }: GatherBlocksBackward): Call[] {
  const [batch, heads, blocks, top] = list.shape, d = dx.shape[1] / heads, args = { dy, starts, list, dx, n, block, heads, top, d };
  return [call("gather_blocks_backward", { units: batch * heads * blocks, grain: PIECE / (top * block * d), args })];
}
