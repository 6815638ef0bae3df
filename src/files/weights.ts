/**
 * `model.safetensors` and `optimizer.safetensors`: a model's numbers and the moments of its optimizer, with every tensor accounted for.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError, excerpt } from "../base/errors.ts";
import { notFinite } from "../base/finite.ts";
import { toHalves } from "../base/half.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { GenerationOptions } from "./generation_config.ts";
import { type ModelConfig, parseConfig } from "./model_config.ts";
import { parameterShapes } from "./parameter_shapes.ts";
import { f32, parseSafetensors, safetensorsChunks, type SavedTensor, type TensorToSave } from "./safetensors.ts";
import { byMuon, type OptimizerName, type TrainConfig } from "./train_config.ts";

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

/** A trained model. */
export interface Model {
  /** Its shape. */
  readonly config: ModelConfig;
  /** Numbers by parameter name, in the order of {@linkcode parameterShapes}. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** What its tokens stand for, where they are not bytes: as many as `config.vocab_size`. */
  readonly tokenizer?: Tokenizer;
  /** How it is to be sampled, where it says. */
  readonly generation?: GenerationOptions;
  /** Tensors of the file that are left alone, by name with their type, where there are any: of types that nobody here reads. */
  readonly unread?: ReadonlyMap<string, string>;
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
