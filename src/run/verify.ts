/**
 * Golden numbers: whether an engine on this device computes what an independent float64 program computed. A golden
 * attention file holds inputs, mask and expected outputs; a golden model folder holds weights, logits, every gradient
 * and four steps of training.
 *
 * @module
 */

import { type Allowed, expect, whole, wrongOf } from "../base/check.ts";
import { readModel } from "../files/weights.ts";
import { checkTrain, TRAIN_DEFAULTS, TRAIN_FIELDS, type TrainConfig } from "../files/train_config.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { CheckpointError, DataError } from "../base/errors.ts";
import { fetchBytes } from "../base/fetch.ts";
import { jsonOf } from "../base/json.ts";
import { buildLayout } from "../pattern/layout.ts";
import { loadLayers } from "../model/layers.ts";
import { batchData } from "../model/batch.ts";
import { memoryOf } from "../pattern/memory.ts";
import { Parameters } from "../model/parameters.ts";
import { trainingProgram } from "../model/train.ts";
import { type Engine, type Executable, Program, type Tensor, tensor } from "../ops/mod.ts";
import { LOSS_SCALE, optimizerState, optimizerTensors, scheduleRows } from "../model/optimizer.ts";
import { type AttentionSet, type LayerAttention, resolveSets } from "../pattern/sets.ts";
import { f32, parseSafetensors, type Safetensors, type SavedTensor, u8 } from "../files/safetensors.ts";

/** One comparison. */
export interface Verified {
  /** The tensor, as the golden file names it. */
  readonly name: string;
  /** ‖got − want‖ / ‖want‖; of a mask the number of pairs that differ; of gradients that are exactly 0 the largest magnitude. */
  readonly error: number;
  /** What is allowed. */
  readonly limit: number;
  /** Whether error ≤ limit. */
  readonly pass: boolean;
}

/** The files of a golden model folder. */
export interface GoldenModel {
  /** Text of `config.json`. */
  readonly config: string;
  /** `model.safetensors` */
  readonly model: Uint8Array<ArrayBuffer>;
  /** `expected.safetensors` */
  readonly expected: Uint8Array<ArrayBuffer>;
}

/**
 * ‖got − want‖ / ‖want‖ in float64; Infinity where anything is not a number. Where want is 0 (the gradient of a query's
 * only key, for example) it is the root mean square of `got`, the inputs being of order 1.
 */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Infinity;
  let difference = 0, norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  const zero = norm < 1e-24 * want.length, error = Math.sqrt(difference / (zero ? want.length : norm));
  return Number.isNaN(error) ? Infinity : error;
}

/** Allowed relative errors. */
interface Limits {
  /** Of attention alone. */
  readonly attention: number;
  /** Of logits and gradients. */
  readonly tensor: number;
  /** Of losses and norms. */
  readonly scalar: number;
  /** Of weights after some steps. */
  readonly after: number;
  /** Of gradients that are exactly 0, their largest magnitude. */
  readonly zero: number;
}

/** Of f32 engines; of the float64 oracle, for which the files' own rounding to f32 is left; and of the GPU's f16: the others keep f32. */
function limitsOf(engine: Engine, precision: TrainConfig["precision"]): Limits {
  if (precision === "f16" && engine.name === "webgpu") return { attention: 2e-3, tensor: 1e-2, scalar: 1e-3, after: 5e-3, zero: 1e-4 };
  return engine.name === "reference"
    ? { attention: 1e-7, tensor: 1e-7, scalar: 1e-7, after: 1e-7, zero: 1e-6 }
    : { attention: 5e-6, tensor: 5e-6, scalar: 1e-6, after: 1e-4, zero: 1e-6 };
}

const verified = (name: string, error: number, limit: number): Verified => ({ name, error, limit, pass: error <= limit });

function need({ tensors }: Safetensors, key: string, file: string): SavedTensor {
  const found = tensors.get(key);
  if (!found) throw new CheckpointError(`Cannot verify with ${file}: it has no tensor ${key}`);
  return found;
}

function metadata({ metadata }: Safetensors, key: string, file: string, allowed: Allowed): unknown {
  const text = metadata.get(key);
  if (text === undefined) throw new CheckpointError(`Cannot verify with ${file}: its metadata has no ${key}`);
  return readJson(text, allowed, (what) => {
    throw new CheckpointError(`Cannot verify with ${file}: of its metadata's ${key}, ${what}`);
  });
}

