/**
 * Callers without types: every public function, given what it cannot mean at any place of its arguments, refuses it by a typed error.
 *
 * Plan. A table of calls that are right, with what each place of their arguments is; from it are generated all calls that are wrong in
 * one place. Each must throw a LongstrideError before it does anything, never a TypeError, a WASM trap or a result, and never go on for
 * ever. Every export of every face is in the table, or is a constant.
 */

import { assert, assertEquals } from "@std/assert";
import * as data from "../data.ts";
import * as device from "../device.ts";
import * as files from "../files.ts";
import * as main from "../mod.ts";
import { LongstrideError, type ModelConfig } from "../mod.ts";
import * as ops from "../ops.ts";
import type { AttentionSet } from "../ops.ts";
import type { RunState } from "../files.ts";
import * as pictures from "../pictures.ts";
import { gunzip } from "../src/data/gzip.ts";
import { decodeCifar10 } from "../src/data/cifar.ts";
import { setKey } from "../src/pattern/sets.ts";
import { disposeEngines, engine } from "./engines.ts";

/** What every face exports. */
const FACES = { ...main, ...ops, ...data, ...pictures, ...files, ...device };
/** The same, and what is called with a caller's values though no face has it. */
const longstride = { ...FACES, gunzip, decodeCifar10, setKey };

/** What stands at a place of the arguments, or null where anything may. */
type Kind =
  | "optional number"
  | "optional text"
  | "optional tokens"
  | "optional list"
  | "whole"
  | "optional whole"
  | "number"
  | "text"
  | "bytes"
  | "floats"
  | "tokens"
  | "text or tokens"
  | "object"
  | "optional object"
  | "list"
  | "function"
  | "engine";

/** What is wrong of each kind. A place that may be left out is not given nothing. */
const WRONG: Readonly<Record<Kind, readonly unknown[]>> = {
  "whole": [-1, 1.5, NaN, 2 ** 53, Infinity, "7", null, undefined, {}],
  "optional whole": [-1, 1.5, NaN, 2 ** 53, "7", null, {}],
  "number": [NaN, Infinity, "1", null, undefined, {}],
  "optional number": [NaN, Infinity, "1", null, {}],
  "optional text": [7, null, {}, new Uint8Array(3)],
  "optional tokens": ["abc", 7, null, {}, [1.5, 2], ["1", "2"], [NaN], [-1], [2 ** 53], [null]],
  "optional list": ["abc", 7, null, {}],
  "text": [7, null, undefined, {}, new Uint8Array(3)],
  "bytes": ["abc", 7, null, undefined, {}, [1.5]],
  "floats": ["abc", 7, null, undefined, {}, ["1"]],
  "tokens": ["abc", 7, null, undefined, {}, [1.5, 2], ["1", "2"], [NaN], [-1], [2 ** 53], [null]],
  "text or tokens": [7, null, undefined, {}, [1.5, 2], ["1", "2"], [NaN], [-1], [2 ** 53], [null]],
  "object": ["abc", 7, null, undefined],
  "optional object": ["abc", 7, null],
  "list": ["abc", 7, null, undefined, {}],
  "function": ["abc", 7, null, {}],
  "engine": ["wasm", 7, null, undefined, {}],
};

/** A call: arguments that are right, and by the path of each place its kind: "1.q" is q of the second. */
interface Call {
  readonly name: string;
  // deno-lint-ignore no-explicit-any
  readonly call: (...args: any[]) => unknown;
  readonly args: readonly unknown[];
  readonly kinds: Readonly<Record<string, Kind>>;
}

const config: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 16,
  n_layer: 1,
  n_head: 2,
  d_model: 8,
  d_ff: 8,
  d_qk: 8,
  vocab_size: 256,
  dropout: 0,
  attention: { pattern: "fixed", stride: 4, c: 1 },
  position: { kind: "attention", stride: 4 },
};
const on = await engine("wasm"), params = new longstride.Parameters(config), bytes = Uint8Array.from({ length: 64 }, (_, at) => at);
on.allocate(params.all);
const weights = new Map(params.all.map((t) => [t.name, new Float32Array(t.shape.reduce((a, b) => a * b))]));
const set: AttentionSet = { kind: "window", l: 3, causal: true }, schedule = [[set, set], [set, set]];
const map = await longstride.patternMap("a title", [set], 16, 8), image = longstride.patternImage(map), name = "a.bin";
const row = { query: 1, keys: Uint32Array.of(0, 1), weights: Float32Array.of(0.5, 0.5) };
const attention = { layer: 0, head: 0, n: 2, causal: true, rows: [row] };
const decoder = await longstride.Decoder.create(on, params), plan = await longstride.CachePlan.create([set], 16);
const group = new longstride.DataParallel({ rank: 0, size: 2 } as ops.Communicator);
const scorer = await longstride.Scorer.create(on, params, 1), trainer = await longstride.Trainer.create(on, config, { batch: 1 });
const model = await longstride.openModel({ config, weights }, { backend: "reference" });
const state: RunState = {
  step: 2,
  skipped: [0, 0],
  lossScale: [1, 0],
  engine: "wasm",
  train: longstride.TRAIN_DEFAULTS,
  data: { name, bytes: 3, sha256: "ab".repeat(32), heldOut: 1 },
  history: [],
};
const digests = { config: "01".repeat(32), model: "23".repeat(32), optimizer: "45".repeat(32) };
const weightsFile = new Uint8Array([...longstride.modelChunks({ config, weights })].flatMap((chunk) => [...chunk]));
const momentsFile = new Uint8Array(
  [...longstride.momentChunks({ config, train: { optimizer: "adamw" }, m: weights, v: weights })].flatMap((chunk) => [...chunk]),
);
const png = longstride.encodePng(image), wav = await longstride.encodeWav(bytes);
const tuning = { version: device.TUNING_VERSION, device: "a GPU", choices: [] };
const dataset = await longstride.loadDataset([{ name, data: new Uint8Array(400).fill(65) }]);
const checkpoint: files.Checkpoint = {
  ...state,
  config,
  train: { ...state.train, optimizer: "adamw" },
  weights,
  m: weights,
  v: weights,
};
const scorerConfig: ModelConfig = { ...config, objective: "squared" },
  scorerWeights = new Map(weights).set("out.weight", new Float32Array(8));
