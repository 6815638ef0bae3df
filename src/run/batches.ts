/**
 * The windows of data that a step trains on.
 *
 * @module
 */

import { batchOffsets, epochOffsets } from "../data/batches.ts";
import { readTokens, type TokenRange } from "../data/token_range.ts";
import type { PhaseAt } from "../files/phases.ts";
import type { TrainConfig } from "../files/train_config.ts";
import type { Part } from "./data_parallel.ts";
import type { Tokens } from "./evaluate.ts";

/** Tokens to train on: in memory, or read by range as they are needed. */
export type TrainingTokens = Tokens | TokenRange;

/**
 * The micro-batches of update `step`, from 0: they depend on the constants, the phase and the step alone, so that a run which goes on sees
 * what it would have seen.
 *
 * @param data tokens, or their targets
 * @param Numbers what arrays are made of
 * @param unit sequences begin at multiples of it: an image's tokens
 * @param part what of the update one of several processes does; all of it where absent
 * @returns `accumulate` arrays, [batch · n_ctx], or as the part has them
 * @throws {DataError} where data that is read by range cannot be read any more
 */
export async function microBatches<T extends Uint32Array | Float32Array>(
  { seed, accumulate, windows }: TrainConfig,
  step: number,
  { batch, config: { n_ctx }, index, begin }: PhaseAt,
  data: TrainingTokens,
  Numbers: new (length: number) => T,
  unit?: number,
  part?: Part,
): Promise<T[]> {
  const { length } = data, { micro: first, row } = part?.share ?? { micro: 0, row: 0 }, rows = part?.batch ?? batch;
  return await Promise.all(Array.from({ length: part?.accumulate ?? accumulate }, async (_, own) => {
    const micro = first + own, seen = ((step - begin) * accumulate + micro) * batch;
    const offsets = windows === "shuffled"
      ? epochOffsets({ seed, phase: index, seen, count: batch, length, nCtx: n_ctx, unit })
      : batchOffsets(seed, step, micro, batch, length, n_ctx, unit);
    const numbers = new Numbers(rows * n_ctx), some = offsets.subarray(row, row + rows);
    await Promise.all(Array.from(some, async (offset, at) => numbers.set(await readTokens(data, offset, offset + n_ctx), at * n_ctx)));
    return numbers;
  }));
}
