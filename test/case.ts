/**
 * A case of the conformance suite as data: a small problem with a name, and fields by which it is picked.
 *
 * @module
 */

import { Random } from "../src/base/random.ts";
import "../src/ops/late.gen.ts";
import "../src/ops/apart.gen.ts";
import { activations, type DType, type Op, size, type Tensor, tensor, type TensorData } from "../src/ops/mod.ts";

/** Inputs, operations and the tensors to compare; a case's `build` fills it in. */
export class Problem {
  readonly inputs = new Map<Tensor, TensorData>();
  /** What is compared. */
  readonly outputs: Tensor[] = [];
  /** Those of the outputs that are inputs too. */
  readonly updated: Tensor[] = [];
  readonly ops: Op[] = [];
  readonly #random: Random;

  /** @param name the seed of its numbers */
  constructor(name: string) {
    let seed = 7;
    for (const char of name) seed = Math.imul(seed, 31) + char.charCodeAt(0) >>> 0;
    this.#random = new Random(seed, 1);
  }

  /** An input of normal numbers, rounded to f32. */
  f32(name: string, shape: readonly number[], deviation = 1): Tensor {
    const t = tensor(name, shape);
    this.inputs.set(t, Float32Array.from({ length: size(t) }, () => this.#random.normal() * deviation));
    return t;
  }

  /** Weights of int8. */
  i8(name: string, shape: readonly number[]): Tensor {
    const t = tensor(name, shape, "i8");
    this.inputs.set(t, Int8Array.from({ length: size(t) }, () => this.#random.below(255) - 127));
    return t;
  }

  /** An input of given numbers. */
  values(name: string, ...values: number[]): Tensor {
    const t = tensor(name, [values.length]);
    this.inputs.set(t, Float32Array.from(values));
    return t;
  }

  /** An input of given integers. */
  u32(name: string, shape: readonly number[], value: (i: number) => number): Tensor {
    const t = tensor(name, shape, "u32");
    this.inputs.set(t, Uint32Array.from({ length: size(t) }, (_, i) => value(i)));
    return t;
  }

  /** An input of those integers. */
  words(name: string, shape: readonly number[], data: Uint32Array): Tensor {
    const t = tensor(name, shape, "u32");
    this.inputs.set(t, data);
    return t;
  }

  /** A seeded integer below `limit`. */
  below(limit: number): number {
    return this.#random.below(limit);
  }

  /** An output; poisoned before the run, so that an element left unwritten shows. */
  out(name: string, shape: readonly number[], dtype: DType = "f32"): Tensor {
    const t = tensor(name, shape, dtype);
    this.inputs.set(t, dtype === "u32" ? new Uint32Array(size(t)) : new Float32Array(size(t)).fill(NaN));
    this.outputs.push(t);
    return t;
  }

  /** Marks an input as updated in place. */
  update(t: Tensor): Tensor {
    this.outputs.push(t);
    this.updated.push(t);
    return t;
  }

  /** A tensor updated in place. */
  inOut(name: string, shape: readonly number[], deviation = 1): Tensor {
    return this.update(this.f32(name, shape, deviation));
  }

  /** u32 [2]: seed and step. */
  seeds(): Tensor {
    return this.u32("seeds", [2], (i) => [12345, 678][i]);
  }

  /**
   * Its tensors as a caller allocates them: what is only read together, what is updated together, each output alone. So kernels are those
   * of training, whose activations have slots of their own: an operand that lay beside an output would be declared otherwise, and the
   * kernel compiled once more, which took llvmpipe a minute for wide heads.
   */
  get pages(): Tensor[][] {
    const { inputs, outputs, updated } = this, read = [...inputs.keys()].filter((t) => !outputs.includes(t));
    return [read, updated, ...outputs.filter((t) => !updated.includes(t)).map((t) => [t])].filter((page) => page.length > 0);
  }
}

/** What a field holds; `tags` are a list. */
export type Value = string | number | boolean;

/** What a case is about: sizes, pattern, options of its operation by their own names. */
export interface Fields {
  /** The operation, the first of the case's program. */
  readonly op: Op["op"];
  /** How activations and their gradients are stored; f32 where absent. */
  readonly dtype?: "f32" | "f16";
  /**
   * What it has beside: `whole` marks what does not split by nature, a tensor of a decoded position that one binding must hold.
   */
  readonly tags?: readonly string[];
  readonly [field: string]: Value | readonly string[] | undefined;
}

/** A problem with a name, which seeds its numbers, and fields. */
export class Case {
  readonly fields: Fields & { readonly dtype: "f32" | "f16"; readonly tags: readonly string[] };
  readonly #build: (c: Problem) => void;
  #problem?: Problem;

  constructor(readonly name: string, fields: Fields, build: (c: Problem) => void) {
    this.fields = { ...fields, dtype: fields.dtype ?? "f32", tags: fields.tags ?? [] };
    this.#build = build;
  }

  /** The problem, made when it is asked for first. */
  get problem(): Problem {
    if (!this.#problem) this.#build(this.#problem = new Problem(this.name));
    return this.#problem;
  }

  #half?: Case | null;

  /** The same case with its activations stored in f16, inputs rounded to it; undefined where it has none. */
  get half(): Case | undefined {
    return (this.#half ??= halved(this)) ?? undefined;
  }
}

function halved(c: Case): Case | null {
  const { inputs, outputs, updated, ops } = c.problem, twins = new Map<Tensor, Tensor>();
  for (const t of ops.flatMap(activations)) twins.set(t, { ...t, dtype: "f16" });
  if (twins.size === 0) return null;
  const twin = (t: Tensor) => twins.get(t) ?? t;
  return new Case(`${c.name}, f16`, { ...c.fields, dtype: "f16" }, (half) => {
    for (const [t, data] of inputs) half.inputs.set(twin(t), twins.has(t) ? Float32Array.from(data, (x) => Math.f16round(x)) : data);
    half.outputs.push(...outputs.map(twin));
    half.updated.push(...updated.map(twin));
    for (const op of ops) {
      const twinOf = (value: unknown): unknown => Array.isArray(value) ? value.map(twinOf) : twin(value as Tensor);
      const fields = Object.entries(op).map(([name, value]) => [name, twinOf(value)]);
      half.ops.push(Object.fromEntries(fields) as Op);
    }
  });
}
