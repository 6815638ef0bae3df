/**
 * Inputs of a batch: tokens, targets, and rows sorted by token.
 *
 * @module
 */

import { expectTokens } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import { type Tensor, tensor, type TensorData } from "../ops/mod.ts";

/** Inputs of one batch; {@linkcode batchData} has their numbers. */
export interface BatchTensors {
  /** u32 [R]: x[i − 1], or the start token at position 0. */
  readonly tokens: Tensor;
  /** u32 [R]: x[i]. */
  readonly targets: Tensor;
  /** u32 [R]: rows sorted by token, for the embedding's gradient. */
  readonly order: Tensor;
  /** u32 [V + 2]: where each token's rows start in `order`. */
  readonly starts: Tensor;
}

/** Makes the tensors of micro-batch number `micro`: of R rows, tokens from 0 to `vocabulary`, which is the start token. */
export function batchTensors(rows: number, vocabulary: number, micro = 0): BatchTensors {
  const u32 = (name: string, length: number) => tensor(`${name}.${micro}`, [length], "u32");
  return {
    tokens: u32("tokens", rows),
    targets: u32("targets", rows),
    order: u32("token_order", rows),
    starts: u32("token_starts", vocabulary + 2),
  };
}

/** Rows sorted by index (a stable counting sort), and where each index starts. */
export function sortByIndex(index: Uint32Array, entries: number): { order: Uint32Array; starts: Uint32Array } {
  const starts = new Uint32Array(entries + 1), order = new Uint32Array(index.length);
  for (let row = 0; row < index.length; row++) starts[index[row] + 1]++;
  for (let i = 0; i < entries; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  for (let row = 0; row < index.length; row++) order[next[index[row]]++] = row;
  return { order, starts };
}

/**
 * The numbers of a batch's tensors.
 *
 * @param tokens u32 or u8 [R], every sequence in turn
 * @param start the start token: vocab_size
 * @param n positions of a sequence
 * @throws {ShapeError} where a token is outside the vocabulary
 */
export function batchData(batch: BatchTensors, tokens: ArrayLike<number>, start: number, n: number): Map<Tensor, TensorData> {
  expectTokens("Cannot use the batch", tokens);
  const targets = new Uint32Array(tokens), shifted = new Uint32Array(targets.length);
  shifted.set(targets.subarray(0, -1), 1);
  for (let first = 0; first < shifted.length; first += n) shifted[first] = start;
  for (let at = 0; at < targets.length; at++) {
    if (targets[at] >= start) {
      throw new ShapeError(`Cannot use token ${targets[at]} at place ${at}: the vocabulary has ${start} values, from 0`);
    }
  }
  const { order, starts } = sortByIndex(shifted, start + 1);
  return new Map([[batch.tokens, shifted], [batch.targets, targets], [batch.order, order], [batch.starts, starts]]);
}
