/**
 * What a model is: the fields of `config.json` (spec of the names on disk), their validation, and presets.
 *
 * @module
 */

import { type Allowed, expect, MOST, mustBe, type ObjectOf, shown, whole } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { SEEDS, SEQUENCES } from "../base/limits.ts";
import { type AttentionConfig, type AttentionSet, resolveSets } from "../pattern/sets.ts";

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
  /** One pattern, or one a layer. */
  attention: AttentionConfig | AttentionConfig[];
  /** Positional embedding. */
  position: PositionConfig;
  /** What weights are drawn with (spec of {@linkcode ../model/model.ts!initialWeights}): "default", or the paper's letter. */
  init?: Initialisation;
}

/** Deviations of the first weights, by name. */
export type Initialisation = "default" | "paper";

/** The names of {@linkcode Initialisation}. */
export const INITIALISATIONS: readonly Initialisation[] = ["default", "paper"];

/** What takes gradients to steps: AdamW for everything, or Muon for the matrices of the blocks and AdamW for the rest. */
export type OptimizerName = "muon" | "adamw";

/** The names of {@linkcode OptimizerName}. */
export const OPTIMIZERS: readonly OptimizerName[] = ["muon", "adamw"];

/** How the learning rate falls after the warm-up: half a cosine, a line, or not at all. */
export type ScheduleName = "cosine" | "linear" | "constant";

/** The names of {@linkcode ScheduleName}. */
export const SCHEDULES: readonly ScheduleName[] = ["cosine", "linear", "constant"];

/** A beginning of a run in which the model sees less: fields left out are the run's own. Weights and moments go on into the next. */
export interface Phase {
  /** Where it ends, as a fraction of all steps, in (0, 1). */
  until: number;
  /** Positions of a sequence, at most the model's. */
  n_ctx?: number;
  /** Sequences of a micro-batch. */
  batch?: number;
  /** One pattern, or one per layer. */
  attention?: AttentionConfig | AttentionConfig[];
}

/** Training constants of spec §3 with a run's choices. */
export interface TrainConfig {
  /** Updates. */
  steps: number;
  /** Sequences of a micro-batch. */
  batch: number;
  /** Micro-batches of an update; their gradients are averaged. */
  accumulate: number;
  /** Peak learning rate. */
  lr: number;
  /** Updates of linear warm-up. */
  warmup: number;
  /** What the learning rate does after it. */
  schedule: ScheduleName;
  /** What it falls to in the end, as a fraction of `lr`. */
  lr_min: number;
  /** What updates the matrices of the blocks. */
  optimizer: OptimizerName;
  /** Muon's peak rate; it follows the learning rate's schedule. */
  muon_lr: number;
  /** Muon's μ. */
  momentum: number;
  /** Largest global gradient norm; 0 turns clipping off. */
  clip: number;
  /** Decoupled decay of tensors of rank 2. */
  weight_decay: number;
  /** Decay of Adam's first moment. */
  beta1: number;
  /** Decay of Adam's second moment. */
  beta2: number;
  /** Adam's ε, added to the root of the second moment. */
  eps: number;
  /** Of weights, batches and dropout. */
  seed: number;
  /** Recompute attention and feed-forward activations in the backward pass (section 5.4). */
  recompute: boolean;
  /** What activations and their gradients are stored in (sections 5.4 and 5.5); weights, moments and sums are f32 always. */
  precision: "f32" | "f16";
  /** Beginnings in which the model sees less, in order; after the last of them it is as configured. */
  phases: Phase[];
}

/** Spec §3's constants. Muon, because it learns far sooner (docs/results.md), whatever its constants. */
export const TRAIN_DEFAULTS: TrainConfig = {
  steps: 1000,
  batch: 1,
  accumulate: 1,
  lr: 0.001,
  warmup: 100,
  schedule: "cosine",
  lr_min: 0,
  optimizer: "muon",
  muon_lr: 0.01,
  momentum: 0.95,
  clip: 1,
  weight_decay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  seed: 0,
  recompute: false,
  precision: "f32",
  phases: [],
};

/** Whether Muon updates a parameter: the matrices of the blocks (spec §3). */
export function byMuon(name: string, shape: readonly number[], optimizer: OptimizerName): boolean {
  return optimizer === "muon" && shape.length === 2 && name.startsWith("layers.");
}

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
};

