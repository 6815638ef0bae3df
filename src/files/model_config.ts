/**
 * What a model is: the fields of `config.json` and their validation.
 *
 * @module
 */

import { type Allowed, expect, type ObjectOf, shown, whole } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { memoryOf, rowsOf } from "../pattern/memory.ts";
import { checkFields } from "../pattern/patterns_in.ts";
import { type AttentionSet, layerAttention, layersOf, type ModelAttention, resolveSets, routedAt } from "../pattern/sets.ts";

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
  /** One pattern, or one per layer, per head, or both. */
  attention: ModelAttention;
  /** Positional embedding. */
  position: PositionConfig;
  /** What weights are drawn with (spec of {@linkcode ../model/initial_weights.ts!initialWeights}): "default", or the paper's letter. */
  init?: Initialisation;
  /** What it says; next tokens where absent. */
  objective?: Objective;
}

/**
 * What a model is trained to say of each position: the next token; the token that was masked there; a number, by mean squared error; a
 * probability, by cross-entropy. All but the first read the token of a position there, and may look both ways.
 */
export type Objective = "next" | "masked" | "squared" | "logistic";

/** The names of {@linkcode Objective}. */
export const OBJECTIVES: readonly Objective[] = ["next", "masked", "squared", "logistic"];

/** Deviations of the first weights, by name. */
export type Initialisation = "default" | "paper";

/** The names of {@linkcode Initialisation}. */
export const INITIALISATIONS: readonly Initialisation[] = ["default", "paper"];

/** The sets of every head of layer r. */
export function setsOf(config: ModelConfig, layer: number): AttentionSet[] {
  const { attention, n_ctx, n_head } = config;
  return resolveSets(layerAttention(attention, layer), { n: rowsOf(n_ctx, memoryOf(attention)), layer, heads: n_head });
}

/** Numbers that the model says of each position: a logit per token, or one. */
export const outputsOf = ({ objective, vocab_size }: ModelConfig): number =>
  objective === "squared" || objective === "logistic" ? 1 : vocab_size;

/** Rows of each positional table. */
export function positionSizes(config: ModelConfig): number[] {
  const { position, n_ctx } = config;
  return position.kind === "attention" ? [Math.ceil(n_ctx / position.stride), Math.min(n_ctx, position.stride)] : position.shape;
}

/** How positions read each positional table: position i its row ⌊i / divisor⌋ mod size. */
export function positionTables(config: ModelConfig): { readonly divisor: number; readonly size: number }[] {
  const { position } = config, sizes = positionSizes(config);
  const after = (axis: number) => sizes.slice(axis + 1).reduce((a, b) => a * b, 1);
  return sizes.map((size, axis) => ({ size, divisor: position.kind === "data" ? after(axis) : axis === 0 ? position.stride : 1 }));
}

/** Row of each positional table that position i reads. */
export function positionRows(config: ModelConfig, i: number): number[] {
  return positionTables(config).map(({ divisor, size }) => Math.floor(i / divisor) % size);
}

/** What each field of `config.json` may be. */
export const MODEL_FIELDS: Readonly<Record<keyof ModelConfig, Allowed>> = {
  model_type: { oneOf: ["sparse_transformer"] },
  n_ctx: whole(1, 2 ** 24),
  n_layer: whole(1, 4096),
  n_head: whole(1, 4096),
  d_model: whole(1, 2 ** 16),
  d_ff: whole(1, 2 ** 18),
  d_qk: whole(1, 2 ** 16),
  vocab_size: whole(2, 2 ** 20),
  dropout: { from: 0, below: 1 },
  attention: "an object",
  position: "an object",
  init: { oneOf: INITIALISATIONS },
  objective: { oneOf: OBJECTIVES },
};

/** A `config.json` as a whole: older ones have no `init`, most no `objective`. */
const { init, objective, ...NEEDED } = MODEL_FIELDS, MODEL: ObjectOf = { fields: NEEDED, optional: { init, objective } };

/**
 * Checks a configuration, for example parsed from `config.json`, and every layer's attention in it.
 *
 * @returns the same, as a {@linkcode ModelConfig} with nothing else in it
 * @throws {ConfigError} naming the first field that is missing, unknown or out of range, and what is allowed
 */
export function checkConfig(given: unknown): ModelConfig {
  const cannot = "Cannot use the configuration";
  expect(cannot, { it: [given, MODEL] });
  // In one order, so that equal configurations are saved as equal bytes.
  const fields = Object.keys(MODEL_FIELDS).map((name) => [name, (given as Record<string, unknown>)[name]] as const);
  const config = Object.fromEntries(fields.filter(([, value]) => value !== undefined)) as unknown as ModelConfig;
  const { n_head } = config;
  for (const width of ["d_model", "d_qk"] as const) {
    if (config[width] % n_head !== 0) throw new ConfigError(`${cannot}: ${width} ${config[width]} must be a multiple of n_head ${n_head}`);
  }
  checkPosition(config);
  checkAttention(cannot, config);
  return config;
}

/** The attention of every layer; what is wrong with a pattern is wrong whichever of its factors a layer has. */
function checkAttention(cannot: string, { attention, n_layer, n_ctx, n_head }: ModelConfig): void {
  const isList = Array.isArray(attention), round = layersOf(attention);
  if (!isList && "layers" in attention) {
    expect(cannot, { attention: [attention, { fields: { layers: "a list" } }], "layers of attention": [round?.length, [1, 4096]] });
  }
  if (isList && round.length !== n_layer) {
    throw new ConfigError(`${cannot}: attention lists ${round.length} layers, n_layer is ${n_layer}`);
  }
  round.forEach((one, at) => {
    expect(cannot, { [isList ? `attention[${at}]` : round.length > 1 ? `attention.layers[${at}]` : "attention"]: [one, "an object"] });
    if ("heads" in one) expect(cannot, { "heads of attention": [one.heads, { each: "an object" }] });
  });
  const memory = memoryOf(attention), n = rowsOf(n_ctx, memory);
  if (memory && round.some((_, layer) => routedAt(attention, layer))) {
    throw new ConfigError(`${cannot}: routed attention does not go with memory`);
  }
  round.forEach((one, layer) => resolveSets(one, { n, layer, heads: n_head }));
  for (const one of round.flatMap((layer) => "heads" in layer ? layer.heads : [layer])) {
    checkFields(cannot, one);
    if (one.memory && String([one.stride, one.memory]) !== String([memory!.stride, memory!.count])) {
      throw new ConfigError(`${cannot}: every fixed pattern with memory must have the stride and the memory of the first`);
    }
  }
}

function checkPosition({ position, n_ctx }: ModelConfig): void {
  const cannot = "Cannot use the configuration", sizes = whole(1, 2 ** 24);
  expect(cannot, { "position.kind": [position.kind, { oneOf: ["attention", "data"] }] });
  if (position.kind === "attention") return expect(cannot, { "position.stride": [position.stride, sizes] });
  expect(cannot, { "position.shape": [position.shape, { each: sizes }] });
  const places = position.shape.reduce((a, b) => a * b, 1);
  if (places < n_ctx) {
    throw new ConfigError(
      `${cannot}: position.shape must have at least n_ctx = ${n_ctx} places, found ${shown(position.shape)}, ${places}`,
    );
  }
}

/**
 * Reads a `config.json`.
 *
 * @param name of the file, for messages
 * @throws {ConfigError} naming the file, the first field that is wrong and what is allowed
 */
export function parseConfig(text: string, name: string): ModelConfig {
  expect("Cannot read the configuration", { text: [text, "a string"], name: [name, "a string"] });
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
