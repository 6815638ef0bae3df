/**
 * How a model is trained: its constants and their validation.
 *
 * @module
 */

import { type Allowed, expect, MOST, whole } from "../base/check.ts";
import { SEEDS, SEQUENCES } from "../base/limits.ts";
import { MODEL_FIELDS } from "./model_config.ts";
import type { ModelAttention } from "../pattern/sets.ts";

/** What takes gradients to steps: AdamW for everything, or Muon for the matrices of the blocks and AdamW for the rest. */
export type OptimizerName = "muon" | "adamw";

/** The names of {@linkcode OptimizerName}. */
export const OPTIMIZERS: readonly OptimizerName[] = ["muon", "adamw"];

/** How the learning rate falls after the warm-up: half a cosine, a line, or not at all. */
export type ScheduleName = "cosine" | "linear" | "constant";

/** The names of {@linkcode ScheduleName}. */
export const SCHEDULES: readonly ScheduleName[] = ["cosine", "linear", "constant"];

/** Which windows of the data steps see: any place, drawn anew each time, or all of its windows in a shuffled order, each once per epoch. */
export type WindowOrder = "drawn" | "shuffled";

/** The names of {@linkcode WindowOrder}. */
export const WINDOW_ORDERS: readonly WindowOrder[] = ["drawn", "shuffled"];

/** A beginning of a run in which the model sees less: fields left out are the run's own. Weights and moments go on into the next. */
export interface Phase {
  /** Where it ends, as a fraction of all steps, in (0, 1). */
  until: number;
  /** Positions of a sequence, at most the model's. */
  n_ctx?: number;
  /** Sequences of a micro-batch. */
  batch?: number;
  /** As that of a model. */
  attention?: ModelAttention;
}

/** Training constants with a run's choices. */
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
  /** Which windows of the data steps see. */
  windows: WindowOrder;
  /** Evaluations in a row without a better one after which the run ends; 0 for none. */
  patience: number;
}

/** The constants of section 6 of the paper where it has them. Muon, because it learns far sooner (docs/results.md), whatever its constants. */
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
  windows: "drawn",
  patience: 0,
};

/** Whether Muon updates a parameter: the matrices of the blocks, but those of gates, whose rows have nothing to do with each other. */
export function byMuon(name: string, shape: readonly number[], optimizer: OptimizerName): boolean {
  return optimizer === "muon" && shape.length === 2 && name.startsWith("layers.") && !name.includes(".gate.");
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
  windows: { oneOf: WINDOW_ORDERS },
  patience: whole(0, MOST),
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
