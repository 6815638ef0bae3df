/**
 * How a model is to be sampled where nothing else is said.
 *
 * @module
 */

import { type Allowed, expect, whole } from "../base/check.ts";
import { SEEDS, SEQUENCES } from "../base/limits.ts";

/** The file that says it, beside a model. */
export const GENERATION_FILE = "generation_config.json";

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

/** Their names. */
export const GENERATION_NAMES = Object.keys(GENERATION_FIELDS) as readonly (keyof GenerationOptions)[];

/**
 * Checks options that a caller gives.
 *
 * @param cannot what cannot be done: "Cannot sample"
 * @throws {ConfigError} naming the first field that is out of range
 */
export function checkGeneration(cannot: string, options: GenerationOptions): void {
  for (const name of GENERATION_NAMES) {
    if (options[name] !== undefined) expect(cannot, { [name]: [options[name], GENERATION_FIELDS[name]] });
  }
}
