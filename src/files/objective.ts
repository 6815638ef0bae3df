/**
 * What a model is trained to say: the next token, tokens that were masked, or a number per position.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { patternsIn } from "../pattern/patterns_in.ts";
import { layerAttention } from "../pattern/sets.ts";
import { type ModelConfig, type Objective, setsOf } from "./model_config.ts";

/**
 * Refuses a model that sees the future where next tokens are to be predicted.
 *
 * @param what was to be done, for the message
 * @throws {ConfigError} naming the first layer whose attention is not causal
 */
export function checkCausal(config: ModelConfig, what: string): void {
  expect("Cannot check the model", { config: [config, "an object"], what: [what, "a string"], n_layer: [config?.n_layer, [1, MOST]] });
  const layer = Array.from({ length: config.n_layer }, (_, layer) => layer).find((layer) =>
    patternsIn(layerAttention(config.attention, layer)).some(({ causal }) => causal === false)
  );
  if (layer === undefined) return;
  throw new ConfigError(
    `Cannot ${what}: the attention of layer ${layer} is not causal, so a position sees the token that it is to predict, and the bits would ` +
      `only say how well it copies; leave out "causal": false (--no-causal)`,
  );
}

/** What each says, for messages. */
const SAYS: Readonly<Record<Objective, string>> = {
  next: "next tokens",
  masked: "masked tokens",
  squared: "a number per position",
  logistic: "a probability per position",
};

/** What a model is trained to say. */
export function objectiveOf(config: Pick<ModelConfig, "objective">): Objective {
  expect("Cannot find the objective", { config: [config, "an object"] });
  return config.objective ?? "next";
}

/** Whether it says one number per position. */
export const scores = (objective: Objective): objective is "squared" | "logistic" => objective === "squared" || objective === "logistic";

/** What its loss is in: never one beside another. */
export const LOSS_UNITS: Readonly<Record<Objective, string>> = {
  next: "bits/token",
  masked: "bits per masked token",
  squared: "mean squared error",
  logistic: "bits per target",
};

/** A mean loss in its objective's unit, of one in nats or squares. */
export const inUnit = (objective: Objective, loss: number): number => objective === "squared" ? loss : loss / Math.LN2;

/**
 * Refuses a model that was made for something else.
 *
 * @param what is to be done, for the message
 * @throws {ConfigError} naming what it was made for
 */
export function checkObjective(config: ModelConfig, what: string, ...allowed: readonly Objective[]): void {
  expect(`Cannot ${what}`, { config: [config, "an object"] });
  const objective = objectiveOf(config);
  if (allowed.includes(objective)) return;
  throw new ConfigError(
    `Cannot ${what}: the model says ${SAYS[objective]} (objective ${objective}), needed is one that says ${
      allowed.map((one) => `${SAYS[one]} (${one})`).join(" or ")
    }`,
  );
}

/**
 * Refuses a model that does not predict the next token of those before it.
 *
 * @param what is to be done, for the message
 * @throws {ConfigError} where it was made for something else, or its attention is not causal
 */
export function checkNext(config: ModelConfig, what: string): void {
  checkObjective(config, what, "next");
  checkCausal(config, what);
}

/**
 * Refuses attention that does not go with what the model is to say: next tokens need causal attention, masked ones need attention both ways.
 *
 * @throws {ConfigError} naming the first layer where that is not so
 */
export function checkTrainable(config: ModelConfig): void {
  const objective = objectiveOf(config);
  if (objective === "next") return checkCausal(config, "train");
  if (objective !== "masked") return;
  for (let layer = 0; layer < config.n_layer; layer++) {
    if (setsOf(config, layer).every(({ causal }) => !causal)) continue;
    throw new ConfigError(
      `Cannot train on masked tokens: the attention of layer ${layer} is causal, so a position would not see what comes after a gap; ` +
        `give it "causal": false (--no-causal)`,
    );
  }
}
