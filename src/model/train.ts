/**
 * The program of a training step: forward, backward and update.
 *
 * @module
 */

import type { TrainConfig } from "../files/train_config.ts";
import type { BatchTensors } from "./batch.ts";
import type { Constants } from "./compile.ts";
import { Emitter } from "./emitter.ts";
import { emitUpdate, type OptimizerTensors } from "./optimizer.ts";
import { Parameters } from "./parameters.ts";
import { Program, type Tensor, tensor } from "../ops/mod.ts";

/** A step: forward, backward and update of `accumulate` micro-batches in one program. */
export interface TrainingProgram {
  readonly program: Program;
  /** One a micro-batch. */
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
  const e = new Emitter(program, params, train.batch, config.n_ctx, train.precision), { rows } = e;
  const grads = new Map(params.all.map((p, i) => [p, optimizer.grads[i]]));
  const grad = (name: string) => grads.get(params.get(name))!;
  const { seeds, loss } = optimizer;
  const kept = keepLogits ? tensor("logits", [rows, config.vocab_size], train.precision) : undefined;

  const batches = Array.from({ length: train.accumulate }, (_, micro) => {
    const batch = e.batchTensors(micro), accumulate = micro > 0;
    const dropout = (site: number) => config.dropout > 0 ? { p: config.dropout, site, micro, seeds } : undefined;
    const normBackward = (
      name: string,
      x: Tensor,
      { mean, rstd }: { mean: Tensor; rstd: Tensor },
      dy: Tensor,
      residual?: Tensor,
    ): Tensor => {
      const dx = e.matrix(`${name}.dx`, config.d_model), gain = params.get(`${name}.weight`);
      program.add({
        op: "layernorm_backward",
        x,
        gain,
        mean,
        rstd,
        dy,
        residual,
        dx,
        dGain: grad(`${name}.weight`),
        dBias: grad(`${name}.bias`),
        accumulate,
      });
      return dx;
    };
    const linearBackward = (name: string, dy: Tensor, x: Tensor, more: { pre?: Tensor; residual?: Tensor } = {}): Tensor => {
      const w = params.get(`${name}.weight`), dx = e.matrix(`${name}.dx`, w.shape[1]);
      program.add({
        op: "linear_weight_grad",
        dy,
        x,
        dw: grad(`${name}.weight`),
        db: name === "out" ? undefined : grad(`${name}.bias`),
        accumulate,
      });
      program.add({ op: "linear_input_grad", dy, w, dx, ...more });
      return dx;
    };
    const dropoutBackward = (site: number, dy: Tensor): Tensor => {
      const mask = dropout(site);
      if (!mask) return dy;
      const y = e.matrix(`dropout.${site}.dx`, config.d_model);
      program.add({ op: "dropout", x: dy, y, dropout: mask });
      return y;
    };

    // Forward. With recomputation a block keeps only its input; what `block` made is dropped and made again below.
    let h = e.embed(batch.tokens); // (R, d)
    const blocks = Array.from({ length: config.n_layer }, (_, layer) => {
      const made = e.block(layer, h, dropout, !train.recompute);
      h = e.blockOutput(layer, made, dropout);
      return made;
    });
    const { final, logits } = e.logits(h);
    if (kept) program.add({ op: "linear", x: final.y, w: params.get("out.weight"), y: kept });
    const losses = program.scratch("losses", [rows]), dLogits = e.matrix("logits.dx", config.vocab_size);
    const scale = 1 / (rows * train.accumulate), lossScale = train.precision === "f16" ? optimizer.lossScale : undefined;
    program.add({ op: "cross_entropy", logits, targets: batch.targets, losses, dLogits, scale, lossScale });
    program.add({ op: "sum", x: losses, y: loss, scale, accumulate: true });

    // Backward.
    let dh = normBackward("norm", h, final, linearBackward("out", dLogits, final.y)); // (R, d)
    for (let layer = config.n_layer - 1; layer >= 0; layer--) {
      const at = (name: string) => `layers.${layer}.${name}`;
      const { h: input, norm1, attended, h1, norm2, pre, active } = train.recompute
        ? e.block(layer, blocks[layer].h, dropout, true)
        : blocks[layer];
      const dPre = linearBackward(at("ff.w2"), dropoutBackward(2 * layer + 1, dh), active, { pre }); // (R, F)
      const dh1 = normBackward(at("ff.norm"), h1, norm2, linearBackward(at("ff.w1"), dPre, norm2.y), dh);
      const dO = linearBackward(at("attn.p"), dropoutBackward(2 * layer, dh1), attended.o);
      const dq = e.matrix(at("attn.dq"), config.d_qk),
        dk = e.matrix(at("attn.dk"), config.d_qk),
        dv = e.matrix(at("attn.dv"), config.d_model);
      const delta = program.scratch(at("attn.delta"), [train.batch, config.n_head, config.n_ctx]);
      program.add({ ...attended, op: "attention_backward", dO, delta, dq, dk, dv });
      let dNorm = linearBackward(at("attn.q"), dq, norm1.y);
      dNorm = linearBackward(at("attn.k"), dk, norm1.y, { residual: dNorm });
      dNorm = linearBackward(at("attn.v"), dv, norm1.y, { residual: dNorm });
      dh = normBackward(at("attn.norm"), input, norm1, dNorm, dh1);
    }
    const tables = e.tables(), orders = [batch.order, ...e.positionOrder.order], starts = [batch.starts, ...e.positionOrder.starts];
    tables.forEach((t, i) => {
      program.add({ op: "embedding_backward", dy: dh, order: orders[i], starts: starts[i], dTable: grads.get(t)!, accumulate });
    });
    return batch;
  });
  emitUpdate(program, params.all, optimizer, train);
  return { program, batches, logits: kept, constants: e.constants };
}
