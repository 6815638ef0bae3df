/**
 * Training constants made to fit the run that they are for.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";
import { windowsOf } from "../data/batches.ts";
import { phasesOf } from "../files/phases.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { checkTrain, TRAIN_DEFAULTS, type TrainConfig } from "../files/train_config.ts";

/** A warm-up is at most this part of a run whose makers ask for none: one made for a longer run would never end in a shorter one. */
const WARMUP = 1 / 10;

/** Constants whose warm-up is at most a tenth of their steps. */
export function fitWarmup(train: Partial<TrainConfig>): Partial<TrainConfig> {
  expect("Cannot fit the warm-up", { "the training constants": [train, "an object"] });
  const { steps = TRAIN_DEFAULTS.steps, warmup = TRAIN_DEFAULTS.warmup } = train;
  return { ...train, warmup: Math.min(warmup, Math.ceil(steps * WARMUP)) };
}

/**
 * Constants of whose phases those are left that are shorter than the model's context, each with its share of the batch.
 *
 * @param before the batch that the phases were made for
 */
export function fitPhases(
  train: Partial<TrainConfig>,
  model: Pick<ModelConfig, "n_ctx">,
  before: number = TRAIN_DEFAULTS.batch,
): Partial<TrainConfig> {
  expect("Cannot fit the phases", { "the training constants": [train, "an object"], "the model": [model, "an object"] });
  const { n_ctx } = model;
  expect("Cannot fit the phases", {
    n_ctx: [n_ctx, whole(1)],
    before: [before, whole(1)],
    phases: [train.phases === undefined ? [] : train.phases, "a list"],
  });
  if (!train.phases) return train;
  const share = (train.batch ?? TRAIN_DEFAULTS.batch) / before;
  const phases = train.phases.filter((phase) => (phase.n_ctx ?? 0) < n_ctx)
    .map((phase) => phase.batch ? { ...phase, batch: Math.max(1, Math.round(phase.batch * share)) } : phase);
  return { ...train, phases };
}

/**
 * Steps in which a run sees as many tokens as its data has, the mean over its phases. Sequences are drawn anywhere in the data, so each
 * token is seen once in them on average.
 *
 * @param tokens of the data trained on
 * @throws {ConfigError} where a field is out of range
 */
export function stepsPerEpoch(config: ModelConfig, train: Partial<TrainConfig>, tokens: number): number {
  expect("Cannot count the steps of an epoch", { tokens: [tokens, whole(1)] });
  const { accumulate, steps } = checkTrain(train);
  let begun = 0, seen = 0;
  for (const { config: { n_ctx }, batch, end } of phasesOf(config, train)) {
    seen += (end - begun) * batch * accumulate * n_ctx;
    begun = end;
  }
  return tokens * steps / seen;
}

/**
 * Steps of so many epochs: each window of the data is seen that often, where steps see them in a shuffled order.
 *
 * @param tokens of the data trained on
 * @param unit sequences begin at multiples of it: an image's tokens
 * @throws {ConfigError} where a field is out of range
 */
export function stepsFor(epochs: number, config: ModelConfig, train: Partial<TrainConfig>, tokens: number, unit = 1): number {
  const many = whole(1);
  expect("Cannot count the steps", {
    epochs: [epochs, { above: 0 }],
    model: [config, "an object"],
    tokens: [tokens, many],
    unit: [unit, many],
  });
  // Windows of one context, without the rest that is shorter than one.
  const seen = Math.max(1, windowsOf(tokens, config.n_ctx, unit)) * config.n_ctx;
  return Math.max(1, Math.ceil(stepsPerEpoch(config, train, seen) * epochs - 1e-6));
}