const encoder = await longstride.openEncoder({ config: scorerConfig, weights: scorerWeights }, { engine: on });
const fillerConfig: ModelConfig = { ...config, objective: "masked", attention: { pattern: "dense", causal: false } };
const filler = await longstride.openEncoder({ config: fillerConfig, weights }, { engine: on });
const windowScorer = await longstride.WindowScorer.create(on, encoder.params, 1);
const { file: compressed } = await longstride.compress(model, bytes.subarray(0, 4));
const merges = Uint16Array.of(65, 66), tokenizer = new longstride.Tokenizer(merges);
const folder: files.RunReader = { path: "a", locate: (name) => name, folders: () => [], read: () => undefined };

const makes = (...names: (keyof typeof longstride)[]) => names;
/** Constants, classes that are not made by callers, and errors, which anything may be said with. */
const REST: readonly string[] = [
  ...makes(
    "PATTERNS",
    "INTEGRATIONS",
    "BACKENDS",
    "PRESETS",
    "TRAIN_DEFAULTS",
    "INITIALISATIONS",
    "OPTIMIZERS",
    "MUON_SHARES",
    "WIRES",
    "SCHEDULES",
    "WINDOW_ORDERS",
    "RECIPE_FILE",
    "COLORS",
    "DRAWN_LIMIT",
    "ROWS_LIMIT",
    "DATA_KINDS",
    "SILENCE",
    "SOUND_RATE",
    "CONFIG_FILE",
    "MODEL_FILE",
    "TOKENIZER_FILE",
    "VOCABULARY_LIMIT",
    "BYTES",
    "MODEL_FIELDS",
    "TRAIN_FIELDS",
    "DATASET_FIELDS",
    "SAMPLE_FIELDS",
    "GENERATION_FIELDS",
    "GENERATION_FILE",
    "PICK_FIELDS",
    "whole",
    "NO_BLOCK",
    "NO_KEYS",
    "NO_ROW",
    "NO_TARGET",
    "OBJECTIVES",
    "LOSS_UNITS",
    "COMPRESS_FIELDS",
  ),
  ...makes("BackendError", "CheckpointError", "ConfigError", "DataError", "DivergedError", "KernelError", "LongstrideError"),
  ...makes("OutOfMemoryError", "ShapeError", "excerpt"),
  ...["TUNING_VERSION", "goldenCases"],
];

const call = (name: string, call: Call["call"], args: readonly unknown[], kinds: Call["kinds"]): Call => ({ name, call, args, kinds });
/** A function by its export's name. */
const of = (name: keyof typeof longstride, args: readonly unknown[], kinds: Call["kinds"]) =>
  call(name, (longstride as unknown as Record<string, unknown>)[name] as Call["call"], args, kinds);
const choice = { length: 2, temperature: 1, topK: 3, topP: 0.9, minP: 0.1, repetitionPenalty: 1.1, seed: 1 };
const CHOICE = (at: number): Record<string, Kind> => ({
  [`${at}`]: "object",
  [`${at}.length`]: "whole",
  [`${at}.temperature`]: "optional number",
  [`${at}.topK`]: "optional whole",
  [`${at}.topP`]: "optional number",
  [`${at}.minP`]: "optional number",
  [`${at}.repetitionPenalty`]: "optional number",
  [`${at}.seed`]: "optional whole",
});

const x = longstride.tensor("x", [1]), floats = new Float32Array(4 * 2 * 4);
const lone = { q: floats, k: floats, v: floats, n: 4, heads: 2, pattern: "local", stride: 2 } as const;
const attending = new ops.SparseAttention(on, { n: 4, heads: 2, headDim: 4, pattern: "local", stride: 2 });

