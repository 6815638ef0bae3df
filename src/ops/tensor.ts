/**
 * Tensors: named, shaped places for numbers.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { excerpt, ShapeError } from "../base/errors.ts";

/**
 * What a tensor's elements are. `f16` is storage only, for activations and their gradients: sums and statistics are f32
 * in every engine, and an engine may store more precisely than asked (reference and WASM do). `i8` is for weights of finished models, beside
 * an f32 scale per row: kernels decode them, w = scale·i8.
 */
export type DType = "f32" | "f16" | "u32" | "i8";

/** A named, shaped place for numbers; identity is the object's. Where the numbers live is the engine's business. */
export interface Tensor {
  /** For messages and dumps; names of parameters are those on disk. */
  readonly name: string;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Element type. */
  readonly dtype: DType;
  /** Scratch tensors live inside one run of one program and share an arena; all others persist in the engine. */
  readonly scratch: boolean;
}

/** Numbers going into or coming out of a tensor. The reference engine answers with Float64Array. */
export type TensorData = Float32Array | Float64Array | Uint32Array | Int8Array;

/**
 * Makes a persistent tensor.
 *
 * @throws {ConfigError} where the name is no string, or a size is not a whole number
 */
export function tensor(name: string, shape: readonly number[], dtype: DType = "f32"): Tensor {
  expect("Cannot make a tensor", { name: [name, "a string"], shape: [shape, "a list"], dtype: [dtype, "a string"] });
  for (const length of shape) expect(`Cannot make tensor ${excerpt(name)}`, { "each size": [length, [0, MOST]] });
  return { name, shape, dtype, scratch: false };
}

/** Number of elements. */
export function size(t: Tensor): number {
  return t.shape.reduce((a, b) => a * b, 1);
}

/**
 * First element of a range of a tensor's outermost dimension, and the number of elements; the whole tensor by default.
 *
 * @throws {ShapeError} where there is no such range
 */
export function extent(t: Tensor, range?: readonly [number, number]): { first: number; count: number } {
  if (!range) return { first: 0, count: size(t) };
  const [from, to] = range, [rows] = t.shape, row = size(t) / rows;
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= rows)) {
    throw new ShapeError(`Cannot read ${t.name} [${t.shape.join(", ")}] from ${from} to ${to}: its outermost dimension has ${rows}`);
  }
  return { first: from * row, count: (to - from) * row };
}
