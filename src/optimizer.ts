/**
 * The update of spec §3: global norm, clipping, Adam with decoupled decay, and the learning-rate schedule.
 *
 * @module
 */

import type { TrainConfig } from "./config.ts";
import { type Program, type Tensor, tensor } from "./ops.ts";

/** Tensors of the optimizer; lists are parallel to the parameters. */
export interface OptimizerTensors {
  /** Gradients of the step. */
  readonly grads: readonly Tensor[];
  /** First moments. */
  readonly m: readonly Tensor[];
  /** Second moments. */
  readonly v: readonly Tensor[];
  /** f32 [3], written before every step: {@linkcode hyperparameters}. */
  readonly hyper: Tensor;
  /** f32 [1]: squared global gradient norm of the last step. */
  readonly squareNorm: Tensor;
  /** f32 [1]: what clipping multiplied by; 0 where the step was skipped. */
  readonly factor: Tensor;
  /** u32 [2]: steps skipped for non-finite gradients, in all and in a row. */
  readonly skipped: Tensor;
  /** f32 [2]: the loss scale and the clean steps since it last changed; used where activations are f16. */
  readonly lossScale: Tensor;
}

/** Loss scale and clean steps before the first step (spec §3). */
export const LOSS_SCALE: readonly [number, number] = [2 ** 16, 0];

/** Makes the tensors for a list of parameters. */
export function optimizerTensors(params: readonly Tensor[]): OptimizerTensors {
  const like = (prefix: string) => params.map((p) => tensor(`${prefix}.${p.name}`, p.shape));
  return {
    grads: like("grad"),
    m: like("m"),
    v: like("v"),
    hyper: tensor("hyper", [3]),
    squareNorm: tensor("square_norm", [1]),
    factor: tensor("factor", [1]),
    skipped: tensor("skipped", [2], "u32"),
    lossScale: tensor("loss_scale", [2]),
  };
}

/** Appends norm, clip and Adam to a step's program. */
export function emitUpdate(program: Program, params: readonly Tensor[], o: OptimizerTensors, train: TrainConfig): void {
  program.add({ op: "square_norm", xs: o.grads, y: o.squareNorm });
  const lossScale = train.precision === "f16" ? o.lossScale : undefined;
  program.add({ op: "clip", squareNorm: o.squareNorm, factor: o.factor, skipped: o.skipped, maxNorm: train.clip, lossScale });
  program.add({
    op: "adam",
    params,
    grads: o.grads,
    m: o.m,
    v: o.v,
    decay: params.map((p) => p.shape.length === 2),
    factor: o.factor,
    hyper: o.hyper,
    beta1: train.beta1,
    beta2: train.beta2,
    eps: train.eps,
    weightDecay: train.weight_decay,
  });
}

/** The learning rate of update t, t from 0: linear warm-up, then half a cosine down to 0 at `steps`. */
export function learningRate(train: TrainConfig, t: number): number {
  const { lr, warmup, steps } = train;
  if (t < warmup) return lr * (t + 1) / warmup;
  return lr * 0.5 * (1 + Math.cos(Math.PI * (t - warmup) / Math.max(1, steps - warmup)));
}

/** What {@linkcode OptimizerTensors.hyper} holds for update t, t from 0. */
export function hyperparameters(train: TrainConfig, t: number): Float32Array {
  return Float32Array.of(learningRate(train, t), 1 / (1 - train.beta1 ** (t + 1)), 1 / (1 - train.beta2 ** (t + 1)));
}