/** JSON that must be something. */
function readJson(text: string, allowed: Allowed, fail: (what: string) => never): unknown {
  const json = jsonOf(text, fail), wrong = wrongOf("it", json, allowed);
  return wrong ? fail(wrong) : json;
}

/** Pairs in which the layout of the sets and a mask [heads, n, n] differ. */
async function maskDifference(sets: readonly AttentionSet[], n: number, mask: Uint8Array): Promise<number> {
  let wrong = 0;
  for (let h = 0; h < sets.length; h++) {
    const row = new Uint8Array(n * n);
    for (const { queryRows, keyRows, lo, hi } of (await buildLayout(sets[h], n, { q: 16, k: 16 })).parts) {
      for (let u = 0; u < n; u++) {
        const i = queryRows ? queryRows[u] : u;
        // A pair in two parts would be computed twice: it counts 2 and differs.
        for (let k = lo[u]; k < hi[u]; k++) row[i * n + (keyRows ? keyRows[k] : k)]++;
      }
    }
    for (let at = 0; at < row.length; at++) if (row[at] !== mask[h * n * n + at]) wrong++;
  }
  return wrong;
}

/** [heads, n, d] to [n, heads · d]. */
function byRows(data: Float32Array, heads: number, n: number): Float32Array {
  const d = data.length / heads / n, out = new Float32Array(data.length);
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < n; i++) out.set(data.subarray((h * n + i) * d, (h * n + i + 1) * d), (i * heads + h) * d);
  }
  return out;
}

/**
 * Compares an engine's attention, forward and backward, with a golden file: the mask, then o, dq, dk, dv.
 *
 * @param file name for messages
 * @param bytes the file: q, k, v, do, o, dq, dk, dv [heads, n, d], mask u8 [heads, n, n], and as metadata `attention` and
 * `layer` in JSON
 * @param precision what they are stored in
 * @throws {CheckpointError} where the file is damaged or lacks a tensor
 * @throws {ConfigError} where its attention is not one of ours
 */
export async function* verifyAttention(
  engine: Engine,
  file: string,
  bytes: Uint8Array<ArrayBuffer>,
  precision: TrainConfig["precision"] = "f32",
): AsyncGenerator<Verified> {
  expect("Cannot verify", { engine: [engine, "an engine"], precision: [precision, TRAIN_FIELDS.precision] });
  const golden = parseSafetensors(bytes, file), { attention: limit } = limitsOf(engine, precision), { shape } = need(golden, "q", file);
  const [heads, n] = shape, layer = metadata(golden, "layer", file, whole(0)) as number;
  if (shape.length !== 3 || heads < 1 || n < 1) {
    throw new CheckpointError(`Cannot verify with ${file}: q must be [heads, n, d], found [${shape.join(", ")}]`);
  }
  const values = (key: string): Float32Array => {
    const saved = need(golden, key, file);
    if (saved.shape.length !== 3 || saved.shape[0] !== heads || saved.shape[1] !== n) {
      throw new CheckpointError(`Cannot verify with ${file}: ${key} must be [${heads}, ${n}, d], found [${saved.shape.join(", ")}]`);
    }
    return byRows(f32(saved), heads, n);
  };
  const sets = resolveSets(metadata(golden, "attention", file, "an object") as LayerAttention, { n, layer, heads });
  const mask = u8(need(golden, "mask", file));
  if (mask.length !== heads * n * n) throw new CheckpointError(`Cannot verify with ${file}: mask must be [${heads}, ${n}, ${n}]`);
  yield verified("mask", await maskDifference(sets, n, mask), 0);

  const made: Tensor[] = [],
    make = (name: string, like: Float32Array) => {
      const t = tensor(name, [n, like.length / n], precision);
      made.push(t);
      return t;
    };
  const inputs = ["q", "k", "v", "do"].map((key) => [key, values(key)] as const);
  const [q, k, v, dO] = inputs.map(([key, data]) => make(key, data));
  const outputs = ["o", "dq", "dk", "dv"].map((key) => [key, values(key)] as const);
  const [o, dq, dk, dv] = outputs.map(([key, data]) => make(key, data));
  const stat = (name: string) => {
    const t = tensor(name, [1, heads, n]);
    made.push(t);
    return t;
  };
  const shared = { q, k, v, o, lse: stat("lse"), sets, batch: 1, n }, program = new Program(file);
  program.add({ op: "attention", ...shared });
  program.add({ op: "attention_backward", ...shared, dO, delta: stat("delta"), dq, dk, dv });
  engine.allocate(made);
  let executable: Executable | undefined;
  try {
    executable = await engine.compile(program);
    inputs.forEach(([, data], at) => engine.write(made[at], data));
    await executable.run();
    for (let at = 0; at < outputs.length; at++) {
      const [key, want] = outputs[at];
      yield verified(key, relativeError(await engine.read(made[inputs.length + at]), want), limit);
    }
  } finally {
    executable?.dispose();
    engine.free(made);
  }
}

