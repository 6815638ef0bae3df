/**
 * `model.safetensors` read: a model's numbers, with every tensor accounted for.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError, excerpt } from "../base/errors.ts";
import { notFinite } from "../base/finite.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { GenerationOptions } from "./generation_config.ts";
import { type ModelConfig, parseConfig } from "./model_config.ts";
import { parameterShapes } from "./parameter_shapes.ts";
import { f32, i8, parseSafetensors, type SavedTensor, type SavedType } from "./safetensors.ts";

const LISTED = 8;

function listed(what: string, items: string[]): string[] {
  if (items.length === 0) return [];
  const more = items.length > LISTED ? ` and ${items.length - LISTED} more` : "";
  return [`${items.length} ${what}: ${items.slice(0, LISTED).join(", ")}${more}`];
}

/** The numbers of a tensor, where all are finite. */
export function finite<T extends ArrayLike<number>>(data: T, cannot: string, name: string): T {
  const found = notFinite(data);
  if (found) throw new CheckpointError(`${cannot}: ${name} ${found}; it is damaged, or of a run that diverged: use an earlier copy`);
  return data;
}

/** A trained model. */
export interface Model {
  /** Its shape. */
  readonly config: ModelConfig;
  /**
   * Numbers by parameter name, in the order of {@linkcode parameterShapes}. A matrix may be int8: then `<name>_scale` has what each of its
   * rows is multiplied by. Such a model samples and scores, and is not trained on.
   */
  readonly weights: ReadonlyMap<string, Float32Array | Int8Array>;
  /** What its tokens stand for, where they are not bytes: as many as `config.vocab_size`. */
  readonly tokenizer?: Tokenizer;
  /** How it is to be sampled, where it says. */
  readonly generation?: GenerationOptions;
  /** Tensors of the file that are left alone, by name with their type, where there are any: of types that nobody here reads. */
  readonly unread?: ReadonlyMap<string, string>;
}

/** What the name of an int8 matrix' scales ends in, as compressed-tensors has it. */
export const SCALE = "_scale";

/** Whether they are those of an int8 matrix. */
export const isInt8 = (numbers: unknown): numbers is Int8Array => Object.prototype.toString.call(numbers) === "[object Int8Array]";

/**
 * The numbers of a model's parameters, one after another, the scales of an int8 matrix behind it.
 *
 * @throws {CheckpointError} where one is missing, has another length than its shape, or numbers that are not finite
 */
export function* weightsOf({ config, weights }: Model): Generator<[string, Float32Array | Int8Array]> {
  const cannot = "Cannot use the weights";
  expect(cannot, { weights: [weights, "a Map"] });
  const numbers = (name: string, count: number, mayBeInt8: boolean): [string, Float32Array | Int8Array] => {
    const data = weights.get(name);
    if (data !== undefined && !(mayBeInt8 && isInt8(data))) expect(cannot, { [name]: [data, "an array of floats"] });
    if (data?.length !== count) {
      throw new CheckpointError(`${cannot}: ${name} must have ${count} numbers, got ${data?.length ?? "none"}`);
    }
    return [name, finite(data, cannot, name)];
  };
  for (const [name, [rows, columns]] of parameterShapes(config)) {
    const made = numbers(name, rows * (columns ?? 1), columns !== undefined);
    yield made;
    if (isInt8(made[1])) yield numbers(name + SCALE, rows, false);
  }
}

/** Numbers by parameter name for each prefix with its shapes: what `file` must hold, no tensor more that is read here and none less. */
export function take(
  config: ModelConfig,
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  prefixes: Readonly<Record<string, ReadonlyMap<string, number[]>>>,
  dtypes: readonly SavedType[],
): { taken: Map<string, Float32Array | Int8Array>[]; unread: Map<string, string> } {
  expect("Cannot read tensors", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const { tensors, unread } = parseSafetensors(bytes, name), missing: string[] = [], misshaped: string[] = [];
  /** The tensor of that name, where it is there with one of the shapes; notes what is wrong. */
  const one = (key: string, types: readonly SavedType[], ...shapes: number[][]): SavedTensor | undefined => {
    const tensor = tensors.get(key), other = unread.get(key);
    tensors.delete(key);
    if (tensor && types.includes(tensor.dtype) && shapes.some((shape) => String(shape) === String(tensor.shape))) return tensor;
    const found = tensor ? `${tensor.dtype} [${tensor.shape.join(", ")}]` : other !== undefined ? excerpt(other) : undefined;
    if (found) misshaped.push(`${key} ${found} instead of ${types[0]} [${shapes[0].join(", ")}]`);
    else missing.push(key);
  };
  let positions = false;
  const taken = Object.entries(prefixes).map(([prefix, shapes]) => {
    const values = new Map<string, Float32Array | Int8Array>();
    for (const [parameter, want] of shapes) {
      const key = prefix + parameter, mayBeInt8 = dtypes.length > 1 && want.length > 1, rows = tensors.get(key)?.shape[0];
      const tensor = one(key, mayBeInt8 ? [...dtypes, "I8"] : dtypes, want), scaled = tensor?.dtype === "I8";
      positions ||= parameter.startsWith("embed.position.") && rows !== undefined && rows !== want[0];
      if (tensor) values.set(parameter, scaled ? i8(tensor) : finite(f32(tensor), `Cannot use ${name}`, key));
      const scale = scaled && one(key + SCALE, dtypes, [want[0], 1], [want[0]]);
      if (scale) values.set(parameter + SCALE, finite(f32(scale), `Cannot use ${name}`, key + SCALE));
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
 * Reads a model from the contents of its two files; weights may be saved as F16, BF16 or F64, matrices as I8 with a scale per row beside them,
 * and there may be tensors of types that are not read here.
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
