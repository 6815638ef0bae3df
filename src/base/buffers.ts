/**
 * Buffers of a GPU that a caller made.
 *
 * @module
 */

/** A buffer, or a part of one: from `offset`, so many bytes. */
export type BufferRange = GPUBuffer | GPUBufferBinding;

/** Whether a value is a GPUBuffer, by what it can do: a runtime may have no global of that name. */
export const isBuffer = (value: unknown): value is GPUBuffer => typeof (value as { mapAsync?: unknown } | null)?.mapAsync === "function";

/** A buffer as the whole range of it. */
export const rangeOf = (range: BufferRange): GPUBufferBinding => isBuffer(range) ? { buffer: range } : range;

/** Whether a value is a buffer or names one. */
export const isRange = (value: unknown): value is BufferRange =>
  isBuffer(value) || isBuffer((value as { buffer?: unknown } | null)?.buffer);