/** Training constants of a golden file's metadata. */
function trainOf(golden: Safetensors, file: string, own: Pick<TrainConfig, "batch" | "recompute" | "precision">): TrainConfig {
  const constants = metadata(golden, "train", file, "an object") as Record<string, unknown>;
  // `steps` there are those made, of the schedule's `total`. Files that name no optimizer are AdamW's.
  const known = Object.entries(constants).filter(([name]) => name !== "steps" && Object.hasOwn(TRAIN_DEFAULTS, name));
  return checkTrain({ optimizer: "adamw", ...Object.fromEntries(known), steps: constants.total as number, ...own });
}

/**
 * Compares an engine's training of a model with a golden folder: logits and every gradient of the first step, loss and
 * gradient norm of each step, and the weights after them.
 *
 * @param folder name for messages
 * @param recompute whether activations are recomputed in the backward pass; the numbers must be the same
 * @param precision what activations are stored in
 * @throws {CheckpointError} where a file is damaged or lacks a tensor
 * @throws {ConfigError} where the configuration is wrong
 */
export async function* verifyModel(
  engine: Engine,
  folder: string,
  files: GoldenModel,
  recompute = false,
  precision: TrainConfig["precision"] = "f32",
): AsyncGenerator<Verified> {
  expect("Cannot verify", { engine: [engine, "an engine"], folder: [folder, "a string"], files: [files, "an object"] });
  expect("Cannot verify", { precision: [precision, TRAIN_FIELDS.precision] });
  const names = { config: `${folder}/config.json`, weights: `${folder}/model.safetensors` }, file = `${folder}/expected.safetensors`;
  const { config, weights } = readModel(files.config, files.model, names), limits = limitsOf(engine, precision);
  const golden = parseSafetensors(files.expected, file), expected = (key: string) => f32(need(golden, key, file));
  const { steps, batch, tokens } = tokensOf(need(golden, "tokens", file), config, file);
  await loadLayers(config);
  const train = trainOf(golden, file, { batch, recompute, precision }), params = new Parameters(config);
  const optimizer = optimizerTensors(params.all, train.optimizer), step = trainingProgram(params, optimizer, train, true);
  const { schedule, seeds, loss, squareNorm, lossScale, grads, m, v } = optimizer, scale = precision === "f16" ? LOSS_SCALE[0] : 1;
  const rest = [...optimizerState(optimizer), step.logits!, ...step.constants.keys()];
  const groups: Tensor[][] = [params.all, [...grads], [...m], [...v], [...rest, ...step.batches.flatMap(Object.values)]];
  for (const group of groups) engine.allocate(group);
  let executable: Executable | undefined;
  try {
    for (const [t, data] of step.constants) engine.write(t, data);
    for (const p of params.all) engine.write(p, weights.get(p.name)!);
    engine.write(lossScale, Float32Array.from(LOSS_SCALE));
    executable = await engine.compile(step.program);
    const rows = batch * config.n_ctx, losses = expected("losses"), norms = expected("grad_norms");
    for (let at = 0; at < steps; at++) {
      engine.write(schedule, scheduleRows(train, at));
      engine.write(loss, Float32Array.of(0));
      engine.write(seeds, Uint32Array.of(0, at));
      const now = tokens.subarray(at * rows, (at + 1) * rows);
      for (const [t, data] of batchData(step.batches[0], now, config.vocab_size, config.n_ctx, memoryOf(config.attention))) {
        engine.write(t, data);
      }
      await executable.run();
      if (at === 0) {
        yield verified("logits", relativeError(await engine.read(step.logits!), expected("logits")), limits.tensor);
        for (let i = 0; i < grads.length; i++) {
          const name = `grad.${params.all[i].name}`, got = (await engine.read(grads[i])).map((x) => x / scale);
          // Its exact value is 0: softmax ignores what is added to every key's score.
          if (name.endsWith("attn.k.bias")) yield verified(name, Math.max(...Array.from(got, Math.abs)), limits.zero);
          else yield verified(name, relativeError(got, expected(name)), limits.tensor);
        }
      }
      yield verified(`losses[${at}]`, relativeError(await engine.read(loss), [losses[at]]), limits.scalar);
      yield verified(
        `grad_norms[${at}]`,
        relativeError([Math.sqrt((await engine.read(squareNorm))[0]) / scale], [norms[at]]),
        limits.scalar,
      );
    }
    for (const p of params.all) {
      // Adam turns the noise of a gradient that is 0 into a step.
      if (p.name.endsWith("attn.k.bias")) continue;
      yield verified(`after.${p.name}`, relativeError(await engine.read(p), expected(`after.${p.name}`)), limits.after);
    }
  } finally {
    executable?.dispose();
    for (const group of groups) engine.free(group);
  }
}

