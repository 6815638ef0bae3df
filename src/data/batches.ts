/**
 * Which windows of the data a step sees.
 *
 * @module
 */

import { DataError } from "../base/errors.ts";
import { Random, STREAM, threefry } from "../base/random.ts";

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
): Float64Array<ArrayBuffer> {
  if (length < nCtx) throw new DataError(`Cannot draw a batch: the data has ${length} bytes, one context is n_ctx = ${nCtx}`);
  const random = new Random(seed, STREAM.batches + micro, step);
  const places = Math.floor((length - nCtx) / unit) + 1;
  // A word of 32 bits reaches no further.
  const draw = () =>
    places <= 2 ** 32 ? random.below(places) : Math.floor((random.u32() * 2 ** 21 + (random.u32() >>> 11)) / 2 ** 53 * places);
  return Float64Array.from({ length: count }, () => draw() * unit);
}

/** Windows of an epoch: all there are side by side, each a sequence, beginning at multiples of the unit. */
export function windowsOf(length: number, nCtx: number, unit = 1): number {
  const apart = Math.ceil(nCtx / unit) * unit;
  return length < nCtx ? 0 : Math.floor((length - nCtx) / apart) + 1;
}

/** Rounds of the shuffle: four make a Feistel network with a good round function a permutation that nobody tells from a drawn one. */
const ROUNDS = 4;

/**
 * Where `place` lands when [0, count) is shuffled: a Feistel network over the next power of four, walked until it is inside. A list of
 * places would take 320 MB for 10 GB of text in windows of 128.
 *
 * @param key of the shuffle: seed, stream and which
 */
function shuffled(place: number, count: number, [seed, stream, which]: readonly [number, number, number]): number {
  const half = Math.max(1, Math.ceil(Math.log2(count) / 2)), size = 2 ** half;
  do {
    let left = Math.floor(place / size), right = place % size;
    for (let round = 0; round < ROUNDS; round++) {
      [left, right] = [right, (left ^ threefry(seed, stream, right, which * ROUNDS + round)[0]) & (size - 1)];
    }
    place = left * size + right;
  } while (place >= count);
  return place;
}

/** What {@linkcode epochOffsets} is asked for. */
export interface EpochBatch {
  /** Of the run. */
  readonly seed: number;
  /** Which phase of the run: each begins an epoch of its own. */
  readonly phase: number;
  /** Sequences that the phase has seen before these. */
  readonly seen: number;
  /** Sequences. */
  readonly count: number;
  /** Tokens to take them from. */
  readonly length: number;
  /** Positions of a sequence. */
  readonly nCtx: number;
  /** As {@linkcode batchOffsets} has it. */
  readonly unit?: number;
}

/**
 * Where sequences begin that go through the data, each of its windows once per epoch, in an order of each epoch's own: a function of seed,
 * phase and how many came before alone, as {@linkcode batchOffsets}. Where any place may begin one the windows of the first epoch begin at 0,
 * those of each other at a place of its own, so that borders fall elsewhere; the last window then ends where the data does.
 *
 * @throws {DataError} where the data is shorter than one sequence
 */
export function epochOffsets({ seed, phase, seen, count, length, nCtx, unit = 1 }: EpochBatch): Float64Array<ArrayBuffer> {
  if (length < nCtx) throw new DataError(`Cannot draw a batch: the data has ${length} bytes, one context is n_ctx = ${nCtx}`);
  const windows = windowsOf(length, nCtx, unit), stream = STREAM.epochs + phase, apart = Math.ceil(nCtx / unit) * unit;
  return Float64Array.from({ length: count }, (_, row) => {
    const epoch = Math.floor((seen + row) / windows), place = shuffled((seen + row) % windows, windows, [seed, stream, epoch]);
    const shift = unit === 1 && epoch > 0 ? new Random(seed, stream, 2 ** 32 - epoch).below(nCtx) : 0;
    return Math.min(shift + place * apart, length - nCtx);
  });
}