/** A `config.json` as a whole: older ones have no `init`. */
const { init: INIT, ...NEEDED } = MODEL_FIELDS, MODEL: ObjectOf = { fields: NEEDED, optional: { init: INIT } };

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
  const { n_layer, n_head, n_ctx, attention } = config;
  for (const width of ["d_model", "d_qk"] as const) {
    if (config[width] % n_head !== 0) throw new ConfigError(`${cannot}: ${width} ${config[width]} must be a multiple of n_head ${n_head}`);
  }
  checkPosition(config);
  const layers = [attention].flat();
  if (Array.isArray(attention) && layers.length !== n_layer) {
    throw new ConfigError(`${cannot}: attention lists ${layers.length} layers, n_layer is ${n_layer}`);
  }
  layers.forEach((one, at) => expect(cannot, { [Array.isArray(attention) ? `attention[${at}]` : "attention"]: [one, "an object"] }));
  layers.forEach((attention, layer) => {
    // The two factors alternate by layer: two layers show every set of one pattern.
    for (const r of layers.length === 1 ? [0, 1] : [layer]) resolveSets(attention, { n: n_ctx, layer: r, heads: n_head });
  });
  return config;
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

/** What each training constant may be. */
export const TRAIN_FIELDS: Readonly<Record<keyof TrainConfig, Allowed>> = {
  steps: whole(1, MOST),
  batch: SEQUENCES,
  accumulate: whole(1, 2 ** 16),
  lr: { from: 1e-12, to: 100 },
  warmup: whole(0, MOST),
  schedule: { oneOf: SCHEDULES },
  lr_min: { from: 0, to: 1 },
  optimizer: { oneOf: OPTIMIZERS },
  muon_lr: { from: 1e-12, to: 100 },
  momentum: { from: 0, to: 0.9999999 },
  clip: { from: 0, to: 1e9 },
  weight_decay: { from: 0, to: 1 },
  beta1: { from: 0, to: 0.9999999 },
  beta2: { from: 0, to: 0.9999999 },
  eps: { from: 1e-30, to: 1 },
  seed: SEEDS,
  recompute: "true or false",
  precision: { oneOf: ["f32", "f16"] },
  phases: {
    each: {
      fields: { until: { above: 0, below: 1 } },
      optional: { n_ctx: MODEL_FIELDS.n_ctx, batch: SEQUENCES, attention: "an object" },
    },
  },
};

/**
 * Checks training constants.
 *
 * @throws {ConfigError} naming the field and what is allowed
 */
export function checkTrain(given: Partial<TrainConfig>): TrainConfig {
  expect("Cannot train", { "the training constants": [given, "an object"] });
  const train = { ...TRAIN_DEFAULTS, ...given };
  expect("Cannot train", { it: [train, { fields: TRAIN_FIELDS }] });
  let before = 0;
  train.phases.forEach(({ until }, at) => {
    expect("Cannot train", { [`phases[${at}].until`]: [until, { above: before, below: 1 }] });
    before = until;
  });
  return train;
}

/** What is wrong within a phase is said of it. */
function inPhase<T>(index: number, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`Cannot train: phases[${index}]: ${error.message}`) : error;
  }
}

/** Where in a run a step is: what the model is there, and how many sequences it sees at once. */
export interface PhaseAt {
  /** The model, smaller where the phase says so. */
  readonly config: ModelConfig;
  /** Sequences of a micro-batch. */
  readonly batch: number;
  /** Which, from 0, of `of`. */
  readonly index: number;
  /** Phases in all, the last one, in which the model is as configured, among them. */
  readonly of: number;
  /** First step that is no longer in it. */
  readonly end: number;
}

/**
 * The phases of a run in order, the last of them the model as configured.
 *
 * @throws {ConfigError} where a field of either is out of range, a phase's context is larger than the model's, or its attention does not fit the model
 */
export function phasesOf(config: ModelConfig, train: Partial<TrainConfig>): PhaseAt[] {
  config = checkConfig(config);
  const { phases, steps, batch } = checkTrain(train), of = phases.length + 1;
  return [...phases, { until: 1 }].map((phase: Phase, index) => {
    const { until, n_ctx = config.n_ctx, attention = config.attention } = phase, last = index === of - 1;
    if (n_ctx > config.n_ctx) {
      throw new ConfigError(`Cannot train: phases[${index}].n_ctx must be at most the model's ${config.n_ctx}, found ${n_ctx}`);
    }
    const model = last ? config : inPhase(index, () => checkConfig({ ...config, n_ctx, attention }));
    // A short run ends as the model itself too.
    const end = last ? steps : Math.min(steps - 1, Math.round(until * steps));
    return { config: model, batch: phase.batch ?? batch, index, of, end };
  });
}