/** `tokens` [steps, batch, n_ctx], of any integer type or f32. */
function tokensOf(saved: SavedTensor, config: ModelConfig, file: string): { steps: number; batch: number; tokens: Uint32Array } {
  const { shape, bytes, dtype } = saved, [steps, batch, n] = shape, whole = bytes.slice().buffer;
  if (shape.length !== 3 || n !== config.n_ctx) {
    throw new CheckpointError(`Cannot verify with ${file}: tokens must be [steps, batch, ${config.n_ctx}], found [${shape.join(", ")}]`);
  }
  switch (dtype) {
    case "I64":
      return { steps, batch, tokens: Uint32Array.from(new BigInt64Array(whole), Number) };
    case "I32":
    case "U32":
      return { steps, batch, tokens: new Uint32Array(whole) };
    case "U8":
      return { steps, batch, tokens: Uint32Array.from(new Uint8Array(whole)) };
    default:
      throw new CheckpointError(`Cannot verify with ${file}: tokens must be I64, I32, U32 or U8, found ${dtype}`);
  }
}

/** Names in the shipped golden folder, `index.json`. */
export interface GoldenIndex {
  /** Attention files. */
  readonly attention: readonly string[];
  /** Model folders. */
  readonly models: readonly string[];
}

const INDEX: Allowed = { fields: { attention: { each: "a string" }, models: { each: "a string" } } };

/** A golden file or folder with its comparisons. */
export interface GoldenCase {
  /** The file's or folder's. */
  readonly name: string;
  /** Runs it on an engine, activations stored in f32 unless f16 is asked for. */
  run(engine: Engine, precision?: TrainConfig["precision"]): AsyncGenerator<Verified>;
}

/**
 * The golden numbers at an address: by default those that come with this library, wherever it was imported from.
 *
 * @param base address of a folder with `index.json`, ending in "/"
 * @throws {DataError} where something cannot be fetched
 *
 * @example
 * ```ts
 * import { goldenCases } from "../../device.ts";
 * import { pickBackend } from "../../mod.ts";
 * const { engine } = await pickBackend("reference");
 * for await (const { name, run } of goldenCases()) {
 *   if (!name.startsWith("attention-one")) continue;
 *   for await (const { name, error, pass } of run(engine)) console.log(name, error, pass);
 * }
 * ```
 */
export async function* goldenCases(base: URL = new URL("../../test/golden/", import.meta.url)): AsyncGenerator<GoldenCase> {
  const at = (path: string) => new URL(path, base), text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const index = readJson(text(await fetchBytes(at("index.json"))), INDEX, (what) => {
    throw new DataError(`Cannot read ${at("index.json")}: ${what}`);
  }) as GoldenIndex;
  for (const name of index.attention) {
    yield {
      name,
      run: async function* (engine, precision) {
        yield* verifyAttention(engine, name, await fetchBytes(at(name)), precision);
      },
    };
  }
  for (const name of index.models) {
    yield {
      name,
      run: async function* (engine, precision) {
        const files = {
          config: text(await fetchBytes(at(`${name}/config.json`))),
          model: await fetchBytes(at(`${name}/model.safetensors`)),
          expected: await fetchBytes(at(`${name}/expected.safetensors`)),
        };
        yield* verifyModel(engine, name, files, false, precision);
      },
    };
  }
}
