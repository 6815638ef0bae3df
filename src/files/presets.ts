/**
 * Named models with training choices that suit them.
 *
 * @module
 */

import { expect, mustBe } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { IMAGE_SHAPE } from "../base/limits.ts";
import { mapPatterns } from "../pattern/patterns_in.ts";
import type { AttentionConfig, ModelAttention } from "../pattern/sets.ts";
import type { DataKind } from "../data/identity.ts";
import type { ModelConfig } from "./model_config.ts";
import type { TrainConfig } from "./train_config.ts";

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

/**
 * The paper's own optimizer, rate and warm-up (section 6). Steps are as many as its epochs, 80 of enwik8's 90 MB and 70 of ImageNet's 1,281,167
 * images; of CIFAR-10, which it trained until the validation error rose, 120 of 48,000 images, and of sound one of 413 hours.
 */
const PAPER: Partial<TrainConfig> = { optimizer: "adamw", lr: 0.00035, warmup: 5000 };

/** Steps of `epochs` of so many tokens, in sequences of `n`, `batch` of them per step. */
const stepsOf = (epochs: number, tokens: number, n: number, batch = 1) => Math.round(epochs * Math.floor(tokens / n) / batch);

const audio = (n_ctx: number, stride: number, n_layer: number, n_head: number, d_model: number): Preset => ({
  about: `paper: audio of ${n_ctx} frames, µ-law at 12 kHz`,
  model: {
    ...shape(n_layer, n_head, d_model, d_model * 4, d_model),
    n_ctx,
    dropout: 0,
    attention: { pattern: "strided", stride, integration: "interleaved" },
    position: { kind: "attention", stride },
    init: "paper",
  },
  train: { ...PAPER, steps: stepsOf(1, 413 * 3600 * 12000, n_ctx), recompute: true },
});

const local = (stride: number): AttentionConfig => ({ pattern: "local", stride });

/** A factor per head: of the integrations the one that learns soonest at these sizes. */
const strided = (stride: number): AttentionConfig => ({ pattern: "strided", stride, integration: "multihead" });

/** How small presets of text and of sound are trained. */
const TEXT: Partial<TrainConfig> = { steps: 1600, batch: 2, lr: 0.002, warmup: 100, beta2: 0.95, schedule: "linear" };
const SOUND: Partial<TrainConfig> = {
  ...{ steps: 1000, batch: 1, lr: 0.01, warmup: 20, beta2: 0.95, schedule: "linear" },
  // Eight short windows per step are eight places of the piece instead of one: 5.93 bits per sample for 6.03 (means of three seeds).
  phases: [{ until: 0.7, n_ctx: 512, batch: 8 }],
};

/** Presets by name: the paper's (section 7), and small ones for this program's own first runs. docs/results.md has the sweeps behind those. */
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
    train: TEXT,
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
    // The upper quarters of four images per step instead of one image: 4.67 bits/byte for 4.75 after so many bytes (means of three seeds).
    train: {
      ...{ steps: 2000, batch: 1, lr: 0.006, warmup: 20, beta2: 0.95, schedule: "linear" },
      phases: [{ until: 0.5, n_ctx: 768, batch: 4 }],
    },
  },
  sound: {
    about: "sound in minutes on two cores: 4 and 8 frames back, then strided, a third of a second at 12 kHz",
    model: {
      ...shape(3, 4, 64, 256, 64),
      n_ctx: 4096,
      dropout: 0,
      attention: [local(4), local(8), strided(64)],
      position: { kind: "attention", stride: 64 },
    },
    train: SOUND,
  },
  "sound-three": {
    about: "the same of three factors: 4 and 8 frames back, then strides of 16 and 256, a head for each",
    model: {
      ...shape(3, 6, 96, 384, 96),
      n_ctx: 4096,
      dropout: 0,
      attention: [local(4), local(8), { pattern: "strided", stride: [16, 256], integration: "multihead" }],
      position: { kind: "attention", stride: 64 },
    },
    train: SOUND,
  },
  "text-memory": {
    about: "text with learned memory tokens: 4 bytes back twice, then windows of 32 with 4 tokens after each",
    model: {
      ...shape(4, 4, 128, 512, 128),
      n_ctx: 512,
      dropout: 0,
      attention: [local(4), local(4), { pattern: "fixed", stride: 32, memory: 4 }, { pattern: "fixed", stride: 32, memory: 4 }],
      position: { kind: "attention", stride: 16 },
    },
    train: TEXT,
  },
  "text-routed": {
    about:
      "text with blocks chosen by content: 4 bytes back twice, then the last 32 and of the past 2 blocks of 32 per head, and all means",
    model: {
      ...shape(4, 4, 128, 512, 128),
      n_ctx: 512,
      dropout: 0,
      attention: [local(4), local(4), ...[0, 1].map((): AttentionConfig => ({ pattern: "routed", block: 32, top_k: 2, compressed: true }))],
      position: { kind: "attention", stride: 16 },
    },
    train: { steps: 1600, batch: 2, lr: 0.002, warmup: 100, beta2: 0.95, schedule: "linear" },
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
    train: { ...PAPER, steps: stepsOf(120, 48_000, 1, 32), batch: 32, recompute: true },
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
    train: { ...PAPER, steps: stepsOf(80, 90e6, 12288), batch: 1, recompute: true },
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
    train: { ...PAPER, steps: stepsOf(70, 1_281_167, 1), batch: 1, recompute: true },
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
const PRESET_OF: Readonly<Record<DataKind, string>> = {
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
  kind: DataKind,
  shape?: readonly [number, number, number],
): { name: string; preset: Preset } {
  expect("Cannot suit a preset", { kind: [kind, "a string"], "preset of that kind": [PRESET_OF[kind], "a string"] });
  if (shape !== undefined) expect("Cannot suit a preset", { shape: [shape, IMAGE_SHAPE] });
  const name = PRESET_OF[kind], chosen = preset(name), { model } = chosen;
  if (!shape || (model.position.kind === "data" && String(model.position.shape) === String(shape))) return { name, preset: chosen };
  const [height, width, channels] = shape, stride = width * channels;
  // Strides over rows of pixels follow the width.
  const follow = (attention: ModelAttention) =>
    mapPatterns(attention, (one) => one.pattern === "strided" && !Array.isArray(one.stride) ? { ...one, stride } : one);
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
      model: { ...model, n_ctx: height * stride, attention: follow(model.attention), position: { kind: "data", shape: [...shape] } },
      train: { ...chosen.train, phases },
    },
  };
}
