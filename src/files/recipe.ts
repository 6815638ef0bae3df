/**
 * `recipe.json`: what begins a run. A run folder holds the one that begins the same run again.
 *
 * @module
 */

import { expect, type ObjectOf, wrongOf } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { DataSource } from "../data/identity.ts";
import { checkConfig, type ModelConfig, parseConfig } from "./model_config.ts";
import { SOURCE } from "./run_state.ts";
import { checkTrain, TRAIN_FIELDS, type TrainConfig } from "./train_config.ts";

/** What begins a run; whatever is left out is chosen as if there were no recipe. */
export interface Recipe {
  /** The model. */
  readonly model?: ModelConfig;
  /** Training constants. */
  readonly train?: Partial<TrainConfig>;
  /** The data, and how it is read. */
  readonly data?: DataSource;
  /** File of the tokenizer, from the recipe's folder. */
  readonly tokenizer?: string;
}

/** The name of a recipe in a run folder. */
export const RECIPE_FILE = "recipe.json";

const RECIPE: ObjectOf = {
  fields: {},
  optional: { model: "an object", train: { fields: {}, optional: TRAIN_FIELDS }, data: SOURCE, tokenizer: "a string" },
};

/**
 * Reads a recipe; a model's `config.json` is one of a model alone.
 *
 * @param name of the file, for messages
 * @throws {ConfigError} naming the file, the first field that is wrong and what is allowed
 */
export function parseRecipe(text: string, name: string): Recipe {
  expect("Cannot read the recipe", { text: [text, "a string"], name: [name, "a string"] });
  let json: unknown;
  try {
    json = parseJson(text);
  } catch {
    // What stands in its place, or where it is no JSON, a configuration's reader says.
  }
  const isRecipe = typeof json === "object" && json !== null && ["model", "train", "data"].some((field) => Object.hasOwn(json, field));
  if (!isRecipe) return { model: parseConfig(text, name) };
  try {
    const wrong = wrongOf("it", json, RECIPE);
    if (wrong) throw new ConfigError(wrong);
    const recipe = json as Recipe;
    if (recipe.train) checkTrain(recipe.train);
    return { ...recipe, ...recipe.model ? { model: checkConfig(recipe.model) } : {} };
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`Cannot read ${name}: ${error.message}`) : error;
  }
}

/** A `recipe.json`, as {@linkcode parseRecipe} reads it. */
export function formatRecipe(recipe: Recipe): string {
  expect("Cannot write the recipe", { recipe: [recipe, "an object"] });
  const { model, train, data, tokenizer } = recipe;
  return JSON.stringify({ model, train, data, tokenizer }, null, 2) + "\n";
}
