/**
 * What a model is: the fields of `config.json` and their validation.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError, excerpt } from "../base/errors.ts";
import { parseJson, standIn } from "../base/json.ts";
import { type AttentionConfig, type AttentionSet, resolveSets } from "../pattern/sets.ts";
import { oneOf, whole } from "./fields.ts";

/** Positional embedding (Eq. 15): by row and column of the attention stride, or by coordinates of the data. */
export type PositionConfig =
  /** (⌊i/stride⌋, i mod stride) */
  | { kind: "attention"; stride: number }
  /** Coordinates of position i in row-major order, for example [height, width, channel]. */
  | { kind: "data"; shape: number[] };

/** A Sparse Transformer's shape, as in `config.json`. */
export interface ModelConfig {
  /** Always "sparse_transformer". */
  model_type: "sparse_transformer";
  /** Positions of a sequence. */
  n_ctx: number;
  /** Residual blocks. */
  n_layer: number;
  /** Attention heads; divides d_model and d_qk. */
  n_head: number;
  /** Width of the residual stream. */
  d_model: number;
  /** Width of the feed-forward layer. */
  d_ff: number;
  /** Features of queries and of keys, over all heads. */
  d_qk: number;
  /** Token values; the embedding has one row more, the start token. */
  vocab_size: number;
  /** Probability of dropout, only at the end of each residual branch. */
  dropout: number;
  /** One pattern, or one per layer. */
  attention: AttentionConfig | AttentionConfig[];
  /** Positional embedding. */
  position: PositionConfig;
  /** What weights are drawn with (spec of {@linkcode ../model/parameters.ts!initialWeights}): "default", or the paper's letter. */
  init?: Initialisation;
}

/** Deviations of the first weights, by name. */
export type Initialisation = "default" | "paper";

/** The names of {@linkcode Initialisation}. */
export const INITIALISATIONS: readonly Initialisation[] = ["default", "paper"];

/** The attention of layer r. */
function attentionOf(config: ModelConfig, layer: number): AttentionConfig {
  return Array.isArray(config.attention) ? config.attention[layer] : config.attention;
}

/** The sets of every head of layer r. */
export function setsOf(config: ModelConfig, layer: number): AttentionSet[] {
  return resolveSets(attentionOf(config, layer), { n: config.n_ctx, layer, heads: config.n_head });
}

/**
 * Refuses a model that sees the future where next tokens are to be predicted.
 *
 * @param what was to be done, for the message
 * @throws {ConfigError} naming the first layer whose attention is not causal
 */
export function checkCausal(config: ModelConfig, what: string): void {
  expect("Cannot check the model", { config: [config, "an object"], what: [what, "a string"], n_layer: [config?.n_layer, [1, MOST]] });
  const layer = Array.from({ length: config.n_layer }, (_, layer) => layer).find((layer) => attentionOf(config, layer).causal === false);
  if (layer === undefined) return;
  throw new ConfigError(
    `Cannot ${what}: the attention of layer ${layer} is not causal, so a position sees the token that it is to predict, and the bits would ` +
      `only say how well it copies; leave out "causal": false (--no-causal)`,
  );
}

/** Rows of each positional table. */
export function positionSizes(config: ModelConfig): number[] {
  const { position, n_ctx } = config;
  return position.kind === "attention" ? [Math.ceil(n_ctx / position.stride), Math.min(n_ctx, position.stride)] : position.shape;
}

/** Row of each positional table that position i reads. */
export function positionRows(config: ModelConfig, i: number): number[] {
  const { position } = config;
  if (position.kind === "attention") return [Math.floor(i / position.stride), i % position.stride];
  const rows: number[] = [];
  let rest = i;
  for (let axis = position.shape.length - 1; axis >= 0; axis--) {
    rows.unshift(rest % position.shape[axis]);
    rest = Math.floor(rest / position.shape[axis]);
  }
  return rows;
}

const FIELDS = "model_type n_ctx n_layer n_head d_model d_ff d_qk vocab_size dropout attention position init".split(" ");

/**
 * Checks a configuration, for example parsed from `config.json`, and every layer's attention in it.
 *
 * @returns the same, as a {@linkcode ModelConfig} with nothing else in it
 * @throws {ConfigError} naming the first field that is missing, unknown or out of range, and what is allowed
 */
