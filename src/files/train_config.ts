/**
 * How a model is trained: the constants of spec §3 and their validation.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError, excerpt } from "../base/errors.ts";
import type { AttentionConfig } from "../pattern/sets.ts";
import { oneOf, whole } from "./fields.ts";

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
  range("lr_min", 0, 1);
  range("muon_lr", 1e-12, 100);
  range("momentum", 0, 0.9999999);
  oneOf("train", fields, "schedule", SCHEDULES);
  oneOf("train", fields, "optimizer", OPTIMIZERS);
  if (typeof train.recompute !== "boolean") {
    throw new ConfigError(`Cannot train: recompute must be true or false, current value is ${JSON.stringify(train.recompute)}`);
  }
  oneOf("train", fields, "precision", ["f32", "f16"]);
  checkPhases(train.phases);
  return train;
}

function checkPhases(phases: unknown): void {
  const fail = (what: string): never => {
    throw new ConfigError(`Cannot train: ${what}`);
  };
  const shown = (value: unknown) => excerpt(String(JSON.stringify(value)));
  if (!Array.isArray(phases)) return fail(`phases must be a list, current value is ${shown(phases)}`);
  let before = 0;
  phases.forEach((phase: Phase, at) => {
    if (typeof phase !== "object" || phase === null) fail(`phases[${at}] must be an object, current value is ${shown(phase)}`);
    const unknown = Object.keys(phase).find((name) => !["until", "n_ctx", "batch", "attention"].includes(name));
    if (unknown !== undefined) fail(`phases[${at}] has an unknown field ${excerpt(unknown)}, known are until, n_ctx, batch, attention`);
    const { until } = phase;
    if (typeof until !== "number" || !(until > before && until < 1)) {
      fail(`phases[${at}].until must be above ${before} and below 1, current value is ${shown(until)}`);
    }
    before = until;
    for (const [name, high] of [["n_ctx", 2 ** 24], ["batch", 2 ** 16]] as const) {
      if (phase[name] !== undefined) inPhase(at, () => whole(phase as unknown as Record<string, unknown>, name, 1, high));
    }
  });
}

/** What is wrong within a phase is said of it. */
export function inPhase<T>(index: number, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`Cannot train: phases[${index}]: ${error.message}`) : error;
  }
}
