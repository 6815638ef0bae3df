/**
 * What a model's tokens stand for: bytes, or what its tokenizer makes of them.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError, ConfigError } from "../base/errors.ts";
import { BYTES, type Codec } from "../data/text.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Model } from "./weights.ts";

/**
 * Refuses a tokenizer that is not the model's.
 *
 * @param name of its file, for messages
 * @throws {CheckpointError} where it has another number of tokens
 */
export function checkTokenizer({ size }: Pick<Tokenizer, "size">, vocabulary: number, name: string): void {
  if (size === vocabulary) return;
  throw new CheckpointError(
    `Cannot use ${name}: it has ${size} tokens and the model ${vocabulary}, so it is another model's; give the one that was saved with it`,
  );
}

/**
 * How a model's tokens are written and read.
 *
 * @param what is to be done, for the message
 * @throws {ConfigError} where they are more than bytes, and there is no tokenizer
 */
export function codecOf(model: Pick<Model, "config" | "tokenizer">, what: string): Codec {
  expect(`Cannot ${what}`, { model: [model, "an object"] });
  const { config, tokenizer } = model;
  expect(`Cannot ${what}`, { config: [config, "an object"] });
  if (tokenizer) return tokenizer;
  if (config.vocab_size <= BYTES.size) return BYTES;
  throw new ConfigError(
    `Cannot ${what}: the model has ${config.vocab_size} tokens and no tokenizer.json beside it; put the one there that it was trained with`,
  );
}
