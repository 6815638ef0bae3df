/**
 * What an opened model's streams are asked for: a call's options over those that came with the model.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { checkGeneration, GENERATION_FIELDS, type GenerationOptions } from "../files/generation_config.ts";
import type { Choice, Stoppable } from "./sample.ts";

/** {@linkcode GenerationOptions} of one call; what it leaves out is as the model's own say. */
export interface GenerateOptions extends GenerationOptions, Stoppable {
  /** Tokens to write: the same as `maxNewTokens`. One of them must be given, here or with the model. */
  readonly length?: number;
}

/** {@linkcode GenerateOptions} of one sequence of tokens. */
export interface TokenOptions extends Omit<GenerateOptions, "numReturnSequences"> {
  /** Tokens to start from; may be empty. */
  readonly prompt?: ArrayLike<number>;
}

/** {@linkcode GenerateOptions} of one text. */
export interface TextOptions extends Omit<GenerateOptions, "numReturnSequences"> {
  /** Text to start from, as UTF-8 bytes; may be empty. */
  readonly prompt?: string;
}

/** {@linkcode GenerateOptions} of several texts. */
export interface TextsOptions extends GenerateOptions {
  /** Text that all start from, as UTF-8 bytes; may be empty. */
  readonly prompt?: string;
}

/** {@linkcode GenerateOptions} of sequences of tokens. */
export interface BatchOptions extends Omit<GenerateOptions, "stopStrings"> {
  /** Tokens that all sequences start from, or those of each: then all of the same length. */
  readonly prompt?: ArrayLike<number> | readonly ArrayLike<number>[];
  /** Sequences at once: the same as `numReturnSequences`; default 1. */
  readonly batch?: number;
}

/** What a stream goes by. */
export interface Resolved {
  /** How tokens are chosen, how many, and what ends the stream. */
  readonly options: Choice & Stoppable & { readonly length: number };
  /** Sequences at once. */
  readonly count: number;
  /** Where texts end; none where empty. */
  readonly stopStrings: readonly string[];
}

/** A value that may go by two names. */
function either<T>(cannot: string, a: [name: string, value: T | undefined], b: [name: string, value: T | undefined]): T | undefined {
  if (a[1] !== undefined && b[1] !== undefined) throw new ConfigError(`${cannot}: ${a[0]} and ${b[0]} are the same; give one of them`);
  return a[1] ?? b[1];
}

/**
 * Puts a call's options over the model's. A call that gives a temperature draws with it, whatever the model's `doSample`.
 *
 * @throws {ConfigError} where an option is out of range, or none says how many tokens
 */
export function resolve(cannot: string, given: GenerateOptions & { readonly batch?: number }, own: GenerationOptions): Resolved {
  expect(cannot, { options: [given, "an object"] });
  const { signal, length, batch, ...call } = given, { maxNewTokens: _most, numReturnSequences: _count, ...choice } = own;
  checkGeneration(cannot, call);
  for (const [name, value, field] of [["length", length, "maxNewTokens"], ["batch", batch, "numReturnSequences"]] as const) {
    if (value !== undefined) expect(cannot, { [name]: [value, GENERATION_FIELDS[field]] });
  }
  const tokens = either(cannot, ["length", length], ["maxNewTokens", call.maxNewTokens]) ?? own.maxNewTokens;
  expect(cannot, { length: [tokens, GENERATION_FIELDS.maxNewTokens] });
  const count = either(cannot, ["batch", batch], ["numReturnSequences", call.numReturnSequences]) ?? own.numReturnSequences ?? 1;
  const draws = call.doSample ?? (call.temperature !== undefined || (own.doSample ?? true)),
    merged: GenerationOptions = {
      ...choice,
      ...Object.fromEntries(Object.entries(call).filter(([, value]) => value !== undefined)),
    };
  const { topK, topP, minP, repetitionPenalty, seed, stopStrings = [] } = merged, temperature = draws ? merged.temperature : 0;
  return { options: { length: tokens!, temperature, topK, topP, minP, repetitionPenalty, seed, signal }, count, stopStrings };
}
