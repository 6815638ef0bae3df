/**
 * Dispatches of means of blocks and of copies of blocks.
 *
 * @module
 */

import type { BlockMean, BlockMeanBackward, GatherBlocks, GatherBlocksBackward, Tensor } from "../../../ops/mod.ts";
import { size } from "../../../ops/mod.ts";
import { storageOf, valueWidth } from "../storage.ts";
import type { Storage } from "../shader/specialise.ts";
import { type Plan, planInF32, type Planner } from "./plan.ts";

/** Means of blocks */
export function planBlockMean(plan: Plan, { x, y, n, block }: BlockMean): void {
  planMeans(plan, "block_mean", { x, y }, y, n, block);
}

/** dx += its share of dy */
export function planBlockMeanBackward(plan: Plan, { dy, dx, n, block }: BlockMeanBackward): void {
  planMeans(plan, "block_mean_backward", { dy, dx }, dx, n, block);
}

function planMeans<K extends "block_mean" | "block_mean_backward">(
  plan: Plan,
  kernel: K,
  bindings: K extends "block_mean" ? { x: Tensor; y: Tensor } : { dy: Tensor; dx: Tensor },
  to: Tensor,
  n: number,
  block: number,
): void {
  const STORAGE = storageOf(to), wide = valueWidth(STORAGE), count = size(to) / wide;
  plan.dispatch({
    kernel: kernel as "block_mean",
    values: { STORAGE },
    bindings: bindings as { x: Tensor; y: Tensor },
    params: { count, n, block, blocks: Math.ceil(n / block), width: to.shape[1] / wide },
    grid: plan.linear(count),
  });
}

/** How heads of a matrix are met: four elements at a time where their width allows it, else one, and that in f32. */
async function byHeads<O extends GatherBlocks | GatherBlocksBackward>(
  plan: Plan,
  op: O,
  x: Tensor,
  heads: number,
  next: (plan: Plan, op: O, storage: Storage) => void,
): Promise<void> {
  if (x.shape[1] / heads % 4 === 0) return next(plan, op, storageOf(x));
  const inF32: Planner<O> = (plan, op) => next(plan, op, "f32");
  await planInF32(plan, op, inF32);
}

/** Copies of chosen blocks */
export async function planGatherBlocks(plan: Plan, op: GatherBlocks): Promise<void> {
  await byHeads(plan, op, op.x, op.choice.shape[1], planCopies);
}

function planCopies(plan: Plan, { x, choice, y, n, block }: GatherBlocks, STORAGE: Storage): void {
  const [, heads, blocks, top] = choice.shape, wide = valueWidth(STORAGE), count = size(y) / wide;
  plan.dispatch({
    kernel: "gather_blocks",
    values: { STORAGE },
    bindings: { x, choice, y },
    params: { count, n, block, all: blocks * top, heads, width: y.shape[1] / wide },
    grid: plan.linear(count),
  });
}

/** dx += the sum over copies */
export async function planGatherBlocksBackward(plan: Plan, op: GatherBlocksBackward): Promise<void> {
  await byHeads(plan, op, op.dx, op.list.shape[1], planSums);
}

function planSums(plan: Plan, { dy, starts, list, dx, n, block }: GatherBlocksBackward, STORAGE: Storage): void {
  const [, heads, blocks, top] = list.shape, wide = valueWidth(STORAGE), count = size(dx) / wide;
  plan.dispatch({
    kernel: "gather_blocks_backward",
    values: { STORAGE },
    bindings: { dy, starts, list, dx },
    params: { count, n, block, blocks, all: blocks * top, heads, width: dx.shape[1] / wide },
    grid: plan.linear(count),
  });
}