const CALLS: readonly Call[] = [
  // Programs.
  of("tensor", ["x", [2, 3]], { 0: "text", 1: "list", "1.0": "whole" }),
  call("Program.add", (op) => new longstride.Program("a program").add(op), [{ op: "sum", x, y: x, scale: 1, accumulate: false }], {
    0: "object",
    "0.op": "text",
  }),
  // Attention by itself.
  of("sparseAttention", [on, lone], {
    0: "engine",
    1: "object",
    "1.n": "whole",
    "1.heads": "whole",
    "1.batch": "optional whole",
    "1.kvHeads": "optional whole",
    "1.headDim": "optional whole",
    "1.stride": "whole",
    "1.layer": "optional whole",
    "1.slopes": "optional list",
    "1.q": "floats",
    "1.k": "floats",
    "1.v": "floats",
  }),
  call("SparseAttention", (options) => new ops.SparseAttention(on, options), [{ n: 4, heads: 2, headDim: 4, pattern: "dense" }], {
    0: "object",
    "0.n": "whole",
    "0.heads": "whole",
    "0.headDim": "whole",
    "0.pattern": "text",
  }),
  call("SparseAttention.forward", (given, options) => attending.forward(given, options), [lone, {}], {
    0: "object",
    "0.q": "floats",
    "0.k": "floats",
    1: "optional object",
  }),
  call("SparseAttention.backward", (given) => attending.backward(given), [{ ...lone, dO: lone.v }], {
    0: "object",
    "0.v": "floats",
    "0.dO": "floats",
  }),
  of("alibiSlopes", [4], { 0: "whole" }),
  of("documentSpans", [[[3, 2], [4]], 8], { 0: "list", "0.0": "list", "0.0.0": "whole", 1: "whole" }),
  of("lengthSpans", [[3, 8], 8], { 0: "list", "0.0": "whole", 1: "whole" }),
  // Sets and layouts.
  of("resolveSets", [config.attention, { n: 16, layer: 0, heads: 2 }], {
    0: "object",
    1: "object",
    "1.n": "whole",
    "1.layer": "whole",
    "1.heads": "whole",
  }),
  of("attends", [set, 1, 0], { 0: "object", "0.l": "whole", 1: "whole", 2: "whole" }),
  of("setKey", [set], { 0: "object" }),
  of("buildLayout", [set, 16, { q: 4, k: 4 }], { 0: "object", "0.l": "whole", 1: "whole", 2: "object", "2.q": "whole", "2.k": "whole" }),
  of("scheduleOf", [config.attention, { n: 16, layers: 2, heads: 2 }], {
    ...{ 0: "object", 1: "object", "1.n": "whole", "1.layers": "whole", "1.heads": "whole" },
  }),
  of("factorsOf", [config.attention], { 0: "object" }),
  of("layersIn", [config.attention], { 0: "object" }),
  of("patternsIn", [config.attention], { 0: "object" }),
  of("mapPatterns", [config.attention, (one: unknown) => one], { 0: "object", 1: "function" }),
  of("rowsIn", [config.attention, 16], { 0: "object", 1: "whole" }),
  of("describeAttention", [config.attention], { 0: "object" }),
  of("checkReach", [schedule, 16, 1, 16], {
    0: "list",
    "0.0": "list",
    "0.0.0": "object",
    "0.0.0.l": "whole",
    1: "whole",
    2: "whole",
    3: "optional whole",
  }),
  call("CachePlan.create", longstride.CachePlan.create, [[set], 16], { 0: "list", "0.0": "object", "0.0.l": "whole", 1: "whole" }),
  call("CachePlan.slot", (h, i) => plan.slot(h, i), [0, 3], { 0: "whole", 1: "whole" }),
  call("CachePlan.reads", (h, i) => plan.reads(h, i), [0, 3], { 0: "whole", 1: "whole" }),
  call("CachePlan.held", (count) => plan.held(count), [3], { 0: "whole" }),
  // Pictures.
  of("patternMap", ["a title", [set], 16, 8], { 0: "text", 1: "list", "1.0": "object", "1.0.l": "whole", 2: "whole", 3: "whole" }),
  of("cellColor", [map, 1, 1], { 0: "object", 1: "whole", 2: "whole" }),
  of("patternImage", [map, 64], { 0: "object", 1: "optional whole" }),
  of("patternSvg", [[map], "a heading", ["a note"]], { 0: "list", 1: "text", 2: "optional list" }),
  of("panelsOf", [schedule], { 0: "list", "0.0": "list", "0.0.0": "object" }),
  of("lossCurveSvg", ["a title", [{ step: 1, loss: 2 }], 9, [{ label: "a", bits: 1 }], 400, "squares"], {
    5: "optional text",
    0: "text",
    1: "list",
    "1.0": "object",
    "1.0.step": "whole",
    2: "whole",
    3: "optional list",
    "3.0.label": "text",
    "3.0.bits": "number",
    4: "optional whole",
  }),
  of("attentionImage", [attention], { 0: "object", "0.n": "whole", "0.rows": "list" }),
  of("attentionSvg", [[attention], "a heading", { labels: ["a", "b", "c"], columns: 1 }], {
    0: "list",
    "0.0": "object",
    "0.0.n": "whole",
    "0.0.rows": "list",
    1: "text",
    2: "optional object",
    "2.labels": "optional list",
    "2.labels.0": "text",
    "2.columns": "optional whole",
  }),
  of("attentionOverImageSvg", [row, new Uint8Array(12), [2, 2, 3], "a heading"], {
    0: "object",
    1: "tokens",
    2: "list",
    "2.0": "whole",
    3: "text",
  }),
  of("byteLabels", [new Uint8Array(3)], { 0: "bytes" }),
  of("attentionOverImage", [row, new Uint8Array(12), [2, 2, 3], 2], {
    0: "object",
    1: "tokens",
    2: "list",
    "2.0": "whole",
    3: "optional whole",
  }),
  of("encodePng", [image], { 0: "object", "0.width": "whole", "0.height": "whole", "0.rgb": "bytes" }),
  of("decodePng", [png, name], { 0: "bytes", 1: "text" }),
  of("tileImages", [[image], 2, 4], { 0: "list", "0.0": "object", 1: "whole", 2: "optional whole" }),
  of("imagesOf", [new Uint8Array(24), [2, 2, 3], 2], { 0: "bytes", 1: "list", "1.0": "whole", "1.2": "whole", 2: "optional whole" }),
  of("contactSheet", [new Uint8Array(24), [2, 2, 3], 2], { 0: "bytes", 1: "list", "1.0": "whole", "1.2": "whole", 2: "optional whole" }),
  // Configurations and engines.
  of("checkConfig", [config], {
    0: "object",
    "0.n_ctx": "whole",
    "0.dropout": "number",
    "0.attention": "object",
    "0.position": "object",
    "0.position.stride": "whole",
  }),
  of("checkTrain", [{ steps: 3, lr: 0.1, seed: 1 }], { 0: "object", "0.steps": "whole", "0.lr": "number", "0.seed": "whole" }),
  of("checkCausal", [config, "train"], { 0: "object", "0.n_layer": "whole", 1: "text" }),
  of("phasesOf", [config, { steps: 3, phases: [{ until: 0.5, n_ctx: 4 }] }], {
    ...{ 0: "object", "0.n_ctx": "whole", 1: "object", "1.steps": "whole", "1.phases": "list" },
    ...{ "1.phases.0": "object", "1.phases.0.until": "number", "1.phases.0.n_ctx": "optional whole" },
  }),
  of("phaseAt", [longstride.phasesOf(config, {}), 1], { 0: "list", 1: "whole" }),
  of("preset", ["text"], { 0: "text" }),
  of("isHidden", ["a/b.txt"], { 0: "text" }),
  of("presetFor", ["image", [2, 2, 3]], { 0: "text", 1: "optional list", "1.0": "whole" }),
  of("memoryPlan", [config, { batch: 2 }], { 0: "object", 1: "object", "1.batch": "whole" }),
  of("pickBackend", ["wasm", { threads: 1 }], {
    0: "optional text",
    1: "optional object",
    "1.threads": "optional whole",
    "1.dawnPath": "optional text",
  }),
  of("useKernels", [undefined], { 0: "function" }),
  // Models.
  call("new Parameters", (config) => new longstride.Parameters(config), [config], { 0: "object", "0.n_ctx": "whole" }),
  call("Parameters.get", (name) => params.get(name), ["norm.bias"], { 0: "text" }),
  call("Parameters.matrix", (name) => params.matrix(name), ["out.weight"], { 0: "text" }),
  of("parameterCount", [config], { 0: "object", "0.d_model": "whole" }),
  of("parameterShapes", [config], { 0: "object", "0.d_model": "whole" }),
  of("fetchModel", ["model/"], { 0: "object" }),
  of("openModel", [{ config, weights }, { backend: "reference" }], {
    0: "object",
    "0.config": "object",
    "0.config.n_ctx": "whole",
    "0.weights": "object",
    1: "optional object",
    "1.backend": "optional text",
  }),
  call(
    "openModel of arrays",
    (data) => longstride.openModel({ config, weights: new Map([...weights, ["norm.bias", data]]) }, { backend: "reference" }),
    [new Float32Array(8)],
    { 0: "floats" },
  ),
  call("OpenedModel.create", (given, options) => longstride.OpenedModel.create(given, options), [{ config, weights }, {
    backend: "reference",
  }], { 0: "object", 1: "optional object" }),
  call("OpenedModel.tokens", (options) => model.tokens(options), [{ ...choice, prompt: [1, 2] }], {
    ...CHOICE(0),
    "0.prompt": "optional tokens",
  }),
  call("OpenedModel.samples", (options) => model.samples(options), [{ ...choice, prompt: [1, 2], batch: 2 }], {
    ...CHOICE(0),
    "0.prompt": "optional tokens",
    "0.batch": "optional whole",
  }),
  call("OpenedModel.text", (options) => model.text(options), [{ ...choice, prompt: "a" }], { ...CHOICE(0), "0.prompt": "optional text" }),
  call("OpenedModel.generate", (options) => model.generate(options), [{
    prompt: "a",
    maxNewTokens: 2,
    numReturnSequences: 2,
    stopStrings: ["b"],
  }], {
    0: "object",
    "0.prompt": "optional text",
    "0.maxNewTokens": "whole",
    "0.numReturnSequences": "optional whole",
    "0.stopStrings": "optional list",
    "0.stopStrings.0": "text",
  }),
  of("openEncoder", [{ config: scorerConfig, weights: scorerWeights }, { backend: "reference" }], {
    0: "object",
    "0.config": "object",
    1: "optional object",
    "1.backend": "optional text",
  }),
  call("Encoder.create", (given, options) => longstride.Encoder.create(given, options), [{ config: scorerConfig, weights: scorerWeights }, {
    backend: "reference",
  }], { 0: "object", 1: "optional object" }),
  call("Encoder.logits", (tokens, options) => encoder.logits(tokens, options), [[1, 2], {}], { 0: "tokens", 1: "optional object" }),
  call("Encoder.embeddings", (tokens, options) => encoder.embeddings(tokens, options), [[1, 2], { layer: 1 }], {
    0: "tokens",
    1: "optional object",
    "1.layer": "optional whole",
  }),
  call("Encoder.scores", (tokens, options) => encoder.scores(tokens, options), [[1, 2], {}], { 0: "tokens", 1: "optional object" }),
  call("Encoder.fill", (tokens, options) => filler.fill(tokens, options), [[null, 1], { steps: 1, temperature: 1, seed: 1 }], {
    0: "list",
    1: "optional object",
    "1.steps": "optional whole",
    "1.temperature": "optional number",
    "1.seed": "optional whole",
  }),
  of("scoreEntries", [encoder, [[1, 2], [3]], { by: "mean" }], {
    0: "object",
    1: "list",
    "1.0": "tokens",
    2: "optional object",
    "2.by": "optional text",
  }),
  call("WindowScorer.create", (...args) => longstride.WindowScorer.create(...args as [never, never, never]), [on, encoder.params, 1], {
    0: "engine",
    1: "object",
    2: "whole",
  }),
  call("WindowScorer.loss", (tokens, targets) => windowScorer.loss(tokens, targets), [bytes, new Float32Array(64)], {
    0: "bytes",
    1: "bytes",
  }),
  of("objectiveOf", [config], { 0: "object" }),
  of("checkNext", [config, "train"], { 0: "object", "0.n_layer": "whole", 1: "text" }),
  of("checkTrainable", [config], { 0: "object", "0.n_layer": "whole" }),
  of("compress", [model, bytes.subarray(0, 4), { minContext: 0, batch: 1 }], {
    0: "object",
    1: "bytes",
    2: "optional object",
    "2.minContext": "optional whole",
    "2.batch": "optional whole",
  }),
  of("decompress", [model, compressed, {}], { 0: "object", 1: "bytes", 2: "optional object" }),
  of("compressedHeader", [compressed], { 0: "bytes" }),
  of("parseGenerationConfig", [`{ "top_k": 3 }`, name], { 0: "text", 1: "text" }),
  of("formatGenerationConfig", [{ topK: 3, stopStrings: ["a"] }], {
    0: "object",
    "0.topK": "optional whole",
    "0.stopStrings": "optional list",
  }),
  call("Decoder.create", (...args) => longstride.Decoder.create(...args as [never, never]), [on, params, 1, 16], {
    0: "engine",
    1: "object",
    2: "optional whole",
    3: "optional whole",
  }),
  call("Decoder.begin", (...args) => decoder.begin(...args as [never]), [[1, 2], {}, 0], {
    0: "tokens",
    1: "optional object",
    2: "optional whole",
  }),
  call("Decoder.run", (positions) => decoder.run(positions), [1], { 0: "optional whole" }),
  call("Decoder.read", (from, to) => decoder.read(from, to), [0, 1], { 0: "whole", 1: "whole" }),
  call("Decoder.stream", (from, to) => decoder.stream(from, to), [3, 4], { 0: "whole", 1: "whole" }),
  of("sample", [decoder, { ...choice, prompt: [1] }], { 0: "object", ...CHOICE(1), "1.prompt": "optional tokens" }),
  of("samples", [decoder, { ...choice, prompt: [1] }], { 0: "object", ...CHOICE(1), "1.prompt": "optional tokens" }),
  of("attentionMaps", [on, params, [1, 2, 3], { layers: [0], heads: [1], queries: [2] }], {
    ...{
      0: "engine",
      1: "object",
      2: "tokens",
      3: "optional object",
      "3.layers": "optional list",
      "3.layers.0": "whole",
      "3.heads": "optional list",
      "3.queries.0": "whole",
    },
  }),
  call("OpenedModel.score", (text, options) => model.score(text, options), [[1, 2], { minContext: 3 }], {
    0: "text or tokens",
    1: "optional object",
    "1.minContext": "optional whole",
  }),
  call("OpenedModel.embeddings", (text, options) => model.embeddings(text, options), [[1, 2], { minContext: 3, layer: 1 }], {
    0: "text or tokens",
    1: "optional object",
    "1.minContext": "optional whole",
    "1.layer": "optional whole",
  }),
  call("Scorer.windows", (...args) => scorer.windows(...args as [never, never, never]), [bytes, 20, 2], {
    0: "bytes",
    1: "whole",
    2: "whole",
  }),
  call("Scorer.create", (...args) => longstride.Scorer.create(...args as [never, never, never]), [on, params, 1, 8], {
    0: "engine",
    1: "object",
    2: "whole",
    3: "optional whole",
  }),
  call("Scorer.score", (tokens) => scorer.score(tokens), [bytes.subarray(0, 16)], { 0: "tokens" }),
  call("Scorer.evaluate", (tokens, options) => scorer.evaluate(tokens, options), [bytes, { limit: 20, minContext: 2, unit: 1 }], {
    0: "bytes",
    1: "optional object",
    "1.limit": "optional whole",
    "1.minContext": "optional whole",
    "1.unit": "optional whole",
  }),
  call("Scorer.bits", (tokens, options) => scorer.bits(tokens, options), [bytes, { limit: 20 }], {
    0: "bytes",
    1: "optional object",
    "1.limit": "optional whole",
  }),
  of("train", [{
    engine: on,
    config,
    train: { steps: 1, batch: 1 },
    data: bytes,
    unit: 1,
    heldOut: bytes,
    reportSeconds: 0,
    evaluations: 1,
    evaluationTokens: 16,
  }], {
    ...{
      0: "object",
      "0.engine": "engine",
      "0.config": "object",
      "0.train": "object",
      "0.train.steps": "whole",
      "0.data": "bytes",
      "0.unit": "optional whole",
    },
    ...{ "0.reportSeconds": "optional number", "0.evaluations": "optional whole", "0.evaluationTokens": "optional whole" },
  }),
  call("HalvesSum", (...args) => new longstride.HalvesSum(...args as [never]), [{ rank: 0, size: 2 }], {
    0: "object",
    "0.rank": "whole",
    "0.size": "whole",
  }),
  call("DataParallel", (...args) => new longstride.DataParallel(...args as [never, never]), [{ rank: 0, size: 2 }, {
    wire: "f16",
    muon: "shared",
  }], {
    0: "object",
    "0.rank": "whole",
    "0.size": "whole",
    1: "optional object",
    "1.wire": "optional text",
    "1.muon": "optional text",
    "1.bucketBytes": "optional whole",
  }),
  call("DataParallel.share", (...args) => group.share(...args as [never, never]), [4, 2], { 0: "whole", 1: "whole" }),
  call("Trainer.create", (...args) => longstride.Trainer.create(...args as [never, never, never]), [on, config, { batch: 1 }], {
    0: "engine",
    1: "object",
    2: "object",
  }),
  call("Trainer.step", (micro) => trainer.step(micro), [[bytes.subarray(0, 16)]], { 0: "list", "0.0": "tokens" }),
  // Files.
  of("formatConfig", [config], { 0: "object" }),
  of("parseConfig", [longstride.formatConfig(config), name], { 0: "text", 1: "text" }),
  of("formatRunState", [state, digests], { 0: "object", 1: "object" }),
  of("parseRunState", [longstride.formatRunState(state, digests), name], { 0: "text", 1: "text" }),
  of("modelChunks", [{ config, weights }, "I8"], { 0: "object", "0.config": "object", "0.weights": "object", 1: "optional text" }),
  of("momentChunks", [{ config, m: weights, v: weights }], { 0: "object", "0.config": "object", "0.m": "object" }),
  of("readModel", [longstride.formatConfig(config), weightsFile], { 0: "text", 1: "bytes" }),
  of("readMoments", [config, momentsFile, name], { 0: "object", 1: "bytes", 2: "text" }),
  of("parseSafetensors", [weightsFile, name], { 0: "bytes", 1: "text" }),
  of("safetensorsChunks", [new Map([["a", { shape: [2], data: new Float32Array(2) }]])], { 0: "object" }),
  call("safetensorsChunks of", (one) => longstride.safetensorsChunks(new Map([["a", one]])), [{ shape: [2], data: new Float32Array(2) }], {
    0: "object",
    "0.shape": "list",
    "0.shape.0": "whole",
    "0.data": "floats",
  }),
  of("runFiles", [checkpoint, ["state-2"]], { 0: "object", "0.config": "object", 1: "optional list" }),
  of("readRun", [folder], { 0: "object" }),
  of("readTrained", [folder], { 0: "object" }),
  of("statesIn", [["state-2"]], { 0: "list", "0.0": "text" }),
  call("new Run", (options, before) => new longstride.Run(options, before), [{ ...checkpoint }, []], { 0: "object", 1: "optional list" }),
  of("checkResume", [{ ...checkpoint, step: 1 }, checkpoint, name], { 0: "object", "0.config": "object", 1: "object", 2: "text" }),
  of("fitWarmup", [{ steps: 3 }], { 0: "object" }),
  of("fitPhases", [{ phases: [] }, config, 1], {
    0: "object",
    "0.phases": "optional list",
    1: "object",
    "1.n_ctx": "whole",
    2: "optional whole",
  }),
  of("stepsFor", [2, config, { steps: 3 }, 100, 1], {
    0: "number",
    1: "object",
    "1.n_ctx": "whole",
    2: "object",
    3: "whole",
    4: "optional whole",
  }),
  of("parseRecipe", [longstride.formatRecipe({ model: config }), name], { 0: "text", 1: "text" }),
  of("formatRecipe", [{ model: config }], { 0: "object" }),
  of("keptAs", [{ state: "state-2", files: digests }, ["state-2"]], { 0: "object", 1: "list" }),
  of("stateFile", [{ state: "state-2", files: digests }, state], { 0: "object", 1: "object" }),
  call("new Cadence", (every) => new longstride.Cadence(every), [{ steps: 3 }], { 0: "object", "0.steps": "whole" }),
  call("Cadence.isDue", (step) => new longstride.Cadence({ steps: 3 }).isDue(step), [3], { 0: "whole" }),
  of("stepsPerEpoch", [config, { steps: 3 }, 100], { 0: "object", "0.n_ctx": "whole", 1: "object", 2: "whole" }),
  of("identifyDataset", [dataset, {}], { 0: "object", "0.train": "bytes", "0.heldOut": "bytes", 1: "object" }),
  of("tokensOf", [dataset], { 0: "object", "0.train": "bytes", "0.heldOut": "bytes" }),
  of("encodeParts", [dataset, longstride.BYTES], { 0: "object", "0.train": "bytes", "0.heldOut": "bytes", 1: "object" }),
  of("bitsPerByte", [2, 3, 4], { 0: "number", 1: "whole", 2: "whole" }),
  of("inBytes", [{ loss: 1 }, { train: 1, heldOut: 1 }], { 0: "object", 1: "object", "1.train": "number", "1.heldOut": "number" }),
  of("codecOf", [{ config }, "sample"], { 0: "object", "0.config": "object" }),
  of("isSameData", [state.data, state.data], { 0: "object", 1: "object" }),
  of("sha256", [bytes], { 0: "bytes" }),
  of("mustBe", [name, "a list", 3], { 1: "object" }),
  of("jsonOf", ["[1]", () => assert(false)], { 0: "text", 1: "function" }),
  of("wrongOf", [name, 3, "a list"], { 2: "object" }),
  // Data.
  of("checkSameData", [state.data, state.data], { 0: "object", 1: "object" }),
  of("entropy0", [bytes], { 0: "bytes" }),
  of("entropyOf", [new Float64Array(256).fill(1)], { 0: "floats" }),
  of("identify", [name, bytes, 3], { 0: "text", 1: "bytes", 2: "whole" }),
  of("splitHeldOut", [bytes, 16], { 0: "bytes", 1: "whole" }),
  of("gunzip", [new Uint8Array(0), name], { 1: "text" }),
  of("zipEntries", [new Uint8Array(0), name], { 0: "bytes", 1: "text" }),
  of("zipChunks", [new Map([[name, bytes]])], { 0: "object" }),
  of("unzip", [{}, name], { 0: "object" }),
  of("encodeText", ["a"], { 0: "text" }),
  of("visible", ["a"], { 0: "text" }),
  of("wrapText", ["a b", 3, undefined], { 0: "text", 1: "whole", 2: "function" }),
  call("Tokenizer", (merges) => new longstride.Tokenizer(merges), [merges], { 0: "bytes" }),
  call("Tokenizer.learn", (...args) => longstride.Tokenizer.learn(...args as [Uint8Array, number, object]), [bytes, 300, {}], {
    0: "bytes",
    1: "whole",
    2: "optional object",
  }),
  call("Tokenizer.encode", (bytes) => tokenizer.encode(bytes), [bytes], { 0: "bytes" }),
  call("Tokenizer.decode", (tokens) => tokenizer.decode(tokens), [[65, 256]], { 0: "tokens" }),
  call("Tokenizer.bytesOf", (token) => tokenizer.bytesOf(token), [256], { 0: "whole" }),
  of("parseTokenizer", [tokenizer.toJson(), name], { 0: "text", 1: "text" }),
  call("new StopStrings", (stops) => new longstride.StopStrings(stops as string[]), [["ab"]], { 0: "list", "0.0": "text" }),
  call("new StopTokens", (stops) => new longstride.StopTokens(longstride.BYTES, stops as string[]), [["ab"]], { 0: "list", "0.0": "text" }),
  call("StopStrings.push", (bytes) => new longstride.StopStrings(["ab"]).push(bytes as Uint8Array), [bytes], { 0: "bytes" }),
  of("eventFileName", [12, "run"], { 0: "number", 1: "text" }),
  of("eventFileHeader", [12], { 0: "number" }),
  of("scalarEvent", [12, 3, { loss: 1 }], { 0: "number", 1: "whole", 2: "object" }),
  of("sessionStart", [12, 3], { 0: "number", 1: "whole" }),
  call("TextStream.push", (bytes) => new longstride.TextStream().push(bytes), [bytes], { 0: "bytes" }),
  of("decodeCifar10", [new Uint8Array(3073), name], { 0: "bytes", 1: "text" }),
  of("mulaw", [0.5], { 0: "number" }),
  of("mulawAmplitude", [3], { 0: "number" }),
  of("encodeMulaw", [new Float32Array(3)], { 0: "floats" }),
  of("decodeMulaw", [bytes], { 0: "bytes" }),
  of("orderG711", [bytes], { 0: "bytes" }),
  of("encodeWav", [bytes, 8000], { 0: "bytes", 1: "optional whole" }),
  of("decodeWav", [wav, name, 12000], { 0: "bytes", 1: "text", 2: "optional whole" }),
  of("envelope", [bytes, 4], { 0: "bytes", 1: "whole" }),
  of("waveformImage", [bytes, 40, 20], { 0: "bytes", 1: "optional whole", 2: "optional whole" }),
  of("waveformSvg", [bytes, 12000, "a title", 100], { 0: "bytes", 1: "whole", 2: "text", 3: "optional whole" }),
  of("checkDataset", [dataset, { n_ctx: 16, vocab_size: 256 }], { 0: "object", 1: "object", "1.n_ctx": "whole", "1.vocab_size": "whole" }),
  of("histogram", [bytes], { 0: "bytes" }),
  of("loadDataset", [[{ name, data: new Uint8Array(400).fill(65) }], { heldOut: 40 }, name], {
    0: "list",
    "0.0": "object",
    "0.0.data": "bytes",
    1: "optional object",
    "1.heldOut": "optional whole",
  }),
  of("openDataset", [[{ name, data: new Uint8Array(400).fill(65) }], { heldOut: 40 }, name], {
    0: "list",
    "0.0": "object",
    "0.0.data": "bytes",
    1: "optional object",
    "1.heldOut": "optional whole",
    "1.hold": "optional whole",
  }),
  of("withHeldOut", [dataset, dataset], { 0: "object", 1: "object", "1.train": "bytes" }),
  call("new TokenRange", (parts) => new longstride.TokenRange(parts), [[bytes]], { 0: "list", "0.0": "object" }),
  call("TokenRange.subarray", (from, to) => new longstride.TokenRange([bytes]).subarray(from, to), [1, 3], {
    0: "optional whole",
    1: "optional whole",
  }),
  call("TokenRange.read", (from, to) => new longstride.TokenRange([bytes]).read(from, to), [1, 3], {
    0: "optional whole",
    1: "optional whole",
  }),
  // The device.
  of("formatTuning", [tuning], { 0: "object", "0.device": "text", "0.choices": "list" }),
  of("parseTuning", [device.formatTuning(tuning), name], { 0: "text", 1: "text" }),
  of("isOutdated", [device.formatTuning(tuning)], { 0: "text" }),
  of("mergeTunings", [undefined, tuning], { 1: "object" }),
  of("nameOfWork", [device.trainingWorks(config, {})[0]], { 0: "object" }),
  of("worksOf", [{ ops: [] }], { 0: "object" }),
  of("trainingWorks", [config, { batch: 1 }], { 0: "object", 1: "object", "1.batch": "whole" }),
  of("tune", [on, []], { 0: "engine", 1: "list" }),
  of("verifyAttention", [on, name, bytes, "f16"], { 0: "engine", 1: "text", 2: "bytes", 3: "optional text" }),
  of("verifyModel", [on, name, { config: "{}", model: bytes, expected: bytes }, false, "f16"], {
    ...{ 0: "engine", 1: "text", 2: "object", 4: "optional text" },
  }),
];

