/**
 * What a checkpoint holds, what its tensors are called, and reading it back with every tensor accounted for.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import {
  byMuon,
  checkConfig,
  checkTrain,
  type ModelConfig,
  type OptimizerName,
  positionSizes,
  TRAIN_DEFAULTS,
  type TrainConfig,
} from "./config.ts";
import { DATA_KINDS, type DataIdentity, type DataKind, type DataSource } from "../data/bytes.ts";
import { CheckpointError, ConfigError, excerpt } from "../base/errors.ts";
import { notFinite } from "../base/finite.ts";
import { toHalves } from "../base/half.ts";
import { parseJson, shown, standIn } from "../base/json.ts";
import { f32, parseSafetensors, safetensorsChunks, type SavedTensor, type TensorToSave } from "./safetensors.ts";

/**
 * Names on disk and shapes of a model's parameters, in the order every list of them has: all of rank 2 (those decay),
 * then all of rank 1. Linear weights are [out, in].
 */
export function parameterShapes(config: ModelConfig): Map<string, number[]> {
  config = checkConfig(config);
  const { n_layer, d_model, d_ff, d_qk, vocab_size } = config;
  const matrices: [string, number[]][] = [["embed.token.weight", [vocab_size + 1, d_model]]];
  const vectors: [string, number[]][] = [];
  const norm = (name: string) => vectors.push([`${name}.weight`, [d_model]], [`${name}.bias`, [d_model]]);
  const linear = (name: string, out: number, inner: number) => {
    matrices.push([`${name}.weight`, [out, inner]]);
    vectors.push([`${name}.bias`, [out]]);
  };
  positionSizes(config).forEach((rows, j) => matrices.push([`embed.position.${j}.weight`, [rows, d_model]]));
  for (let k = 0; k < n_layer; k++) {
    norm(`layers.${k}.attn.norm`);
    linear(`layers.${k}.attn.q`, d_qk, d_model);
    linear(`layers.${k}.attn.k`, d_qk, d_model);
    linear(`layers.${k}.attn.v`, d_model, d_model);
    linear(`layers.${k}.attn.p`, d_model, d_model);
    norm(`layers.${k}.ff.norm`);
    linear(`layers.${k}.ff.w1`, d_ff, d_model);
    linear(`layers.${k}.ff.w2`, d_model, d_ff);
  }
  norm("norm");
  matrices.push(["out.weight", [vocab_size, d_model]]);
  return new Map([...matrices, ...vectors]);
}