/** The phase of update t, t from 0; of updates after the run, its last. */
export function phaseAt<P extends PhaseAt>(phases: readonly P[], t: number): P {
  expect("Cannot find the phase", {
    phases: [phases, "a list"],
    t: [t, [0, MOST]],
    "the last phase": [phases?.[phases.length - 1], "an object"],
  });
  return phases.find(({ end }) => t < end) ?? phases[phases.length - 1];
}

/** A named model with training choices that suit it. */
export interface Preset {
  /** For people: what it is for. */
  readonly about: string;
  /** The model. */
  readonly model: ModelConfig;
  /** Training constants that differ from the defaults. */
  readonly train: Partial<TrainConfig>;
}

const shape = (n_layer: number, n_head: number, d_model: number, d_ff: number, d_qk: number) => ({
  model_type: "sparse_transformer" as const,
  n_layer,
  n_head,
  d_model,
  d_ff,
  d_qk,
  vocab_size: 256,
});

/** The paper's own optimizer, rate and warm-up (section 6). */
const PAPER: Partial<TrainConfig> = { optimizer: "adamw", lr: 0.00035, warmup: 5000 };

const audio = (n_ctx: number, stride: number, n_layer: number, n_head: number, d_model: number): Preset => ({
  about: `paper: audio of ${n_ctx} samples, µ-law at 12 kHz`,
  model: {
    ...shape(n_layer, n_head, d_model, d_model * 4, d_model),
    n_ctx,
    dropout: 0,
    attention: { pattern: "strided", stride, integration: "interleaved" },
    position: { kind: "attention", stride },
    init: "paper",
  },
  train: { ...PAPER, recompute: true },
});

const local = (stride: number): AttentionConfig => ({ pattern: "local", stride });

/** A factor per head: of the integrations the one that learns soonest at these sizes. */
const strided = (stride: number): AttentionConfig => ({ pattern: "strided", stride, integration: "multihead" });

/** Presets by name: the paper's (spec §4), and small ones for this program's own first runs. docs/results.md has the sweeps behind those. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  text: {
    about: "text in minutes on two cores: 4 bytes back twice, then strided, 512 bytes of context",
    model: {
      ...shape(4, 4, 128, 512, 128),
      n_ctx: 512,
      dropout: 0,
      // Held-out bits/byte after 1.6 MB: 1.67 with four layers of l 16, 1.59 with a first layer of 5 keys, 1.52 so.
      attention: [local(4), local(4), strided(16), strided(32)],
      position: { kind: "attention", stride: 16 },
    },
    train: { steps: 1600, batch: 2, lr: 0.002, warmup: 100, beta2: 0.95, schedule: "linear" },
  },
  image: {
    about: "images of 32×32×3 in minutes on two cores: four pixels back, then strided over rows of pixels",
    model: {
      ...shape(2, 4, 64, 256, 64),
      n_ctx: 3072,
      dropout: 0,
      // In equal time two layers and more images: 4.8 bits/byte where three layers reach 4.95 with fewer.
      attention: [local(12), strided(96)],
      position: { kind: "data", shape: [32, 32, 3] },
    },
    // The upper quarters of four images a step instead of one image: 4.67 bits/byte for 4.75 after so many bytes (means of three seeds).
    train: {
      ...{ steps: 2000, batch: 1, lr: 0.006, warmup: 20, beta2: 0.95, schedule: "linear" },
      phases: [{ until: 0.5, n_ctx: 768, batch: 4 }],
    },
  },
  sound: {
    about: "sound in minutes on two cores: 4 and 8 samples back, then strided, a third of a second at 12 kHz",
    model: {
      ...shape(3, 4, 64, 256, 64),
      n_ctx: 4096,
      dropout: 0,
      attention: [local(4), local(8), strided(64)],
      position: { kind: "attention", stride: 64 },
    },
    // Eight short windows a step are eight places of the piece instead of one: 5.93 bits a sample for 6.03 (means of three seeds).
    train: {
      ...{ steps: 1000, batch: 1, lr: 0.01, warmup: 20, beta2: 0.95, schedule: "linear" },
      phases: [{ until: 0.7, n_ctx: 512, batch: 8 }],
    },
  },
  cifar10: {
    about: "paper: CIFAR-10 images, 59 M parameters",
    model: {
      ...shape(128, 2, 256, 512, 128),
      n_ctx: 3072,
      dropout: 0.25,
      attention: { pattern: "strided", stride: 96, integration: "interleaved" },
      position: { kind: "data", shape: [32, 32, 3] },
      init: "paper",
    },
    train: { ...PAPER, batch: 32, recompute: true },
  },
  enwik8: {
    about: "paper: enwik8 text, 12,288 bytes of context, 95 M parameters",
    model: {
      ...shape(30, 8, 512, 2048, 512),
      n_ctx: 12288,
      dropout: 0.4,
      attention: { pattern: "fixed", stride: 128, c: 32, integration: "merged" },
      position: { kind: "attention", stride: 128 },
      init: "paper",
    },
    train: { ...PAPER, batch: 1, recompute: true },
  },
  imagenet64: {
    about: "paper: 64×64 images, 152 M parameters",
    model: {
      ...shape(48, 16, 512, 2048, 512),
      n_ctx: 12288,
      dropout: 0.01,
      attention: { pattern: "strided", stride: 128, integration: "interleaved" },
      position: { kind: "data", shape: [64, 64, 3] },
      init: "paper",
    },
    train: { ...PAPER, batch: 1, recompute: true },
  },
  "audio-65k": audio(65536, 256, 48, 16, 512),
  "audio-262k": audio(262144, 512, 32, 8, 256),
  "audio-1m": audio(1048576, 1024, 4, 4, 256),
};

/**
 * A preset's configuration, copied.
 *
 * @throws {ConfigError} listing the names there are
 */
