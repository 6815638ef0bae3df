/**
 * Buffers of a caller's as places of tensors: what is looked at before one is taken, and before kernels are bound to them.
 *
 * @module
 */

import { type BufferRange, isBuffer } from "../../base/buffers.ts";
import { expect } from "../../base/check.ts";
import { ConfigError, KernelError, ShapeError } from "../../base/errors.ts";
import type { Tensor } from "../../ops/mod.ts";
import { STAGE, USAGE } from "./flags.ts";
import { saying, scoped } from "./scopes.ts";
import type { Binding } from "./shader/reflect.ts";
import { isPacked, storedBytes } from "./storage.ts";

/**
 * Where a tensor would lie in a caller's buffer.
 *
 * @throws {ConfigError} where it is no buffer, or cannot be bound there: usage, alignment, another device
 * @throws {ShapeError} where it is too small, or has no place for the tensor's type
 */
export async function checkBuffer(
  device: GPUDevice,
  t: Tensor,
  given: BufferRange,
): Promise<{ buffer: GPUBuffer; offset: number }> {
  // A buffer has neither of the first two.
  const { buffer = given, offset = 0, size } = (given ?? {}) as GPUBufferBinding;
  const cannot = `Cannot adopt a buffer for ${t.name}`, align = device.limits.minStorageBufferOffsetAlignment;
  const refuse = (why: string) => new ConfigError(`${cannot}: ${why}`);
  if (!isBuffer(buffer)) throw refuse("it is no GPUBuffer; give one, or { buffer, offset }");
  expect(cannot, { offset: [offset, [0, Number.MAX_SAFE_INTEGER]] });
  if (t.scratch) throw new ShapeError(`${cannot}: it is a scratch tensor of a program, which compile places`);
  if (t.dtype === "f16" && !isPacked(t)) {
    throw new ShapeError(`${cannot}: its rows of ${t.shape.at(-1)} halves are kept in f32, as they are no multiple of 4; use f32`);
  }
  if (!(buffer.usage & USAGE.STORAGE)) throw refuse("the buffer was made without usage STORAGE");
  if (offset % align !== 0) {
    throw refuse(`offset is ${offset} and must be a multiple of ${align}, the device's minStorageBufferOffsetAlignment`);
  }
  if (buffer.mapState && buffer.mapState !== "unmapped") throw refuse(`the buffer is ${buffer.mapState}; unmap it first`);
  const bytes = storedBytes(t), room = Math.min(size ?? Infinity, buffer.size - offset);
  if (!(room >= bytes)) {
    throw new ShapeError(
      `${cannot}: [${t.shape.join(", ")}] of ${t.dtype} takes ${bytes} bytes, there are ${room} from offset ${offset} on`,
    );
  }
  await bindable(device, buffer, offset, refuse);
  return { buffer, offset };
}

/**
 * Refuses ranges of one buffer that overlap where one is written, as tensors in a caller's buffer may: some devices do not.
 *
 * @param declared what a kernel binds, in the order of the ranges
 * @throws {KernelError} naming both
 */
export function checkApart(cannot: string, declared: readonly Binding[], ranges: readonly GPUBufferBinding[]): void {
  ranges.forEach((a, at) => {
    if (!declared[at].writes) return;
    const other = ranges.findIndex((b) =>
      b !== a && b.buffer === a.buffer && b.offset! < a.offset! + a.size! && a.offset! < b.offset! + b.size!
    );
    if (other >= 0) {
      throw new KernelError(`${cannot} writes ${declared[at].name} over ${declared[other].name} in a caller's buffer; keep them apart`);
    }
  });
}

/** Binds a buffer once: no attribute tells its device, or that it was destroyed. */
async function bindable(device: GPUDevice, buffer: GPUBuffer, offset: number, refuse: (why: string) => ConfigError): Promise<void> {
  let error: unknown;
  try {
    const [, verdicts] = scoped(device, ["validation"], () => {
      const layout = device.createBindGroupLayout({ entries: [{ binding: 0, visibility: STAGE.COMPUTE, buffer: { type: "storage" } }] });
      device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer, offset, size: 4 } }] });
    });
    [error] = await verdicts;
  } catch (thrown) {
    error = thrown;
  }
  if (!error) return;
  const message = (error as GPUError).message ?? saying(error);
  throw refuse(`the engine's device cannot bind it: ${message}; give a live buffer of that device, engine.device`);
}
