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
  streamOneByOne,
  type Tensor,
  type TensorData,
} from "../../ops/mod.ts";
import { ShapeError } from "../../base/errors.ts";
import { ORACLES } from "./index.gen.ts";
import type { Oracle, Values } from "./values.ts";

/** Numbers of scratch tensors. */
type Scratch = Map<Tensor, Float64Array>;

/** The oracle. Scratch tensors start as NaN in every run, so that an element read before it is written shows. */
export class ReferenceEngine implements Engine {
  readonly name = "reference";
  readonly description = "reference: plain float64 loops, one thread";
  // As on one core of the CPU engine; either way it is slow.
  readonly sideBySide = 16;
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
    let scratch: Scratch = new Map();
    const part = (from: number, to: number) => {
      if (from === 0) scratch = new Map();
      this.#run(program.ops.slice(from, to), scratch);
      return Promise.resolve();
    };
    const run = async (times = 1) => {
      for (let time = 0; time < times; time++) await part(0, program.ops.length);
      scratch = new Map();
    };
    return Promise.resolve({ scratchBytes, run, part, stream: (options) => streamOneByOne(this, run, options), dispose: () => {} });
  }

  #run(ops: readonly Op[], scratch: Scratch): void {
    const values: Values = (t) => {
      if (!t.scratch) return this.#persistent(t);
      let made = scratch.get(t);
      if (!made) scratch.set(t, made = new Float64Array(size(t)).fill(NaN));
      return made;
    };
    // Each oracle is given operations of its own name.
    for (const op of ops) (ORACLES[op.op] as Oracle<Op>)(op, values);
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
