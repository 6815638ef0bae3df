/**
 * Inputs of a batch: tokens, targets, and rows sorted by token.
 *
 * @module
 */

import { expectTokens } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import { sortByIndex } from "../base/sort.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { type Tensor, tensor, type TensorData } from "../ops/mod.ts";

/** Inputs of one batch; {@linkcode batchData} has their numbers. */
export interface BatchTensors {
  /** u32 [R]: x[i − 1], or the start token at position 0; x[i] where it is not the next token that is predicted. */
  readonly tokens: Tensor;
  /** u32 [R]: x[i], or no token where none is to be predicted; f32 [R] of models that say a number per position. */
  readonly targets: Tensor;
  /** f32 [R], of such models alone: what the loss of each position weighs. */
  readonly weights?: Tensor;
  /** u32 [R]: rows sorted by token, for the embedding's gradient. */
  readonly order: Tensor;
  /** u32 [V + 2]: where each token's rows start in `order`. */
  readonly starts: Tensor;
}

/** Makes the tensors of micro-batch number `micro`: of R rows, tokens from 0 to the vocabulary's size, which is the start or mask token. */
export function batchTensors(rows: number, { vocab_size, objective }: ModelConfig, micro = 0): BatchTensors {
  const isScored = objective === "squared" || objective === "logistic";
  const u32 = (name: string, length: number) => tensor(`${name}.${micro}`, [length], "u32");
  return {
    tokens: u32("tokens", rows),
    targets: isScored ? tensor(`targets.${micro}`, [rows]) : u32("targets", rows),
    ...isScored ? { weights: tensor(`target_weights.${micro}`, [rows]) } : {},
    order: u32("token_order", rows),
    starts: u32("token_starts", vocab_size + 2),
  };
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
  const targets = checkedTokens(tokens, start), shifted = targets.map((_, at) => at % n === 0 ? start : targets[at - 1]);
  return inputData(batch, shifted, start).set(batch.targets, targets);
}

/** Tokens below the vocabulary's size. */
export function checkedTokens(tokens: ArrayLike<number>, vocabulary: number): Uint32Array {
  expectTokens("Cannot use the batch", tokens);
  const checked = Uint32Array.from(tokens), at = checked.findIndex((token) => token >= vocabulary);
  if (at < 0) return checked;
  throw new ShapeError(`Cannot use token ${checked[at]} at place ${at}: the vocabulary has ${vocabulary} values, from 0`);
}

/** What a batch's embedding reads, forward and backward, of the tokens that its positions read. */
export function inputData(batch: BatchTensors, inputs: Uint32Array, vocabulary: number): Map<Tensor, TensorData> {
  const { order, starts } = sortByIndex(inputs, vocabulary + 1);
  return new Map([[batch.tokens, inputs], [batch.order, order], [batch.starts, starts]]);
}

/**
 * The numbers of a batch of a model that says a number per position.
 *
 * @param tokens [R]
 * @param targets [R]: NaN where there is none
 * @throws {ShapeError} where a token is outside the vocabulary, or the lengths differ
 */
export function scoredData(
  batch: BatchTensors,
  tokens: ArrayLike<number>,
  targets: ArrayLike<number>,
  vocabulary: number,
): Map<Tensor, TensorData> {
  if (targets.length !== tokens.length) {
    throw new ShapeError(`Cannot use the batch: it has ${tokens.length} tokens and ${targets.length} targets; give each token one, or NaN`);
  }
  const wanted = Float32Array.from(targets), count = wanted.reduce((sum, t) => sum + (t === t ? 1 : 0), 0);
  // The loss is a mean over all rows: so that it is one over those with a target, these weigh more.
  const weights = wanted.map((t) => t === t ? wanted.length / count : 0);
  return inputData(batch, checkedTokens(tokens, vocabulary), vocabulary)
    .set(batch.targets, wanted.map((t) => t === t ? t : 0)).set(batch.weights!, weights);
}