/** Numbers in all parameters of a model. */
export function parameterCount(config: ModelConfig): number {
  let count = 0;
  for (const shape of parameterShapes(config).values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
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

const LISTED = 8;

function listed(what: string, items: string[]): string[] {
  if (items.length === 0) return [];
  const more = items.length > LISTED ? ` and ${items.length - LISTED} more` : "";
  return [`${items.length} ${what}: ${items.slice(0, LISTED).join(", ")}${more}`];
}

/** The numbers of a tensor, where all are finite. */
function finite<T extends ArrayLike<number>>(data: T, cannot: string, name: string): T {
  const found = notFinite(data);
  if (found) throw new CheckpointError(`${cannot}: ${name} ${found}; it is damaged, or of a run that diverged: use an earlier copy`);
  return data;
}

/**
 * The numbers of a model's parameters, one after another.
 *
 * @throws {CheckpointError} where one is missing, has another length than its shape, or numbers that are not finite
 */
export function* weightsOf({ config, weights }: Model): Generator<[string, Float32Array]> {
  expect("Cannot use the weights", { weights: [weights, "a Map"] });
  for (const [name, shape] of parameterShapes(config)) {
    const data = weights.get(name), count = shape.reduce((a, b) => a * b, 1);
    if (data !== undefined) expect("Cannot use the weights", { [name]: [data, "an array of floats"] });
    if (data?.length !== count) {
      throw new CheckpointError(`Cannot use the weights: ${name} must have ${count} numbers, got ${data?.length ?? "none"}`);
    }
    yield [name, finite(data, "Cannot use the weights", name)];
  }
}

/** Shapes of the parameters that have a second moment. */
function secondMoments(config: ModelConfig, optimizer: OptimizerName): Map<string, number[]> {
  return new Map([...parameterShapes(config)].filter(([name, shape]) => !byMuon(name, shape, optimizer)));
}

/** Numbers by parameter name for each prefix with its shapes: what `file` must hold, no tensor more that is read here and none less. */
function take(
  config: ModelConfig,
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  prefixes: Readonly<Record<string, ReadonlyMap<string, number[]>>>,
  dtypes: readonly SavedTensor["dtype"][],
): { taken: Map<string, Float32Array>[]; unread: Map<string, string> } {
  expect("Cannot read tensors", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const { tensors, unread } = parseSafetensors(bytes, name), missing: string[] = [], misshaped: string[] = [];
  const fits = ({ dtype, shape }: SavedTensor, want: number[]) => dtypes.includes(dtype) && String(shape) === String(want);
  let positions = false;
  const taken = Object.entries(prefixes).map(([prefix, shapes]) => {
    const values = new Map<string, Float32Array>();
    for (const [parameter, want] of shapes) {
      const key = prefix + parameter, tensor = tensors.get(key);
      if (!tensor && unread.has(key)) misshaped.push(`${key} ${excerpt(unread.get(key)!)} instead of ${dtypes[0]} [${want.join(", ")}]`);
      else if (!tensor) missing.push(key);
      else if (!fits(tensor, want)) {
        misshaped.push(`${key} ${tensor.dtype} [${tensor.shape.join(", ")}] instead of ${dtypes[0]} [${want.join(", ")}]`);
        positions ||= parameter.startsWith("embed.position.") && tensor.shape[0] !== want[0];
      } else values.set(parameter, finite(f32(tensor), `Cannot use ${name}`, key));
      tensors.delete(key);
    }
    return values;
  });
  const wrong = [
    ...listed("missing", missing),
    ...listed("of another shape or type", misshaped),
    ...listed("unexpected", [...tensors.keys()].map((key) => excerpt(key))),
  ];
  if (wrong.length > 0) {
    const hint = positions
      ? `; the position tables are as long as n_ctx ${config.n_ctx} and position ${JSON.stringify(config.position)} ask, ` +
        `so these weights were trained with another context: use the config.json they were saved with`
      : "";
    throw new CheckpointError(`Cannot use ${name} with this configuration: of its tensors ${wrong.join("; ")}${hint}`);
  }
  return { taken, unread };
}

/** A trained model. */
export interface Model {
  /** Its shape. */
  readonly config: ModelConfig;
  /** Numbers by parameter name, in the order of {@linkcode parameterShapes}. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Tensors of the file that are left alone, by name with their type, where there are any: of types that nobody here reads. */
  readonly unread?: ReadonlyMap<string, string>;
}

/**
 * Reads a model from the contents of its two files; weights may be saved as F16, BF16 or F64, and beside them there may be tensors of types
 * that are not read here.
 *
 * @param names of the files, for messages
 * @throws {ConfigError} where the configuration is wrong
 * @throws {CheckpointError} where the weights cannot be read, naming every kind of tensor that is missing, unexpected or of another
 * shape, or the first that holds a number that is not finite
 */
export function readModel(
  config: string,
  weights: Uint8Array<ArrayBuffer>,
  names: { readonly config: string; readonly weights: string } = { config: "config.json", weights: "model.safetensors" },
): Model {
  const checked = parseConfig(config, names.config);
  const { taken, unread } = take(checked, weights, names.weights, { "": parameterShapes(checked) }, ["F32", "F16", "BF16", "F64"]);
  return { config: checked, weights: taken[0], ...(unread.size > 0 ? { unread } : {}) };
}

/**
 * Reads the moments of an optimizer.
 *
 * @throws {CheckpointError} as {@linkcode readModel}
 */
export function readMoments(
  config: ModelConfig,
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  optimizer: OptimizerName,
): { m: Map<string, Float32Array>; v: Map<string, Float32Array> } {
  const [m, v] = take(config, bytes, name, { "m.": parameterShapes(config), "v.": secondMoments(config, optimizer) }, ["F32"]).taken;
  return { m, v };
}

/** From here on the nearest f16 is infinity. */
const F16_END = 65520;

/** Tensors to save, each parameter of those shapes once under its prefix. */
function give(
  of: { config: ModelConfig },
  sources: Record<
    string,
    { readonly values: ReadonlyMap<string, Float32Array>; readonly shapes: (of: ModelConfig) => Map<string, number[]> }
  >,
): Map<string, TensorToSave> {
  expect("Cannot save the checkpoint", { checkpoint: [of, "an object"] });
  for (const [name, { values }] of Object.entries(sources)) {
    expect("Cannot save the checkpoint", { [name || "weights"]: [values, "a Map"] });
  }
  const tensors = new Map<string, TensorToSave>();
  for (const [prefix, { values, shapes }] of Object.entries(sources)) {
    for (const [parameter, shape] of shapes(of.config)) {
      const data = values.get(parameter);
      if (!data) throw new CheckpointError(`Cannot save the checkpoint: ${prefix}${parameter} is missing`);
      expect("Cannot save the checkpoint", { [prefix + parameter]: [data, "an array of floats"] });
      tensors.set(prefix + parameter, { shape, data: finite(data, "Cannot save the checkpoint", prefix + parameter) });
    }
  }
  return tensors;
}

/**
 * `model.safetensors` in pieces.
 *
 * @param dtype `F16` halves the file, for a model that is finished: training goes on from F32 alone
 * @throws {CheckpointError} where a parameter is missing, or holds a number that is not finite or that F16 has no room for
 * @throws {ShapeError} where one has another length than its shape
 */
export function modelChunks(
  model: { config: ModelConfig; weights: ReadonlyMap<string, Float32Array> },
  dtype: "F32" | "F16" = "F32",
): Iterable<Uint8Array> {
  // "pt" is what other programs look for to take the tensors as PyTorch's.
  const tensors = give(model, { "": { values: model?.weights, shapes: parameterShapes } });
  if (dtype === "F16") {
    for (const [name, { shape, data }] of tensors) {
      const at = data.findIndex((x) => Math.abs(x) >= F16_END);
      if (at >= 0) throw new CheckpointError(`Cannot save ${name} as F16: its number ${data[at]} at ${at} is beyond ±65,504; save as F32`);
      tensors.set(name, { shape, data: toHalves(data) });
    }
  }
  return safetensorsChunks(tensors, { format: "pt" });
}

/**
 * `optimizer.safetensors` in pieces: tensors `m.<parameter>`, and `v.<parameter>` of those that AdamW updates.
 *
 * @throws {CheckpointError} where a moment is missing, or holds a number that is not finite
 * @throws {ShapeError} where one has another length than its shape
 */
export function momentChunks(
  moments: {
    config: ModelConfig;
    train: Pick<TrainConfig, "optimizer">;
    m: ReadonlyMap<string, Float32Array>;
    v: ReadonlyMap<string, Float32Array>;
  },
): Iterable<Uint8Array> {
  expect("Cannot save the checkpoint", { checkpoint: [moments, "an object"], train: [moments?.train, "an object"] });
  const { m, v, train: { optimizer } } = moments, second = (of: ModelConfig) => secondMoments(of, optimizer);
  return safetensorsChunks(give(moments, { "m.": { values: m, shapes: parameterShapes }, "v.": { values: v, shapes: second } }));
}

/** One point of a run's curve. */
export interface HistoryEntry {
  /** Updates done. */
  readonly step: number;
  /** Training loss in bits a token; NaN where it was not finite, null on disk. */
  readonly loss: number;
  /** Held-out loss in bits a token. */
  readonly heldOut?: number;
  /** Milliseconds since the run began, pauses not counted. */
  readonly ms?: number;
}

/** Where a run is: what training continues from beside weights and moments. Batches and dropout are drawn by step, so no random state. */
export interface RunState {
  /** Updates done, skipped ones included. */
  readonly step: number;
  /** Steps skipped for non-finite gradients, in all and in a row. */
  readonly skipped: readonly [number, number];
  /** Loss scale and the clean steps since it last changed. */
  readonly lossScale: readonly [number, number];
  /** The engine's name: a resumed run is bit-exact on the same one. */
  readonly engine: string;
  /** Training constants. */
  readonly train: TrainConfig;
  /** What it trains on. */
  readonly data: DataIdentity;
  /** The curve so far, by step. */
  readonly history: readonly HistoryEntry[];
}

/** Everything a run continues from. */
export interface Checkpoint extends RunState {
  /** The model's shape. */
  readonly config: ModelConfig;
  /** Weights by parameter name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** First moments of AdamW, momentum of Muon. */
  readonly m: ReadonlyMap<string, Float32Array>;
  /** Second moments, of the parameters that AdamW updates. */
  readonly v: ReadonlyMap<string, Float32Array>;
}

/** SHA-256, hexadecimal, of the files that belong to one run state. */
export interface Digests {
  /** Of `config.json`. */
  readonly config: string;
  /** Of `model.safetensors`. */
  readonly model: string;
  /** Of `optimizer.safetensors`. */
  readonly optimizer: string;
}

/** `run.json` with the digests of the files that it belongs to. */
export function formatRunState(state: RunState, files: Digests): string {
  expect("Cannot write the run state", { state: [state, "an object"], history: [state?.history, "a list"], files: [files, "an object"] });
  const { step, skipped, lossScale, engine, train, data, history } = state;
  const lines = history.map((entry) => "    " + JSON.stringify(entry)).join(",\n");
  const head = JSON.stringify({ version: 1, step, skipped, lossScale, engine, train, data, files }, null, 2);
  return `${head.slice(0, -2)},\n  "history": [${lines && `\n${lines}\n  `}]\n}\n`;
}

/** Training constants that runs did not have before there was Muon: those were AdamW's. */
const LATER = ["schedule", "lr_min", "optimizer", "muon_lr", "momentum", "phases"];

/**
 * Reads a `run.json`.
 *
 * @param name of the file, for messages
 * @throws {CheckpointError} naming the first field that is missing, unknown or out of range
 */
export function parseRunState(text: string, name: string): { state: RunState; files: Digests } {
  expect("Cannot read the run state", { text: [text, "a string"], name: [name, "a string"] });
  const fail = (what: string): never => {
    throw new CheckpointError(`Cannot read ${name}: ${what}`);
  };
  const fields = (value: unknown, where: string, names: string[], optional: string[] = []): Record<string, unknown> => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return fail(`${where} must be an object, found ${shown(value)}`);
    }
    for (const key of Object.keys(value)) {
      if (!names.includes(key) && !optional.includes(key)) fail(`${where} has an unknown field ${excerpt(key)}`);
    }
    for (const key of names) if (!Object.hasOwn(value, key)) fail(`${where} lacks ${key}`);
    return value as Record<string, unknown>;
  };
  const whole = (value: unknown, where: string): number =>
    Number.isSafeInteger(value) && value as number >= 0
      ? value as number
      : fail(`${where} must be a whole number from 0, found ${shown(value)}`);
  const finite = (value: unknown, where: string): number =>
    Number.isFinite(value) ? value as number : fail(`${where} must be a number, found ${shown(value)}`);
  const digest = (value: unknown, where: string): string =>
    typeof value === "string" && /^[0-9a-f]{64}$/.test(value)
      ? value
      : fail(`${where} must be 64 hexadecimal digits, found ${shown(value)}`);
  const string = (value: unknown, where: string): string =>
    typeof value === "string" ? value : fail(`${where} must be a string, found ${shown(value)}`);

  const source = (value: unknown): DataSource => {
    const made = fields(value, "data.source", ["kind"], ["path", "shape", "rate", "codes", "as", "heldOut"]),
      { kind, path, shape, codes } = made;
    const list = (value: unknown, where: string): unknown[] =>
      Array.isArray(value) ? value : fail(`${where} must be a list, found ${shown(value)}`);
    const one = <T extends string>(value: unknown, where: string, known: readonly T[]): T =>
      known.find((name) => name === value) ?? fail(`${where} must be one of ${known.join(", ")}, found ${shown(value)}`);
    const sizes = shape === undefined ? undefined : list(shape, "data.source.shape").map((size) => whole(size, "data.source.shape"));
    if (sizes && sizes.length !== 3) fail(`data.source.shape must be three numbers, found ${shown(shape)}`);
    return {
      kind: one<DataKind>(kind, "data.source.kind", DATA_KINDS),
      ...path === undefined ? {} : { path: string(path, "data.source.path") },
      ...sizes ? { shape: sizes as unknown as DataSource["shape"] } : {},
      ...made.rate === undefined ? {} : { rate: whole(made.rate, "data.source.rate") },
      ...codes === undefined ? {} : { codes: one<"mulaw" | "g711">(codes, "data.source.codes", ["mulaw", "g711"]) },
      ...made.as === undefined ? {} : { as: one(made.as, "data.source.as", ["bytes"] as const) },
      ...made.heldOut === undefined ? {} : { heldOut: whole(made.heldOut, "data.source.heldOut") },
    };
  };

  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    fail((error as SyntaxError).message);
  }
  const version = (json as { version?: unknown } | null)?.version;
  if (version !== 1) fail(`version must be 1, found ${shown(version)}; a newer Longstride may have written it`);
  const run = fields(json, "it", ["version", "step", "skipped", "lossScale", "engine", "train", "data", "files", "history"]);
  const step = whole(run.step, "step"), data = fields(run.data, "data", ["name", "bytes", "sha256", "heldOut"], ["source"]);
  const files = fields(run.files, "files", ["config", "model", "optimizer"]), { skipped, lossScale } = run;
  if (!Array.isArray(skipped) || skipped.length !== 2) return fail(`skipped must be two numbers, found ${shown(skipped)}`);
  if (!Array.isArray(lossScale) || lossScale.length !== 2) return fail(`lossScale must be two numbers, found ${shown(lossScale)}`);
  if (!Array.isArray(run.history)) return fail(`history must be a list, found ${shown(run.history)}`);
  const constants = fields(run.train, "train", Object.keys(TRAIN_DEFAULTS).filter((name) => !LATER.includes(name)), LATER);
  let train: TrainConfig;
  try {
    train = checkTrain({ optimizer: "adamw", ...constants });
  } catch (error) {
    return fail((error as Error).message);
  }
  const few = (value: unknown, where: string, most: number): number => {
    const found = whole(value, where);
    return found <= most ? found : fail(`${where} must be at most ${most}, found ${found}`);
  };
  const positive = (value: unknown, where: string): number => {
    const found = finite(value, where);
    return found > 0 ? found : fail(`${where} must be above 0, found ${found}`);
  };
  const natural = (value: unknown, where: string): number => {
    const found = finite(value, where);
    return found >= 0 ? found : fail(`${where} must be at least 0, found ${found}`);
  };
  const skips = few(skipped[0], "skipped[0]", step), bytes = whole(data.bytes, "data.bytes");
  let before = 0;
  const history = run.history.map((value: unknown, at: number): HistoryEntry => {
    const where = `history[${at}]`,
      entry = fields(value, where, ["step", "loss"], ["heldOut", "ms"]),
      now = whole(entry.step, `${where}.step`);
    if (now < before || now > step) fail(`${where}.step must be from ${before} to ${step}, found ${now}`);
    before = now;
    const made: { -readonly [K in keyof HistoryEntry]: HistoryEntry[K] } = {
      step: now,
      loss: entry.loss === null ? NaN : natural(entry.loss, `${where}.loss`),
    };
    if (entry.heldOut !== undefined) made.heldOut = entry.heldOut === null ? NaN : natural(entry.heldOut, `${where}.heldOut`);
    if (entry.ms !== undefined) made.ms = natural(entry.ms, `${where}.ms`);
    return made;
  });
  return {
    state: {
      step,
      skipped: [skips, few(skipped[1], "skipped[1]", skips)],
      lossScale: [positive(lossScale[0], "lossScale[0]"), few(lossScale[1], "lossScale[1]", step)],
      engine: string(run.engine, "engine"),
      train,
      data: {
        name: string(data.name, "data.name"),
        bytes,
        sha256: digest(data.sha256, "data.sha256"),
        heldOut: few(data.heldOut, "data.heldOut", bytes),
        ...data.source === undefined ? {} : { source: source(data.source) },
      },
      history,
    },
    files: {
      config: digest(files.config, "files.config"),
      model: digest(files.model, "files.model"),
      optimizer: digest(files.optimizer, "files.optimizer"),
    },
  };
}