export function preset(name: string): Preset {
  expect("Cannot use the preset", { name: [name, "a string"] });
  if (!Object.hasOwn(PRESETS, name)) {
    throw new ConfigError(`Cannot use the preset: ${mustBe("it", { oneOf: Object.keys(PRESETS) }, name)}`);
  }
  return structuredClone(PRESETS[name]);
}

/** The small preset of each kind of data. */
const PRESET_OF: Readonly<Record<"text" | "bytes" | "image" | "audio", string>> = {
  text: "text",
  bytes: "text",
  image: "image",
  audio: "sound",
};

/**
 * The small preset that suits some data; for images of another size than its own, made for theirs.
 *
 * @param kind what tokens stand for
 * @param shape height, width and channels of images
 */
export function presetFor(
  kind: "text" | "bytes" | "image" | "audio",
  shape?: readonly [number, number, number],
): { name: string; preset: Preset } {
  expect("Cannot suit a preset", { kind: [kind, "a string"], "preset of that kind": [PRESET_OF[kind], "a string"] });
  if (shape !== undefined) {
    expect("Cannot suit a preset", { shape: [shape, "a list"] });
    for (const at of [0, 1, 2]) expect("Cannot suit a preset", { [`shape[${at}]`]: [shape[at], [1, 65536]] });
  }
  const name = PRESET_OF[kind], chosen = preset(name), { model } = chosen;
  if (!shape || (model.position.kind === "data" && String(model.position.shape) === String(shape))) return { name, preset: chosen };
  const [height, width, channels] = shape, stride = width * channels;
  // Strides over rows of pixels follow the width.
  const follow = <A extends AttentionConfig | AttentionConfig[] | undefined>(attention: A) =>
    attention && [attention].flat().map((layer) => layer!.pattern === "strided" ? { ...layer!, stride } : layer!);
  const phases = chosen.train.phases?.map((phase) => ({
    ...phase,
    // As large a part of an image, in whole rows.
    ...phase.n_ctx ? { n_ctx: Math.max(1, Math.round(phase.n_ctx / model.n_ctx * height)) * stride } : {},
    ...phase.attention ? { attention: follow(phase.attention) } : {},
  }));
  return {
    name,
    preset: {
      ...chosen,
      model: { ...model, n_ctx: height * stride, attention: follow(model.attention)!, position: { kind: "data", shape: [...shape] } },
      train: { ...chosen.train, phases },
    },
  };
}
