/**
 * The reference engine: every operation of the contract in plain float64 loops, as close to the formulas as code
 * gets and with no thought of speed. The other engines are held against it; finite differences hold it itself.
 *
 * @module
 */

import {
  type Engine,
  type Executable,
  extent,
  lifetimes,
  type Op,
  type Program,
  size,
  type Tensor,
  type TensorData,
} from "../../ops/mod.ts";
import { ShapeError } from "../../base/errors.ts";
import { adam } from "./adam.ts";
import { attention, attentionBackward, attentionDecode } from "./attention.ts";
import { cacheFill } from "./cache_fill.ts";
import { choose } from "./choose.ts";
import { crossEntropy } from "./cross_entropy.ts";
import { dropout } from "./dropout.ts";
import { embedding, embeddingBackward, embeddingDecode } from "./embedding.ts";
import { layernorm, layernormBackward } from "./layernorm.ts";
import { linear, linearInputGrad, linearWeightGrad } from "./linear.ts";
import { muon } from "./muon.ts";
import { clip, squareNorm, sum } from "./norm.ts";

/** Where an operation finds a tensor's numbers. Integers are kept as float64 too: u32 fits. */
export type Values = (t: Tensor) => Float64Array;

function execute(op: Op, values: Values): void {
  switch (op.op) {
    case "embedding":
      return embedding(op, values);
    case "embedding_decode":
      return embeddingDecode(op, values);
    case "embedding_backward":
      return embeddingBackward(op, values);
    case "layernorm":
      return layernorm(op, values);
    case "layernorm_backward":
      return layernormBackward(op, values);
    case "linear":
      return linear(op, values);
    case "linear_input_grad":
      return linearInputGrad(op, values);
    case "linear_weight_grad":
      return linearWeightGrad(op, values);
    case "dropout":
      return dropout(op, values);
    case "attention":
      return attention(op, values);
    case "attention_backward":
      return attentionBackward(op, values);
    case "attention_decode":
      return attentionDecode(op, values);
    case "cache_fill":
      return cacheFill(op, values);
    case "choose":
      return choose(op, values);
    case "cross_entropy":
      return crossEntropy(op, values);
    case "sum":
      return sum(op, values);
    case "square_norm":
      return squareNorm(op, values);
    case "clip":
      return clip(op, values);
    case "adam":
      return adam(op, values);
    case "muon":
      return muon(op, values);
  }
}

/** The oracle. Scratch tensors start as NaN in every run, so that an element read before it is written shows. */
export class ReferenceEngine implements Engine {
  readonly name = "reference";
  readonly description = "reference: plain float64 loops, one thread";
  readonly deferred = false;
  readonly #tensors = new Map<Tensor, Float64Array>();

  allocate(tensors: readonly Tensor[]): void {
    const placed = tensors.find((t) => this.#tensors.has(t));
    if (placed) throw new ShapeError(`Cannot allocate ${placed.name}: it already has a place; free it first`);
    for (const t of tensors) this.#tensors.set(t, new Float64Array(size(t)));
  }

  free(tensors: readonly Tensor[]): void {
    for (const t of tensors) this.#tensors.delete(t);
  }

  write(t: Tensor, data: TensorData): void {
    if (data.length !== size(t)) throw new ShapeError(`Cannot write ${t.name}: it has ${size(t)} elements, got ${data.length}`);
    this.#persistent(t).set(data);
  }

  async read(t: Tensor, range?: readonly [number, number]): Promise<TensorData> {
    const { first, count } = extent(t, range), values = this.#persistent(t).slice(first, first + count);
    return await Promise.resolve(t.dtype === "u32" ? Uint32Array.from(values) : values);
  }

  compile(program: Program): Promise<Executable> {
    let scratchBytes = 0;
    for (const t of lifetimes(program).keys()) scratchBytes += size(t) * 8;
    return Promise.resolve({
      scratchBytes,
      run: (times = 1) => {
        for (let time = 0; time < times; time++) this.#run(program);
        return Promise.resolve();
      },
      dispose: () => {},
    });
  }

  #run(program: Program): void {
    const scratch = new Map<Tensor, Float64Array>();
    const values: Values = (t) => {
      if (!t.scratch) return this.#persistent(t);
      let made = scratch.get(t);
      if (!made) scratch.set(t, made = new Float64Array(size(t)).fill(NaN));
      return made;
    };
    for (const op of program.ops) execute(op, values);
  }

  dispose(): void {
    this.#tensors.clear();
  }

  #persistent(t: Tensor): Float64Array {
    const values = this.#tensors.get(t);
    if (!values) throw new ShapeError(`Cannot use tensor ${t.name}: it is not allocated on this engine`);
    return values;
  }
}
