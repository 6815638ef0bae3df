/**
 * The program that scores sequences: forward only, the loss of every position.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import "../ops/late.gen.ts";
import { type CrossEntropy, Program, type Tensor, tensor } from "../ops/mod.ts";
import { type BatchTensors, batchTensors } from "./batch.ts";
import type { Constants } from "./compile.ts";
import { Emitter } from "./emitter.ts";
import type { Parameters } from "./parameters.ts";
import { logitsOf } from "./token_rows.ts";

/** Forward only: the loss of every position. */
export interface ScoringProgram {
  readonly program: Program;
  readonly batch: BatchTensors;
  /** f32 [R]: nats. */
  readonly losses: Tensor;
  readonly constants: Constants;
}

/**
 * Writes the program that scores `batch` sequences.
 *
 * @param n tokens of each, at most n_ctx
 */
export function scoringProgram(params: Parameters, batch: number, n: number = params?.config?.n_ctx): ScoringProgram {
  expect("Cannot score", { parameters: [params, "an object"], config: [params?.config, "an object"], batch: [batch, [1, 65536]] });
  const { config } = params, program = new Program("score"), e = new Emitter(program, params, batch, n);
  const inputs = batchTensors(e), losses = tensor("losses", [batch * n]);
  let h = e.embed(inputs.tokens);
  for (let layer = 0; layer < config.n_layer; layer++) h = e.forward(layer, h);
  emitLoss(e, inputs, { logits: logitsOf(e, h).logits, losses, scale: 1 });
  return { program, batch: inputs, losses, constants: e.constants };
}

/** What the model says against what it should, and the gradient of what it says where that is wanted. */
export function emitLoss(
  { program, config: { objective } }: Emitter,
  { targets, weights }: BatchTensors,
  { logits, losses, dLogits, scale, lossScale }: Omit<CrossEntropy, "op" | "targets">,
): void {
  if (objective !== "squared" && objective !== "logistic") {
    return program.add({ op: "cross_entropy", logits, targets, losses, dLogits, scale, lossScale });
  }
  program.add({ op: "score_loss", kind: objective, x: logits, targets, weights: weights!, losses, dX: dLogits, scale, lossScale });
}
