/**
 * Buffers of a caller's as places of tensors: what is looked at before one is taken.
 *
 * @module
 */

import { type BufferRange, isBuffer } from "../../base/buffers.ts";
import { expect } from "../../base/check.ts";
import { ConfigError, ShapeError } from "../../base/errors.ts";
import type { Tensor } from "../../ops/mod.ts";
import { STAGE, USAGE } from "./flags.ts";
import { saying, scoped } from "./scopes.ts";
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
  const cannot = `Cannot adopt a buffer for ${t.name}`, { buffer, offset = 0, size } = isBuffer(given) ? { buffer: given } : given ?? {};
  if (!isBuffer(buffer)) throw new ConfigError(`${cannot}: it is no GPUBuffer; give one, or { buffer, offset }`);
  expect(cannot, { offset: [offset, [0, Number.MAX_SAFE_INTEGER]] });
  const refuse = (why: string) => new ConfigError(`${cannot}: ${why}`), align = device.limits.minStorageBufferOffsetAlignment;
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
