/**
 * How a model is to be sampled where nothing else is said: `generation_config.json` beside it, with Hugging Face's names.
 *
 * @module
 */

import { type Allowed, expect, mustBe, type ObjectOf, whole } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { parseJson, standIn } from "../base/json.ts";
import { SEEDS, SEQUENCES } from "../base/limits.ts";

/** How text is made: the fields of `generation_config.json` in camelCase. What is left out is as if the field were not there. */
export interface GenerationOptions {
  /** Tokens to write at most: `max_new_tokens`. */
  readonly maxNewTokens?: number;
  /** Whether tokens are drawn; `false`, `do_sample`, takes the likeliest, as temperature 0 does. Default true. */
  readonly doSample?: boolean;
  /** Logits are divided by this; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Only the k likeliest tokens: `top_k`; 0, the default, means all. */
  readonly topK?: number;
  /** Only the likeliest tokens that together reach this probability: `top_p`; default 1. */
  readonly topP?: number;
  /** Only tokens at least this part as probable as the likeliest: `min_p`; 0, the default, means all. */
  readonly minP?: number;
  /** What logits of tokens that were there are divided by where positive, else multiplied: `repetition_penalty`; 1, the default, is none. */
  readonly repetitionPenalty?: number;
  /** Sequences made at once: `num_return_sequences`; default 1. */
  readonly numReturnSequences?: number;
  /** A text ends before the first of these that comes, whatever tokens it is made of: `stop_strings`. What is looked through is what is made, not the prompt. */
  readonly stopStrings?: readonly string[];
  /** Same seed, same tokens on one engine: `seed`, which is a field of ours. Default 0. */
  readonly seed?: number;
}

/** What each field of {@linkcode GenerationOptions} may be. */
export const GENERATION_FIELDS: Readonly<Record<keyof GenerationOptions, Allowed>> = {
  maxNewTokens: whole(0),
  doSample: "true or false",
  temperature: { from: 0 },
  topK: whole(0),
  topP: { above: 0, to: 1 },
  minP: { from: 0, to: 1 },
  repetitionPenalty: { from: 0.01, to: 100 },
  numReturnSequences: SEQUENCES,
  stopStrings: { each: { form: /[^]/, words: "a string of at least one character" }, words: "a list of strings" },
  seed: SEEDS,
};

const NAMES = Object.keys(GENERATION_FIELDS) as (keyof GenerationOptions)[];

/** The name that a field has in the file. */
const inFile = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Fields that say nothing about how tokens are chosen here: no token of these models has a meaning of its own. */
const LEFT = ["_from_model_config", "transformers_version", "bos_token_id", "eos_token_id", "pad_token_id"];

const FILE: ObjectOf = { fields: {}, optional: Object.fromEntries(NAMES.map((name) => [inFile(name), GENERATION_FIELDS[name]])) };

/**
 * Checks options that a caller gives.
 *
 * @param cannot what cannot be done: "Cannot sample"
 * @throws {ConfigError} naming the first field that is out of range
 */
export function checkGeneration(cannot: string, options: GenerationOptions): void {
  for (const name of NAMES) if (options[name] !== undefined) expect(cannot, { [name]: [options[name], GENERATION_FIELDS[name]] });
}

/**
 * Reads a `generation_config.json`. A field that is null is as if it were not there; of fields of Hugging Face's those that name tokens or
 * versions are passed over.
 *
 * @param name of the file, for messages
 * @throws {ConfigError} naming the file, and the first field that is not known here or out of range
 */
export function parseGenerationConfig(text: string, name: string): GenerationOptions {
  expect("Cannot read generation options", { text: [text, "a string"], name: [name, "a string"] });
  const cannot = `Cannot read ${name}`, instead = standIn(text.slice(0, 256));
  if (instead) throw new ConfigError(`${cannot}: it is ${instead}`);
  try {
    const given = parseJson(text);
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw new ConfigError(`${cannot}: ${mustBe("it", "an object", given)}`);
    }
    const fields = Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== null && !LEFT.includes(name)));
    // One string is a list of one, there as here.
    if (typeof fields.stop_strings === "string") fields.stop_strings = [fields.stop_strings];
    expect(cannot, { it: [fields, FILE] });
    return Object.fromEntries(NAMES.filter((name) => fields[inFile(name)] !== undefined).map((name) => [name, fields[inFile(name)]]));
  } catch (error) {
    if (error instanceof SyntaxError) throw new ConfigError(`${cannot}: ${error.message}`);
    throw error;
  }
}

/**
 * A `generation_config.json`, as {@linkcode parseGenerationConfig} reads it.
 *
 * @throws {ConfigError} naming the first field that is out of range
 */
export function formatGenerationConfig(options: GenerationOptions): string {
  const cannot = "Cannot write generation options";
  expect(cannot, { options: [options, "an object"] });
  checkGeneration(cannot, options);
  const fields = NAMES.filter((name) => options[name] !== undefined).map((name) => [inFile(name), options[name]]);
  return JSON.stringify(Object.fromEntries(fields), null, 2) + "\n";
}
