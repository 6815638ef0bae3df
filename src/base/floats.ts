/**
 * Arrays of floats as callers have them, f16 among them.
 *
 * @module
 */

import { fromHalves, toHalves } from "./half.ts";

/** A `Float16Array`, which not every TypeScript library declares. */
export interface HalfArray extends ArrayLike<number> {
  /** What tells it from other arrays. */
  readonly [Symbol.toStringTag]: "Float16Array";
}

/** Floats of f32 or f64, or of f16: as `Float16Array`, or in bits as `Uint16Array`. */
export type FloatArray = Float32Array | Float64Array | Uint16Array | HalfArray;

/** The name of a value's class: values come from other windows too, whose classes are others. */
export const classOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** Whether a value is an array of f16. */
export const isHalves = (value: unknown): value is Uint16Array | HalfArray => /^(Uint|Float)16Array$/.test(classOf(value));

/** Whether a value is an array of floats of any kind. */
export const isFloats = (value: unknown): value is FloatArray => isHalves(value) || /^Float(32|64)Array$/.test(classOf(value));

/** The numbers of an array, as engines take them. */
export function numbersOf(array: FloatArray): Float32Array | Float64Array {
  const name = classOf(array);
  return name === "Uint16Array"
    ? fromHalves(array as Uint16Array)
    : name === "Float16Array"
    ? Float32Array.from(array)
    : array as Float32Array | Float64Array;
}

/** Numbers as an array of the kind of `of`: f16 rounded to the nearest. */
export function likeArray<A extends FloatArray>(of: A, numbers: ArrayLike<number>): A {
  const name = classOf(of);
  if (name === classOf(numbers)) return numbers as unknown as A;
  if (name === "Uint16Array") return toHalves(numbers) as unknown as A;
  if (name === "Float64Array") return Float64Array.from(numbers) as unknown as A;
  if (name === "Float32Array") return Float32Array.from(numbers) as unknown as A;
  const Halves = (of as unknown as { constructor: new (bits: ArrayBuffer) => A }).constructor;
  return new Halves(toHalves(numbers).buffer);
}
