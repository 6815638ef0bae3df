/**
 * How a tensor is stored on the device: as which elements, in how many bytes, at which places.
 *
 * @module
 */

import { size, type Tensor } from "../../ops/mod.ts";
import type { Limits } from "./device.ts";
import type { Storage } from "./shader/specialise.ts";

/** Storage offsets are multiples of 256 bytes, so that is what every tensor is padded to in a page. */
export const ALIGNMENT = 256;

/** `value` rounded up to a multiple of `step`. */
export const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;

/**
 * Whether a tensor is stored in two bytes per element. Those of f16 whose rows are not a multiple of four are kept in f32:
 * kernels load four halves at a time.
 */
export const isPacked = (t: Tensor): boolean => t.dtype === "f16" && (t.shape.at(-1) ?? 1) % 4 === 0;

/** Bytes of an element. */
export const elementBytes = (t: Tensor): number => isPacked(t) ? 2 : t.dtype === "i8" ? 1 : 4;

/** Bytes of a tensor, whole words. */
export const storedBytes = (t: Tensor): number => roundUp(size(t) * elementBytes(t), 4);

/** Bytes of a tensor with its padding. */
export const paddedBytes = (t: Tensor): number => roundUp(storedBytes(t), ALIGNMENT);

/** How a kernel written for any storage meets a matrix. */
export function storageOf(t: Tensor): Storage {
  return isPacked(t) ? "f16x4" : t.shape.at(-1)! % 4 === 0 ? "f32x4" : "f32";
}

/** The same for kernels that know vec4 only. */
export const storage4 = (t: Tensor): Storage => isPacked(t) ? "f16x4" : "f32x4";

/** Elements of a storage's Value. */
export const valueWidth = (storage: Storage): number => storage === "f32" ? 1 : 4;

/** Rows and elements of a row: numbers of their own are rows of one element. */
export function rowsOf(t: Tensor): { rows: number; width: number } {
  const width = t.shape.length > 1 ? t.shape.at(-1)! : 1;
  return { rows: size(t) / width, width };
}

/** Bytes that one binding may have. */
export const bindable = (limits: Limits): number => Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