/** The arguments with one place exchanged; what is on the way there is copied. */
function exchanged(args: readonly unknown[], path: string, value: unknown): unknown[] {
  const copy = (from: unknown, [key, ...rest]: string[]): unknown => {
    const next = rest.length > 0 ? copy((from as Record<string, unknown>)[key], rest) : value;
    if (Array.isArray(from)) return Object.assign(from.slice(), { [key]: next });
    return { ...from as object, [key]: next };
  };
  return copy(args, path.split(".")) as unknown[];
}

/** Calls, and takes all that comes, up to a number of things. */
async function outcome({ call }: Call, args: readonly unknown[]): Promise<unknown> {
  const made = await call(...args) as Iterable<unknown> | AsyncIterable<unknown> | undefined;
  if (typeof made !== "object" || made === null || "length" in made || made instanceof Map) return made;
  let count = 0;
  if (Symbol.asyncIterator in made || Symbol.iterator in made) { for await (const _ of made) if (++count > 40) return "goes on for ever"; }
  return made;
}

const exports = Object.keys(FACES).sort();

Deno.test("callers: every export is in the table", () => {
  const called = new Set(CALLS.flatMap(({ name }) => name.split(/[ .]/))),
    missing = exports.filter((name) => !called.has(name) && !REST.includes(name));
  assertEquals(missing, []);
});

