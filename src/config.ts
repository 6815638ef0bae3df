/**
 * What a model is: the fields of `config.json` (spec of the names on disk), their validation, and presets.
 *
 * @module
 */

import { expect } from "./check.ts";
import { ConfigError, excerpt } from "./errors.ts";
import { type AttentionConfig, type AttentionSet, resolveSets } from "./pattern.ts";

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
  /** Weight deviation: √(0.125/d_in), the default, or the paper's letter, 0.125/√d_in. */
  init?: "default" | "paper";
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
}

/** Spec §3's constants. */
export const TRAIN_DEFAULTS: TrainConfig = {
  steps: 1000,
  batch: 1,
  accumulate: 1,
  lr: 0.001,
  warmup: 100,
  clip: 1,
  weight_decay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  seed: 0,
  recompute: false,
  precision: "f32",
};

/** The attention of layer r. */
function attentionOf(config: ModelConfig, layer: number): AttentionConfig {
  return Array.isArray(config.attention) ? config.attention[layer] : config.attention;
}

/** The sets of every head of layer r. */
export function setsOf(config: ModelConfig, layer: number): AttentionSet[] {
  return resolveSets(attentionOf(config, layer), { n: config.n_ctx, layer, heads: config.n_head });
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

function whole(fields: Record<string, unknown>, name: string, low: number, high = 2 ** 31 - 1): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < low || value > high) {
    throw new ConfigError(
      `Cannot use the configuration: ${name} must be a whole number from ${low} to ${high}, current value is ${
        excerpt(String(JSON.stringify(value)))
      }`,
    );
  }
  return value;
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
  if (fields.init !== undefined) {
    if (fields.init !== "default" && fields.init !== "paper") {
      throw new ConfigError(
        `Cannot use the configuration: init must be "default" or "paper", current value is ${excerpt(String(JSON.stringify(fields.init)))}`,
      );
    }
    config.init = fields.init;
  }
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
 * Checks training constants.
 *
 * @throws {ConfigError} naming the field and what is allowed
 */