export function checkConfig(given: unknown): ModelConfig {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new ConfigError(`Cannot use the configuration: it must be an object, got ${excerpt(String(JSON.stringify(given)))}`);
  }
  const fields = given as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!FIELDS.includes(name)) {
      throw new ConfigError(`Cannot use the configuration: unknown field ${excerpt(name)}, known are ${FIELDS.join(", ")}`);
    }
  }
  if (fields.model_type !== "sparse_transformer") {
    throw new ConfigError(
      `Cannot use the configuration: model_type must be "sparse_transformer", current value is ${
        excerpt(String(JSON.stringify(fields.model_type)))
      }`,
    );
  }
  const config: ModelConfig = {
    model_type: "sparse_transformer",
    n_ctx: whole(fields, "n_ctx", 1, 2 ** 24),
    n_layer: whole(fields, "n_layer", 1, 4096),
    n_head: whole(fields, "n_head", 1, 4096),
    d_model: whole(fields, "d_model", 1, 2 ** 16),
    d_ff: whole(fields, "d_ff", 1, 2 ** 18),
    d_qk: whole(fields, "d_qk", 1, 2 ** 16),
    vocab_size: whole(fields, "vocab_size", 2, 2 ** 20),
    dropout: fields.dropout as number,
    attention: fields.attention as ModelConfig["attention"],
    position: fields.position as PositionConfig,
  };
  for (const width of ["d_model", "d_qk"] as const) {
    if (config[width] % config.n_head !== 0) {
      throw new ConfigError(`Cannot use the configuration: ${width} ${config[width]} must be a multiple of n_head ${config.n_head}`);
    }
  }
  if (typeof config.dropout !== "number" || !(config.dropout >= 0 && config.dropout < 1)) {
    throw new ConfigError(
      `Cannot use the configuration: dropout must be in [0, 1), current value is ${excerpt(String(JSON.stringify(config.dropout)))}`,
    );
  }
  if (fields.init !== undefined) config.init = oneOf("use the configuration", fields, "init", INITIALISATIONS);
  checkPosition(config);
  const layers = Array.isArray(config.attention) ? config.attention : [config.attention];
  if (Array.isArray(config.attention) && layers.length !== config.n_layer) {
    throw new ConfigError(`Cannot use the configuration: attention lists ${layers.length} layers, n_layer is ${config.n_layer}`);
  }
  for (const attention of layers) {
    if (typeof attention !== "object" || attention === null) {
      throw new ConfigError(
        `Cannot use the configuration: attention must be an object with a pattern, current value is ${
          excerpt(String(JSON.stringify(attention)))
        }`,
      );
    }
  }
  layers.forEach((attention, layer) => {
    // The two factors alternate by layer: two layers show every set of one pattern.
    for (const r of layers.length === 1 ? [0, 1] : [layer]) resolveSets(attention, { n: config.n_ctx, layer: r, heads: config.n_head });
  });
  return config;
}

function checkPosition({ position, n_ctx }: ModelConfig): void {
  const fail = (what: string): never => {
    throw new ConfigError(`Cannot use the configuration: ${what}, current value is ${excerpt(String(JSON.stringify(position)))}`);
  };
  const counts = (x: unknown) => typeof x === "number" && Number.isInteger(x) && x >= 1 && x <= 2 ** 24;
  if (typeof position !== "object" || position === null) fail(`position must be an object of kind "attention" or "data"`);
  if (position.kind === "attention") {
    if (!counts(position.stride)) fail("position.stride must be a whole number from 1");
  } else if (position.kind === "data") {
    if (!Array.isArray(position.shape) || !position.shape.every(counts)) fail("position.shape must be a list of whole numbers from 1");
    const places = position.shape.reduce((a, b) => a * b, 1);
    if (places < n_ctx) fail(`position.shape must have at least n_ctx = ${n_ctx} places, it has ${places}`);
  } else fail(`position.kind must be "attention" or "data"`);
}

/**
 * Reads a `config.json`.
 *
 * @param name of the file, for messages
 * @throws {ConfigError} naming the file, the first field that is wrong and what is allowed
 */
export function parseConfig(text: string, name: string): ModelConfig {
  expect("Cannot read the configuration", { text: [text, "a string"], name: [name, "a string"] });
  const instead = standIn(text.slice(0, 256));
  if (instead) throw new ConfigError(`Cannot read ${name}: it is ${instead}`);
  try {
    return checkConfig(parseJson(text));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof ConfigError) throw new ConfigError(`Cannot read ${name}: ${error.message}`);
    throw error;
  }
}

/** A `config.json`, as {@linkcode parseConfig} reads it. */
export function formatConfig(config: ModelConfig): string {
  expect("Cannot write the configuration", { config: [config, "an object"] });
  return JSON.stringify(config, null, 2) + "\n";
}
