/**
 * `generation_config.json`, beside a model: how it is to be sampled, with Hugging Face's names.
 *
 * @module
 */

import { expect, mustBe, type ObjectOf } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { checkGeneration, GENERATION_FIELDS, GENERATION_NAMES, type GenerationOptions } from "./generation_config.ts";

/** The name that a field has in the file. */
const inFile = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Fields that say nothing about how tokens are chosen here: no token of these models has a meaning of its own. */
const LEFT = ["_from_model_config", "transformers_version", "bos_token_id", "eos_token_id", "pad_token_id"];

const FILE: ObjectOf = {
  fields: {},
  optional: Object.fromEntries(GENERATION_NAMES.map((name) => [inFile(name), GENERATION_FIELDS[name]])),
};

/**
 * Reads a `generation_config.json`. A field that is null is as if it were not there; of fields of Hugging Face's those that name tokens or
 * versions are passed over.
 *
 * @param name of the file, for messages
 * @throws {ConfigError} naming the file, and the first field that is not known here or out of range
 */
export function parseGenerationConfig(text: string, name: string): GenerationOptions {
  expect("Cannot read generation options", { text: [text, "a string"], name: [name, "a string"] });
  const cannot = `Cannot read ${name}`;
  try {
    const given = parseJson(text);
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw new ConfigError(`${cannot}: ${mustBe("it", "an object", given)}`);
    }
    const fields = Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== null && !LEFT.includes(name)));
    // One string is a list of one, there as here.
    if (typeof fields.stop_strings === "string") fields.stop_strings = [fields.stop_strings];
    expect(cannot, { it: [fields, FILE] });
    return Object.fromEntries(
      GENERATION_NAMES.filter((name) => fields[inFile(name)] !== undefined).map((name) => [name, fields[inFile(name)]]),
    );
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
  const fields = GENERATION_NAMES.filter((name) => options[name] !== undefined).map((name) => [inFile(name), options[name]]);
  return JSON.stringify(Object.fromEntries(fields), null, 2) + "\n";
}