export function checkTrain(given: Partial<TrainConfig>): TrainConfig {
  expect("Cannot train", { "the training constants": [given, "an object"] });
  const train = { ...TRAIN_DEFAULTS, ...given }, fields = train as unknown as Record<string, unknown>;
  const unknown = Object.keys(fields).find((name) => !Object.hasOwn(TRAIN_DEFAULTS, name));
  if (unknown !== undefined) {
    throw new ConfigError(`Cannot train: unknown field ${excerpt(unknown)}, known are ${Object.keys(TRAIN_DEFAULTS).join(", ")}`);
  }
  whole(fields, "steps", 1);
  whole(fields, "batch", 1, 2 ** 16);
  whole(fields, "accumulate", 1, 2 ** 16);
  whole(fields, "warmup", 0);
  whole(fields, "seed", 0, 2 ** 32 - 1);
  const range = (name: keyof TrainConfig, low: number, high: number) => {
    const value = train[name];
    if (typeof value !== "number" || !(value >= low && value <= high)) {
      throw new ConfigError(
        `Cannot train: ${name} must be from ${low} to ${high}, current value is ${excerpt(String(JSON.stringify(value)))}`,
      );
    }
  };
  range("lr", 1e-12, 100);
  range("clip", 0, 1e9);
  range("weight_decay", 0, 1);
  range("beta1", 0, 0.9999999);
  range("beta2", 0, 0.9999999);
  range("eps", 1e-30, 1);
  if (typeof train.recompute !== "boolean") {
    throw new ConfigError(`Cannot train: recompute must be true or false, current value is ${JSON.stringify(train.recompute)}`);
  }
  if (train.precision !== "f32" && train.precision !== "f16") {
    throw new ConfigError(
      `Cannot train: precision must be "f32" or "f16", current value is ${excerpt(String(JSON.stringify(train.precision)))}`,
    );
  }
  return train;
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

const audio = (n_ctx: number, stride: number, n_layer: number, n_head: number, d_model: number): Preset => ({
  about: `paper: audio of ${n_ctx} samples, µ-law at 12 kHz`,
  model: {
    ...shape(n_layer, n_head, d_model, d_model * 4, d_model),
    n_ctx,
    dropout: 0,
    attention: { pattern: "strided", stride, integration: "interleaved" },
    position: { kind: "attention", stride },
  },
  train: { lr: 0.00035, warmup: 5000, recompute: true },
});

/** Layers of strided attention, a factor a head: of the integrations the one that learns soonest at this size. */
const strided = (stride: number, layers: number): AttentionConfig[] =>
  Array.from({ length: layers }, () => ({ pattern: "strided", stride, integration: "multihead" }));

/** Presets by name: the paper's (spec §4), and small ones for this program's own first runs. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  text: {
    about: "text in minutes on two cores: strided, 512 bytes of context",
    model: {
      ...shape(4, 4, 128, 512, 128),
      n_ctx: 512,
      dropout: 0,
      // Few keys a head teach a small model fastest: 3.1 bits/byte after 1.2 M bytes, with merged sets of l = 32 3.8. A
      // window that slides beats one that begins anew every 16 bytes: 2.5 against 2.9 after 1.8 M.
      attention: { pattern: "strided", stride: 16, integration: "multihead" },
      position: { kind: "attention", stride: 16 },
    },
    // The first gradients of the embeddings are 64 times the later ones (layer norm of small numbers): a long warm-up and
    // a short memory of squares took 0.4 bits/byte off the first 1.2 M bytes.
    train: { steps: 1600, batch: 2, lr: 0.002, warmup: 300, beta2: 0.95 },
  },
  image: {
    about: "images of 32×32×3 in minutes on two cores: two pixels back, then strided over rows of pixels",
    model: {
      ...shape(3, 4, 64, 256, 64),
      n_ctx: 3072,
      dropout: 0,
      // With a first layer of few keys 6.1 bits/byte after 260 images, without 7.6 after 120 where this is at 7.1.
      attention: [{ pattern: "local", stride: 6 }, ...strided(96, 2)],
      position: { kind: "data", shape: [32, 32, 3] },
    },
    train: { steps: 600, batch: 1, lr: 0.003, beta2: 0.95, warmup: 20 },
  },
  sound: {
    about: "sound in minutes on two cores: 4 samples back, then strided, a third of a second at 12 kHz",
    model: {
      ...shape(3, 4, 64, 256, 64),
      n_ctx: 4096,
      dropout: 0,
      // Training loss on piano after 300 steps 5.3 bits/byte; with 16 samples back 6.1, with no such layer 6.5.
      attention: [{ pattern: "local", stride: 4 }, ...strided(64, 2)],
      position: { kind: "attention", stride: 64 },
    },
    train: { steps: 600, batch: 1, lr: 0.003, beta2: 0.95, warmup: 20 },
  },
  cifar10: {
    about: "paper: CIFAR-10 images, 59 M parameters",
    model: {
      ...shape(128, 2, 256, 512, 128),
      n_ctx: 3072,
      dropout: 0.25,
      attention: { pattern: "strided", stride: 96, integration: "interleaved" },
      position: { kind: "data", shape: [32, 32, 3] },
    },
    train: { lr: 0.00035, warmup: 5000, batch: 32, recompute: true },
  },
  enwik8: {
    about: "paper: enwik8 text, 12,288 bytes of context, 95 M parameters",
    model: {
      ...shape(30, 8, 512, 2048, 512),
      n_ctx: 12288,
      dropout: 0.4,
      attention: { pattern: "fixed", stride: 128, c: 32, integration: "merged" },
      position: { kind: "attention", stride: 128 },
    },
    train: { lr: 0.00035, warmup: 5000, batch: 1, recompute: true },
  },
  imagenet64: {
    about: "paper: 64×64 images, 152 M parameters",
    model: {
      ...shape(48, 16, 512, 2048, 512),
      n_ctx: 12288,
      dropout: 0.01,
      attention: { pattern: "strided", stride: 128, integration: "interleaved" },
      position: { kind: "data", shape: [64, 64, 3] },
    },
    train: { lr: 0.00035, warmup: 5000, batch: 1, recompute: true },
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
    throw new ConfigError(`Cannot use preset ${excerpt(name)}: it must be one of ${Object.keys(PRESETS).join(", ")}`);
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
  const attention = [model.attention].flat().map((layer) => layer.pattern === "strided" ? { ...layer, stride } : layer);
  return {
    name,
    preset: { ...chosen, model: { ...model, n_ctx: height * stride, attention, position: { kind: "data", shape: [...shape] } } },
  };
}
