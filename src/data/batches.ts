/**
 * Which windows of the data a step sees.
 *
 * @module
 */

import { DataError } from "../base/errors.ts";
import { Random, STREAM } from "../base/random.ts";

/**
 * Where the sequences of one micro-batch begin: uniform over the data, a function of seed, step, micro-batch and row
 * alone, so that a resumed run needs no state to go on with the same ones.
 *
 * @param step from 0
 * @param micro the micro-batch within the step, below 65,536
 * @param count sequences
 * @param length bytes to draw from
 * @param nCtx positions of a sequence
 * @param unit sequences begin at multiples of it: an image's tokens; 1 where any place may begin one
 * @throws {DataError} where the data is shorter than one sequence
 */
export function batchOffsets(
  seed: number,
  step: number,
  micro: number,
  count: number,
  length: number,
  nCtx: number,
  unit = 1,
): Uint32Array {
  if (length < nCtx) throw new DataError(`Cannot draw a batch: the data has ${length} bytes, one context is n_ctx = ${nCtx}`);
  const random = new Random(seed, STREAM.batches + micro, step);
  return Uint32Array.from({ length: count }, () => random.below(Math.floor((length - nCtx) / unit) + 1) * unit);
}
