/**
 * The backward pass of the Sparse Transformer: each method is that of the {@linkcode Emitter}'s of the same name.
 *
 * Gradients of weights are written by the first micro-batch (`=`) and added to by the others (`+=`); those of activations are scratch.
 *
 * @module
 */

import { sortByIndex } from "../base/sort.ts";
import "../ops/late.gen.ts";
import type { Tensor } from "../ops/mod.ts";
import type { BatchTensors } from "./batch.ts";
import type { Block, DropoutAt, Emitter, Normed } from "./emitter.ts";
import { LATE } from "./late.ts";

/** Rows by the entry of a positional table that they read, for its gradient; written once. One of each per table. */
interface PositionOrder {
  /** u32 [R] */
  readonly order: readonly Tensor[];
  /** u32 [size + 1] */
  readonly starts: readonly Tensor[];
}

const ORDERS = new WeakMap<Emitter, PositionOrder>();

/** What the gradients of the positional tables read, the same for every micro-batch. */
function orderOf(e: Emitter): PositionOrder {
  const known = ORDERS.get(e);
  if (known) return known;
  const tables = e.tables().tables.slice(1);
  const sorted = e.positionData(e.positions).map((index, table) => {
    const rows = new Uint32Array(e.rows);
    for (let first = 0; first < rows.length; first += index.length) rows.set(index, first);
    return sortByIndex(rows, tables[table].shape[0]);
  });
  const made = {
    order: sorted.map(({ order }, table) => e.constant(`position_order.${table}`, order)),
    starts: sorted.map(({ starts }, table) => e.constant(`position_starts.${table}`, starts)),
  };
  ORDERS.set(e, made);
  return made;
}

/** Emits the backward pass of one micro-batch. */
export class Backward {
  /**
   * @param e what emitted the forward pass
   * @param grads the gradient of each parameter
   * @param dropout as in the forward pass
   * @param accumulate whether gradients of weights are added to: all micro-batches but the first
   */
  constructor(
    readonly e: Emitter,
    readonly grads: ReadonlyMap<Tensor, Tensor>,
    readonly dropout: DropoutAt,
    readonly accumulate: boolean,
  ) {}

  #grad(name: string): Tensor {
    return this.grads.get(this.e.params.get(name))!;
  }

  /** The gradient of a norm's input, and of what went around it if `residual` is that. */
  norm(name: string, x: Tensor, { mean, rstd }: Normed, dy: Tensor, residual?: Tensor): Tensor {
    const { e, accumulate } = this, { gain } = e.normOf(name), dx = e.matrix(`${name}.dx`, e.config.d_model);
    const dGain = this.#grad(`${name}.weight`), dBias = this.#grad(`${name}.bias`);
    e.program.add({ op: "layernorm_backward", x, gain, mean, rstd, dy, residual, dx, dGain, dBias, accumulate });
    return dx;
  }

  /** The gradient of x where dy is that of x·Wᵀ + b, of the activation's input where `pre` is that, with `residual` added. */
  linear(name: string, dy: Tensor, x: Tensor, more: { pre?: Tensor; residual?: Tensor } = {}): Tensor {
    const { e, accumulate } = this, w = e.params.get(`${name}.weight`), dx = e.matrix(`${name}.dx`, w.shape[1], dy.shape[0]);
    const dw = this.#grad(`${name}.weight`), db = name === "out" ? undefined : this.#grad(`${name}.bias`);
    e.program.add({ op: "linear_weight_grad", dy, x, dw, db, accumulate });
    e.program.add({ op: "linear_input_grad", dy, w, dx, ...more });
    return dx;
  }

  /** dy through the mask that the forward pass drew at that site. */
  #dropped(site: number, dy: Tensor): Tensor {
    const { e } = this, dropout = this.dropout(site);
    if (!dropout) return dy;
    const y = e.matrix(`dropout.${site}.dx`, e.config.d_model);
    e.program.add({ op: "dropout", x: dy, y, dropout });
    return y;
  }

  /**
   * The gradient of a block's input.
   *
   * @param dh (R, d): that of its output
   */
  block(layer: number, made: Block, dh: Tensor): Tensor {
    const { h, norm1, attended, routed, h1, norm2, pre, active } = made;
    const { e } = this, { config, program } = e, at = (name: string) => `layers.${layer}.${name}`;
    const dPre = this.linear(at("ff.w2"), this.#dropped(2 * layer + 1, dh), active, { pre }); // (R, F)
    const dh1 = this.norm(at("ff.norm"), h1, norm2, this.linear(at("ff.w1"), dPre, norm2.y), dh);
    const dO = this.linear(at("attn.p"), this.#dropped(2 * layer, dh1), attended.o);
    const dq = e.matrix(at("attn.dq"), config.d_qk),
      dk = e.matrix(at("attn.dk"), config.d_qk),
      dv = e.matrix(at("attn.dv"), config.d_model);
    let dNorm: Tensor | undefined;
    if (routed) dNorm = LATE.routed!.attendBackward(this, layer, made, dO, [dq, dk, dv]);
    else {
      const delta = program.scratch(at("attn.delta"), [e.batch, config.n_head, e.length]);
      program.add({ ...attended, op: "attention_backward", dO, delta, dq, dk, dv });
    }
    dNorm = this.linear(at("attn.q"), dq, norm1.y, { residual: dNorm });
    dNorm = this.linear(at("attn.k"), dk, norm1.y, { residual: dNorm });
    dNorm = this.linear(at("attn.v"), dv, norm1.y, { residual: dNorm });
    return this.norm(at("attn.norm"), h, norm1, dNorm, dh1);
  }

  /** The gradients of the token table and the positional ones. */
  embed({ order, starts }: BatchTensors, dy: Tensor): void {
    const { e, accumulate } = this, positionOrder = orderOf(e);
    const orders = [order, ...positionOrder.order], begins = [starts, ...positionOrder.starts];
    e.tables().tables.forEach((table, at) => {
      const dTable = this.grads.get(table)!;
      e.program.add({ op: "embedding_backward", dy, order: orders[at], starts: begins[at], dTable, accumulate });
    });
  }
}