Deno.test("callers: what a function cannot mean is refused by every one, by a typed error", async () => {
  const passed: string[] = [];
  let count = 0;
  for (const call of CALLS) {
    for (const [path, kind] of Object.entries(call.kinds)) {
      for (const value of WRONG[kind]) {
        if (kind === "function" && value === undefined) continue;
        count++;
        let timer: ReturnType<typeof setTimeout> | undefined;
        const said = await Promise.race([
          outcome(call, exchanged(call.args, path, value)).then((made) => `answers ${String(made).slice(0, 40)}`, (error) => error),
          new Promise((resume) => timer = setTimeout(() => resume("is still at it"), 60_000)),
        ]).finally(() => clearTimeout(timer));
        if (said instanceof LongstrideError) continue;
        const shown = typeof value === "number" || value === undefined ? String(value) : JSON.stringify(value);
        passed.push(`${call.name} with ${path} ${shown}: ${String(said).split("\n")[0]}`);
      }
    }
  }
  assert(count > 1000, `only ${count} calls`);
  assertEquals(passed, []);
});

Deno.test.afterAll(async () => {
  model.dispose();
  windowScorer.dispose();
  encoder.dispose();
  filler.dispose();
  trainer.dispose();
  scorer.dispose();
  decoder.dispose();
  await disposeEngines();
});
