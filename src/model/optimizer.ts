/**
 * The update of a step: global norm, clipping, Muon for the matrices of the blocks, Adam with decoupled decay for the rest, and schedules.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import "../ops/late.gen.ts";
import { HYPER, type Program, type Tensor, tensor } from "../ops/mod.ts";
import { byMuon, type TrainConfig } from "../files/train_config.ts";

/** Tensors of a run beside its parameters, the same in all its phases; `grads` and `m` are parallel to the parameters. */
export interface OptimizerTensors {
  /** Gradients of the step. */
  readonly grads: readonly Tensor[];
  /** First moments of AdamW, momentum of Muon. */
  readonly m: readonly Tensor[];
  /** Second moments, of the parameters that AdamW updates. */
  readonly v: readonly Tensor[];
  /** f32 [{@linkcode AHEAD}, HYPER], written before every step: {@linkcode scheduleRows}. */
  readonly schedule: Tensor;
  /** u32 [1], written with it: steps skipped in all that it knows of. */
  readonly known: Tensor;
  /** f32 [HYPER]: the row that counted. */
  readonly hyper: Tensor;
  /** u32 [2], written before every step: the run's seed, and step · accumulate. */
  readonly seeds: Tensor;
  /** f32 [1]: grows by the step's mean loss, in nats. */
  readonly loss: Tensor;
  /** f32 [1]: squared global gradient norm of the last step. */
  readonly squareNorm: Tensor;
  /** f32 [1]: what clipping multiplied by; 0 where the step was skipped. */
  readonly factor: Tensor;
  /** u32 [2]: steps skipped for non-finite gradients, in all and in a row. */
  readonly skipped: Tensor;
  /** f32 [2]: the loss scale and the clean steps since it last changed; used where activations are f16. */
  readonly lossScale: Tensor;
}

/** Loss scale and clean steps before the first step. */
export const LOSS_SCALE: readonly [number, number] = [2 ** 16, 0];

/** Steps submitted before the host asks the device how many were skipped: the wait costs more than a small step does, so not every step. */
export const AHEAD = 8;

/** Makes the tensors for a list of parameters. */
export function optimizerTensors(params: readonly Tensor[], optimizer: TrainConfig["optimizer"]): OptimizerTensors {
  const like = (prefix: string, of = params) => of.map((p) => tensor(`${prefix}.${p.name}`, p.shape));
  return {
    grads: like("grad"),
    m: like("m"),
    v: like("v", params.filter(({ name, shape }) => !byMuon(name, shape, optimizer))),
    seeds: tensor("seeds", [2], "u32"),
    loss: tensor("loss", [1]),
    schedule: tensor("schedule", [AHEAD, HYPER]),
    known: tensor("known", [1], "u32"),
    hyper: tensor("hyper", [HYPER]),
    squareNorm: tensor("square_norm", [1]),
    factor: tensor("factor", [1]),
    skipped: tensor("skipped", [2], "u32"),
    lossScale: tensor("loss_scale", [2]),
  };
}

/** Those that are no list: to allocate and write. */
export function optimizerState(o: OptimizerTensors): Tensor[] {
  return [o.seeds, o.loss, o.schedule, o.known, o.hyper, o.squareNorm, o.factor, o.skipped, o.lossScale];
}

/**
 * Appends norm, clip, AdamW and Muon to a step's program.
 *
 * @param lossScale what gradients are multiplied by, where they are
 * @param has which parameters are updated by Muon here, by their numbers: all, unless processes share them out
 */
export function emitUpdate(
  program: Program,
  params: readonly Tensor[],
  o: OptimizerTensors,
  train: TrainConfig,
  lossScale: Tensor | undefined,
  has: (at: number) => boolean = () => true,
): void {
  const { squareNorm, factor, skipped, schedule, known, hyper } = o;
  program.add({ op: "square_norm", xs: o.grads, y: squareNorm });
  program.add({ op: "clip", squareNorm, factor, skipped, maxNorm: train.clip, lossScale, schedule, known, hyper });
  const hidden = params.map(({ name, shape }) => byMuon(name, shape, train.optimizer));
  const adam = <T>(list: readonly T[]) => list.filter((_, at) => !hidden[at]),
    muon = <T>(list: readonly T[]) => list.filter((_, at) => hidden[at] && has(at));
  program.add({
    op: "adam",
    params: adam(params),
    grads: adam(o.grads),
    m: adam(o.m),
    v: o.v,
    decay: adam(params).map((p) => p.shape.length === 2),
    factor,
    hyper,
    beta1: train.beta1,
    beta2: train.beta2,
    eps: train.eps,
    weightDecay: train.weight_decay,
  });
  if (muon(params).length === 0) return;
  program.add({
    op: "muon",
    params: muon(params),
    grads: muon(o.grads),
    m: muon(o.m),
    factor,
    hyper,
    momentum: train.momentum,
    weightDecay: train.weight_decay,
    dtype: train.precision,
  });
}

/** AdamW's rate of update t, t from 0; skipped steps do not count. Muon's is muon_lr · rate(t) / lr, so that both rise and fall together. */
export type LearningRate = (t: number, train: TrainConfig) => number;

/** The learning rate of update t, t from 0: linear warm-up, then as `schedule` says down to lr_min·lr at `steps`. */
export const learningRate: LearningRate = (t, { lr, lr_min, warmup, steps, schedule }) => {
  if (t < warmup) return lr * (t + 1) / warmup;
  const done = Math.min(1, (t - warmup) / Math.max(1, steps - warmup));
  const left = schedule === "constant" ? 1 : schedule === "linear" ? 1 - done : 0.5 * (1 + Math.cos(Math.PI * done));
  return lr * (lr_min + (1 - lr_min) * left);
};

/**
 * What {@linkcode OptimizerTensors.schedule} holds before a step: the constants of update t in its first row, in the next those of t − 1,
 * for the case that a step was skipped of which the host does not know yet, and so on.
 *
 * @param t updates applied so far, as far as the host knows
 * @throws {ConfigError} where the caller's rate is not a finite number from 0
 */
export function scheduleRows(train: TrainConfig, t: number, rate: LearningRate = learningRate): Float32Array {
  const rows = new Float32Array(AHEAD * HYPER);
  for (let row = 0; row < AHEAD; row++) {
    const update = Math.max(0, t - row), lr = rate(update, train);
    expect("Cannot train", { [`the learning rate of update ${update}`]: [lr, { from: 0 }] });
    const corrections = [train.beta1, train.beta2].map((beta) => 1 / (1 - beta ** (update + 1)));
    rows.set([lr, ...corrections, train.muon_lr * lr / train.lr], row * HYPER);
  }
  return rows;
}
