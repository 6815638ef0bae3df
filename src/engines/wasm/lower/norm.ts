/** Calls of sums, the global norm and clipping. @module */

import { type Clip, size, type SquareNorm, type Sum, type Tensor } from "../../../ops/mod.ts";
import { type Call, Region, Table } from "../plan.ts";
import { chunked } from "./chunks.ts";
import { call, PIECE } from "./lowering.ts";

// Elements of a partial sum, and of one of squares. Fixed, so that sums do not depend on the number of threads.
const SUM_CHUNK = 4096, SQUARE_CHUNK = 16384;

/** f64, one per chunk. */
const partialsOf = (chunks: number) => new Region(chunks * 8);

const total = (partials: Region, count: number, y: Tensor, scale: number, accumulate: boolean): Call =>
  call("sum_partials", { units: 1, args: { partials, count, y, scale, accumulate } });

/** Chunks, then their sums in order. */
export function lowerSum({ x, y, scale, accumulate }: Sum): Call[] {
  const count = size(x), chunks = Math.ceil(count / SUM_CHUNK), partials = partialsOf(chunks);
  return [
    call("sum_chunks", { units: chunks, grain: PIECE / SUM_CHUNK, args: { x, count, chunk: SUM_CHUNK, partials } }),
    total(partials, chunks, y, scale, accumulate),
  ];
}

/** Chunks of all tensors, then their sums in order. */
export function lowerSquareNorm({ xs, y }: SquareNorm): Call[] {
  const chunks = chunked(xs, SQUARE_CHUNK), partials = partialsOf(chunks.length);
  const table = new Table(chunks.flatMap(({ which, offset, count }) => [{ tensor: xs[which], offset }, count]));
  return [call("square_chunks", { units: chunks.length, args: { table, partials } }), total(partials, chunks.length, y, 1, false)];
}

/** All at once: it is a few numbers. */
export function lowerClip({ squareNorm, factor, skipped, lossScale, maxNorm, schedule, known, hyper }: Clip): Call[] {
  const args = { squareNorm, factor, skipped, lossScale, maxNorm, schedule, rows: schedule.shape[0], known, hyper };
  return [call("clip", { units: 1, args })];
}
