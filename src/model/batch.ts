/**
 * Inputs of a batch: tokens, targets, and rows sorted by token.
 *
 * @module
 */

import { expectTokens } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { type Tensor, tensor, type TensorData } from "../ops/mod.ts";
import { type Memory, memoryOf } from "../pattern/memory.ts";
import { sortByIndex } from "./rows.ts";
import { insertMemory } from "./token_rows.ts";

/** Of what program a batch is. */
export interface BatchShape {
  /** R: rows of all sequences. */
  readonly rows: number;
  /** Sequences. */
  readonly batch: number;
  /** Tokens of each. */
  readonly n: number;
  /** The model. */
  readonly config: ModelConfig;
}

/** Inputs of one batch; {@linkcode batchData} has their numbers. */
export interface BatchTensors {
  /** u32 [R]: x[i − 1], or the start token at position 0; of memory tokens V + 1 and those after it. */
  readonly tokens: Tensor;
  /** u32 [batch · n]: x[i]. */
  readonly targets: Tensor;
  /** u32 [R]: rows sorted by token, for the embedding's gradient. */
  readonly order: Tensor;
  /** u32 [entries of the token table + 1]: where each token's rows start in `order`. */
  readonly starts: Tensor;
}

/** Makes the tensors of micro-batch number `micro` of a program. */
export function batchTensors({ rows, batch, n, config }: BatchShape, micro = 0): BatchTensors {
  const u32 = (name: string, length: number) => tensor(`${name}.${micro}`, [length], "u32"), memory = memoryOf(config.attention);
  return {
    tokens: u32("tokens", rows),
    targets: u32("targets", batch * n),
    order: u32("token_order", rows),
    starts: u32("token_starts", config.vocab_size + 2 + (memory?.count ?? 0)),
  };
}

/**
 * The numbers of a batch's tensors.
 *
 * @param tokens u32 or u8 [batch · n], every sequence in turn
 * @param start the start token: vocab_size
 * @param n positions of a sequence
 * @param memory the model's memory tokens
 * @throws {ShapeError} where a token is outside the vocabulary
 */
export function batchData(
  batch: BatchTensors,
  tokens: ArrayLike<number>,
  start: number,
  n: number,
  memory?: Memory,
): Map<Tensor, TensorData> {
  expectTokens("Cannot use the batch", tokens);
  const targets = new Uint32Array(tokens), shifted = new Uint32Array(targets.length);
  shifted.set(targets.subarray(0, -1), 1);
  for (let first = 0; first < shifted.length; first += n) shifted[first] = start;
  for (let at = 0; at < targets.length; at++) {
    if (targets[at] >= start) {
      throw new ShapeError(`Cannot use token ${targets[at]} at place ${at}: the vocabulary has ${start} values, from 0`);
    }
  }
  const rows = memory ? insertMemory(shifted, memory, start, n) : shifted;
  const { order, starts } = sortByIndex(rows, start + 1 + (memory?.count ?? 0));
  return new Map([[batch.tokens, rows], [batch.targets, targets], [batch.order, order], [batch.starts, starts]]);
}
