/**
 * The program of a training step: forward, backward and update.
 *
 * @module
 */

import { Program, type Tensor, tensor } from "../ops/mod.ts";
import { outputsOf } from "../files/model_config.ts";
import type { TrainConfig } from "../files/train_config.ts";
import { Backward } from "./backward.ts";
import { type BatchTensors, batchTensors } from "./batch.ts";
import type { Constants } from "./compile.ts";
import { type DropoutAt, Emitter } from "./emitter.ts";
import { maskedCount } from "./masks.ts";
import { emitUpdate, type OptimizerTensors } from "./optimizer.ts";
import type { Parameters } from "./parameters.ts";
import { emitLoss } from "./score.ts";
import { logitsOf, tokensBackward } from "./token_rows.ts";

/** A step: forward, backward and update of `accumulate` micro-batches in one program. */
export interface TrainingProgram {
  readonly program: Program;
  /** One per micro-batch. */
  readonly batches: readonly BatchTensors[];
  /** f32 [R, V]: logits of the last micro-batch, before the update. Only with `keepLogits`. */
  readonly logits?: Tensor;
  readonly constants: Constants;
}

/** Which sequences of an update one of several processes takes; `train` then counts its own. */
export interface Share {
  /** The first of its micro-batches. */
  readonly micro: number;
  /** The first of its sequences in each of them. */
  readonly row: number;
  /** Sequences of the update, of all processes. */
  readonly of: number;
  /** Which parameters it updates by Muon, by their numbers; all where absent. */
  readonly has?: (at: number) => boolean;
  /** Whether the loss is scaled though activations are f32: gradients go from process to process as f16. */
  readonly scaled?: boolean;
}

/**
 * Writes the step's program.
 *
 * @param params tensors of the model
 * @param optimizer tensors of the update
 * @param train batch, accumulation, recomputation and the update's constants
 * @param keepLogits keep the logits for reading, for tests
 * @param share what of the update it does, the whole by default: gradients and loss are then terms of the mean over all sequences
 */
export function trainingProgram(
  params: Parameters,
  optimizer: OptimizerTensors,
  train: TrainConfig,
  keepLogits = false,
  share: Share = { micro: 0, row: 0, of: train.batch * train.accumulate },
): TrainingProgram {
  const { config } = params, program = new Program("train");
  const e = new Emitter(program, params, train.batch, config.n_ctx, train.precision);
  const grads = new Map(params.all.map((p, i) => [p, optimizer.grads[i]]));
  const lossScale = train.precision === "f16" || share.scaled ? optimizer.lossScale : undefined;
  // Of masked tokens the mean is over those that are to be predicted.
  const scale = 1 / (share.of * (config.objective === "masked" ? maskedCount(config.n_ctx) : config.n_ctx));
  const kept = keepLogits ? tensor("logits", [e.batch * e.n, outputsOf(config)], train.precision) : undefined;

  const batches = Array.from({ length: train.accumulate }, (_, micro) => {
    const batch = batchTensors(e, micro);
    const drawn = {
      p: config.dropout,
      micro: share.micro + micro,
      first: share.row * (e.rows / e.batch) * config.d_model,
      seeds: optimizer.seeds,
    };
    const dropout: DropoutAt = (site) => config.dropout > 0 ? { ...drawn, site } : undefined;
    const backward = new Backward(e, grads, dropout, micro > 0);

    // Forward. With recomputation a block keeps only its input; what `block` made is dropped and made again below.
    let h = e.embed(batch.tokens); // (R, d)
    const blocks = Array.from({ length: config.n_layer }, (_, layer) => {
      const made = e.block(layer, h, dropout, !train.recompute);
      h = e.blockOutput(layer, made, dropout);
      return made;
    });
    const { final, x, logits } = logitsOf(e, h); // (batch · n, V)
    if (kept) program.add({ op: "linear", x, w: params.get("out.weight"), y: kept });
    const dLogits = emitMeanLoss(e, batch, logits, optimizer.loss, scale, lossScale);

    // Backward.
    let dh = backward.norm("norm", h, final, tokensBackward(e, backward.linear("out", dLogits, x), "norm.tokens")); // (R, d)
    for (let layer = config.n_layer - 1; layer >= 0; layer--) {
      const made = train.recompute ? e.block(layer, blocks[layer].h, dropout, true) : blocks[layer];
      dh = backward.block(layer, made, dh);
    }
    backward.embed(batch, dh);
    return batch;
  });

  emitUpdate(program, params.all, optimizer, train, lossScale, share.has);
  return { program, batches, logits: kept, constants: e.constants };
}

/**
 * Adds a micro-batch's share, `scale` of its sum, to the step's mean loss, in nats or squares. Answers the gradient of its logits,
 * (batch · n, V).
 */
function emitMeanLoss(e: Emitter, batch: BatchTensors, logits: Tensor, loss: Tensor, scale: number, lossScale: Tensor | undefined): Tensor {
  const { program, config } = e, rows = e.batch * e.n, losses = program.scratch("losses", [rows]);
  const dLogits = e.matrix("logits.dx", outputsOf(config), rows);
  emitLoss(e, batch, { logits, losses, dLogits, scale, lossScale });
  program.add({ op: "sum", x: losses, y: loss, scale, accumulate: true });
  return dLogits;
}
