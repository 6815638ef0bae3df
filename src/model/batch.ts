/**
 * Inputs of a batch: tokens, targets, and rows sorted by token.
 *
 * @module
 */

import { expectTokens } from "../base/check.ts";
import { DataError, ShapeError } from "../base/errors.ts";
import { sortByIndex } from "../base/sort.ts";
import type { ModelConfig, Objective } from "../files/model_config.ts";
import { type Tensor, tensor, type TensorData } from "../ops/mod.ts";
import { type Memory, memoryOf } from "../pattern/memory.ts";
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
  /** u32 [R]: x[i − 1], or the start token at position 0; x[i] where it is not the next token that is predicted; of memory tokens V + 1 and on. */
  readonly tokens: Tensor;
  /** u32 [batch · n]: x[i], or no token where none is to be predicted; f32 [batch · n] of models that say a number per position. */
  readonly targets: Tensor;
  /** f32 [R], of such models alone: what the loss of each position weighs. */
  readonly weights?: Tensor;
  /** u32 [R]: rows sorted by token, for the embedding's gradient. */
  readonly order: Tensor;
  /** u32 [entries of the token table + 1]: where each token's rows start in `order`. */
  readonly starts: Tensor;
}

/** Makes the tensors of micro-batch number `micro` of a program. */
export function batchTensors({ rows, batch, n, config }: BatchShape, micro = 0): BatchTensors {
  const { vocab_size, objective } = config, isScored = objective === "squared" || objective === "logistic";
  const u32 = (name: string, length: number) => tensor(`${name}.${micro}`, [length], "u32"), memory = memoryOf(config.attention);
  return {
    tokens: u32("tokens", rows),
    targets: isScored ? tensor(`targets.${micro}`, [batch * n]) : u32("targets", batch * n),
    ...isScored ? { weights: tensor(`target_weights.${micro}`, [batch * n]) } : {},
    order: u32("token_order", rows),
    starts: u32("token_starts", vocab_size + 2 + (memory?.count ?? 0)),
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
  const targets = checkedTokens(tokens, start), shifted = new Uint32Array(targets.length);
  shifted.set(targets.subarray(0, -1), 1);
  for (let first = 0; first < shifted.length; first += n) shifted[first] = start;
  return inputData(batch, shifted, start, n, memory).set(batch.targets, targets);
}

/** Tokens below the vocabulary's size. */
export function checkedTokens(tokens: ArrayLike<number>, vocabulary: number): Uint32Array {
  expectTokens("Cannot use the batch", tokens);
  const checked = new Uint32Array(tokens);
  for (let at = 0; at < checked.length; at++) {
    if (checked[at] >= vocabulary) {
      throw new ShapeError(`Cannot use token ${checked[at]} at place ${at}: the vocabulary has ${vocabulary} values, from 0`);
    }
  }
  return checked;
}

/** What a batch's embedding reads, forward and backward, of the tokens that its positions read. */
export function inputData(
  batch: BatchTensors,
  inputs: Uint32Array,
  vocabulary: number,
  n: number,
  memory?: Memory,
): Map<Tensor, TensorData> {
  const rows = memory ? insertMemory(inputs, memory, vocabulary, n) : inputs;
  const { order, starts } = sortByIndex(rows, vocabulary + 1 + (memory?.count ?? 0));
  return new Map([[batch.tokens, rows], [batch.order, order], [batch.starts, starts]]);
}

/**
 * Targets that mean something to an objective: finite numbers, of `logistic` probabilities, or NaN where there is none.
 *
 * @throws {DataError} naming the first that does not
 */
export function checkedTargets(targets: ArrayLike<number>, objective: Objective): ArrayLike<number> {
  const isProbability = objective === "logistic";
  for (let at = 0; at < targets.length; at++) {
    const t = targets[at];
    if (t !== t || (isProbability ? t >= 0 && t <= 1 : isFinite(t))) continue;
    throw new DataError(
      `Cannot use target ${t} at place ${at}: it must be ${isProbability ? "from 0 to 1" : "finite"}, or NaN where there is none`,
    );
  }
  return targets;
}

/** Targets that are there: those that are not NaN. */
export function targetsIn(targets: ArrayLike<number>): number {
  let count = 0;
  for (let at = 0; at < targets.length; at++) if (targets[at] === targets[at]) count++;
  return count;
}

/**
 * The numbers of a batch of a model that says a number per position.
 *
 * @param tokens [batch · n]
 * @param targets [batch · n]: NaN where there is none
 * @param n positions of a sequence
 * @param memory the model's memory tokens
 * @param mean targets of a micro-batch of the update on average, so that each of the update weighs alike; by default its own
 * @throws {ShapeError} where a token is outside the vocabulary
 */
export function scoredData(
  batch: BatchTensors,
  tokens: ArrayLike<number>,
  targets: ArrayLike<number>,
  vocabulary: number,
  n: number,
  memory?: Memory,
  mean = targetsIn(targets),
): Map<Tensor, TensorData> {
  const wanted = Float32Array.from(targets);
  // The loss is a mean over all rows: so that it is one over those with a target, these weigh more.
  const weights = wanted.map((t) => t === t ? wanted.length / mean : 0);
  return inputData(batch, checkedTokens(tokens, vocabulary), vocabulary, n, memory)
    .set(batch.targets, wanted.map((t) => t === t ? t : 0)).set(batch.weights!, weights);
}
