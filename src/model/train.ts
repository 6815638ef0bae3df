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

/** A step: forward, backward and update of `accumulate` micro-batches in one program. */
export interface TrainingProgram {
  readonly program: Program;
  /** One per micro-batch. */
  readonly batches: readonly BatchTensors[];
  /** f32 [R, V]: logits of the last micro-batch, before the update. Only with `keepLogits`. */
  readonly logits?: Tensor;
  readonly constants: Constants;
}

/**
 * Writes the step's program.
 *
 * @param params tensors of the model
 * @param optimizer tensors of the update
 * @param train batch, accumulation, recomputation and the update's constants
 * @param keepLogits keep the logits for reading, for tests
 */
export function trainingProgram(params: Parameters, optimizer: OptimizerTensors, train: TrainConfig, keepLogits = false): TrainingProgram {
  const { config } = params, program = new Program("train");
  const e = new Emitter(program, params, train.batch, config.n_ctx, train.precision);
  const grads = new Map(params.all.map((p, i) => [p, optimizer.grads[i]]));
  const kept = keepLogits ? tensor("logits", [e.rows, outputsOf(config)], train.precision) : undefined;

  const batches = Array.from({ length: train.accumulate }, (_, micro) => {
    const batch = batchTensors(e.rows, config, micro);
    const dropout: DropoutAt = (site) => config.dropout > 0 ? { p: config.dropout, site, micro, seeds: optimizer.seeds } : undefined;
    const backward = new Backward(e, grads, dropout, micro > 0);

    // Forward. With recomputation a block keeps only its input; what `block` made is dropped and made again below.
    let h = e.embed(batch.tokens); // (R, d)
    const blocks = Array.from({ length: config.n_layer }, (_, layer) => {
      const made = e.block(layer, h, dropout, !train.recompute);
      h = e.blockOutput(layer, made, dropout);
      return made;
    });
    const { final, logits } = e.logits(h); // (R, V)
    if (kept) program.add({ op: "linear", x: final.y, w: params.get("out.weight"), y: kept });
    const dLogits = emitMeanLoss(e, logits, batch, optimizer, train);

    // Backward.
    let dh = backward.norm("norm", h, final, backward.linear("out", dLogits, final.y)); // (R, d)
    for (let layer = config.n_layer - 1; layer >= 0; layer--) {
      const made = train.recompute ? e.block(layer, blocks[layer].h, dropout, true) : blocks[layer];
      dh = backward.block(layer, made, dh);
    }
    backward.embed(batch, dh);
    return batch;
  });

  emitUpdate(program, params.all, optimizer, train);
  return { program, batches, logits: kept, constants: e.constants };
}

/** Adds a micro-batch's share to the step's mean loss, in nats or squares. Answers the gradient of its logits, (R, V). */
function emitMeanLoss(e: Emitter, logits: Tensor, batch: BatchTensors, optimizer: OptimizerTensors, train: TrainConfig): Tensor {
  const { program, rows, config } = e, losses = program.scratch("losses", [rows]), dLogits = e.matrix("logits.dx", outputsOf(config));
  // Of masked tokens the mean is over those that are to be predicted.
  const targets = config.objective === "masked" ? e.batch * maskedCount(e.n) : rows;
  const scale = 1 / (targets * train.accumulate), lossScale = train.precision === "f16" ? optimizer.lossScale : undefined;
  emitLoss(e, batch, { logits, losses, dLogits, scale, lossScale });
  program.add({ op: "sum", x: losses, y: optimizer.loss, scale, accumulate: true });
  return dLogits;
}
