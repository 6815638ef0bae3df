/**
 * Blocks of positions: their means, and copies of chosen ones.
 *
 * @module
 */

import { holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/** y[s, k] = the mean of positions k · block … of sequence s; of the last block those that it has. */
export interface BlockMean {
  /** Which operation. */
  readonly op: "block_mean";
  /** [batch · n, width] */
  readonly x: Tensor;
  /** [batch · ⌈n / block⌉, width] */
  readonly y: Tensor;
  /** Positions of a sequence. */
  readonly n: number;
  /** Positions of a block. */
  readonly block: number;
}

/** The gradient of {@linkcode BlockMean}, added to dx. */
export interface BlockMeanBackward {
  /** Which operation. */
  readonly op: "block_mean_backward";
  /** [batch · ⌈n / block⌉, width] */
  readonly dy: Tensor;
  /** [batch · n, width], updated. */
  readonly dx: Tensor;
  /** Positions of a sequence. */
  readonly n: number;
  /** Positions of a block. */
  readonly block: number;
}

/**
 * Copies of chosen blocks, one after another: of sequence s, block j of queries and head h, rows (j · top_k + r) · block … of y are those of
 * block choice[s, h, j, r] of x, or 0 where that is {@linkcode ../pattern/routed.ts!NO_BLOCK}. Chosen blocks are whole.
 */
export interface GatherBlocks {
  /** Which operation. */
  readonly op: "gather_blocks";
  /** [batch · n, heads · d] */
  readonly x: Tensor;
  /** u32 [batch, heads, ⌈n / block⌉, top_k] */
  readonly choice: Tensor;
  /** [batch · ⌈n / block⌉ · top_k · block, heads · d] */
  readonly y: Tensor;
  /** Positions of a sequence. */
  readonly n: number;
  /** Positions of a block. */
  readonly block: number;
}

/** The gradient of {@linkcode GatherBlocks}, added to dx: of each block the sum over its copies, in the order of their lists. */
export interface GatherBlocksBackward {
  /** Which operation. */
  readonly op: "gather_blocks_backward";
  /** [batch · ⌈n / block⌉ · top_k · block, heads · d] */
  readonly dy: Tensor;
  /** u32 [batch, heads, ⌈n / block⌉ + 1]: see {@linkcode ./route.ts!RouteLists}. */
  readonly starts: Tensor;
  /** u32 [batch, heads, ⌈n / block⌉, top_k] */
  readonly list: Tensor;
  /** [batch · n, heads · d], updated. */
  readonly dx: Tensor;
  /** Positions of a sequence. */
  readonly n: number;
  /** Positions of a block. */
  readonly block: number;
}

function checkMean(op: BlockMean | BlockMeanBackward, x: Tensor, y: Tensor): void {
  const batch = x.shape[0] / op.n, [, width] = x.shape;
  matrix(op, x, batch * op.n, width);
  matrix(op, y, batch * Math.ceil(op.n / op.block), width);
}

function checkCopies(op: GatherBlocks | GatherBlocksBackward, choice: Tensor, x: Tensor, y: Tensor): void {
  const [batch, heads, , top] = choice.shape, blocks = Math.ceil(op.n / op.block), width = x.shape[1];
  holds(op, choice, batch * heads * blocks * top, "u32");
  matrix(op, x, batch * op.n, Math.ceil(width / heads) * heads);
  matrix(op, y, batch * blocks * top * op.block, width);
}

/** What {@linkcode BlockMean} says of itself. */
export const blockMean: Descriptor<BlockMean> = {
  reads: ["x"],
  writes: ["y"],
  activations: ["x", "y"],
  late: true,
  apart: true,
  check: (op) => checkMean(op, op.x, op.y),
};

/** What {@linkcode BlockMeanBackward} says of itself. */
export const blockMeanBackward: Descriptor<BlockMeanBackward> = {
  reads: ["dy", "dx"],
  writes: ["dx"],
  activations: ["dy", "dx"],
  late: true,
  apart: true,
  check: (op) => checkMean(op, op.dx, op.dy),
};

/** What {@linkcode GatherBlocks} says of itself. */
export const gatherBlocks: Descriptor<GatherBlocks> = {
  reads: ["x", "choice"],
  writes: ["y"],
  activations: ["x", "y"],
  late: true,
  apart: true,
  check: (op) => checkCopies(op, op.choice, op.x, op.y),
};

/** What {@linkcode GatherBlocksBackward} says of itself. */
export const gatherBlocksBackward: Descriptor<GatherBlocksBackward> = {
  reads: ["dy", "starts", "list", "dx"],
  writes: ["dx"],
  activations: ["dy", "dx"],
  late: true,
  apart: true,
  check(op) {
    checkCopies(op, op.list, op.dx, op.dy);
    const [, , , top] = op.list.shape;
    holds(op, op.starts, size(op.list) / top + op.list.shape[0] * op.list.shape[1], "u32");
  },
};
