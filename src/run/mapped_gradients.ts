/**
 * Gradients of the WebGPU engine: a buffer per bucket, another that it is copied to and summed in, mapped, and where waits are short one for the
 * way back. Loaded only where several processes train on GPUs.
 *
 * @module
 */

import { OutOfMemoryError } from "../base/errors.ts";
import type { WebGpuEngine } from "../engines/webgpu/engine.ts";
import { MAP, USAGE } from "../engines/webgpu/flags.ts";
import { size, type Tensor } from "../ops/mod.ts";
import type { DeviceHalves } from "./device_halves.ts";
import type { HostGradients } from "./host_gradients.ts";

/**
 * Where waits on a device are as short as its `streamMs` says there, buffers for the way back are worth theirs. Dawn's `writeBuffer` makes one for
 * every 24 MB, which took 26 ms with two ranks on a host, and 9 with one; Deno's takes 4, and a wait for a mapped buffer would hold its thread.
 */
const SHORT_MS = 10;

/** A buffer for the way back, mapped but while the device copies what it held. */
interface Upload {
  readonly buffer: GPUBuffer;
  ready: Promise<unknown>;
}

/** Those of the WebGPU engine. */
export class MappedGradients implements HostGradients {
  readonly eager = true;
  /** What is mapped of each bucket. */
  readonly #mapped: (Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>)[] = [];

  private constructor(
    private readonly engine: WebGpuEngine,
    private readonly buffers: readonly GPUBuffer[],
    private readonly staging: readonly GPUBuffer[],
    private readonly halves: DeviceHalves | undefined,
    private readonly uploads: readonly Upload[] | undefined,
  ) {}

  /**
   * Gives them their places on the device.
   *
   * @param isHalf whether they leave it as f16
   * @throws {OutOfMemoryError} where the host has no memory for buffers that begin mapped
   */
  static async create(engine: WebGpuEngine, buckets: readonly (readonly Tensor[])[], isHalf: boolean): Promise<MappedGradients> {
    const { device } = engine, align = device.limits.minStorageBufferOffsetAlignment, made: GPUBuffer[] = [];
    let halves: DeviceHalves | undefined;
    const buffer = (label: string, size: number, usage: number, mappedAtCreation = false) => {
      const one = device.createBuffer({ label, size, usage, mappedAtCreation });
      made.push(one);
      return one;
    };
    try {
      const buffers: GPUBuffer[] = [];
      for (const [number, bucket] of buckets.entries()) {
        let bytes = 0;
        const offsets = bucket.map((t) => {
          const offset = bytes;
          bytes += Math.ceil(4 * size(t) / align) * align;
          return offset;
        });
        const whole = buffer(`gradients ${number}`, bytes, USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST);
        for (const [at, t] of bucket.entries()) await engine.adopt(t, { buffer: whole, offset: offsets[at] });
        buffers.push(whole);
      }
      halves = isHalf ? await (await import("./device_halves.ts")).DeviceHalves.create(device, buffers) : undefined;
      const staging = buffers.map(({ size }, at) => buffer(`staging ${at}`, halves ? size / 2 : size, USAGE.MAP_READ | USAGE.COPY_DST));
      const uploads = engine.streamMs > SHORT_MS ? undefined : staging.map(({ size }, at): Upload => ({
        buffer: buffer(`way back ${at}`, size, USAGE.MAP_WRITE | USAGE.COPY_SRC, true),
        ready: Promise.resolve(),
      }));
      return new MappedGradients(engine, buffers, staging, halves, uploads);
    } catch (error) {
      engine.free(buckets.flat());
      halves?.dispose();
      for (const one of made) one.destroy();
      // Where there is no room for a mapped one.
      throw error instanceof RangeError
        ? new OutOfMemoryError(
          `Cannot make buffers for gradients: ${error.message}; start fewer processes on a host, or send f16`,
          { cause: error },
        )
        : error;
    }
  }

  copy(bucket: number): void {
    const { engine: { device }, halves } = this, staging = this.staging[bucket];
    // A step that failed may have left it mapped.
    if (staging.mapState !== "unmapped") staging.unmap();
    const encoder = device.createCommandEncoder();
    halves?.pack(encoder, bucket);
    encoder.copyBufferToBuffer(halves?.out ?? this.buffers[bucket], 0, staging, 0, staging.size);
    device.queue.submit([encoder.finish()]);
  }

  async take(bucket: number): Promise<Float32Array | Uint16Array> {
    const staging = this.staging[bucket];
    await staging.mapAsync(MAP.READ);
    const mapped = staging.getMappedRange();
    return this.#mapped[bucket] = this.halves ? new Uint16Array(mapped) : new Float32Array(mapped);
  }

  async put(bucket: number): Promise<void> {
    const { engine: { device }, halves } = this, data = this.#mapped[bucket], upload = this.uploads?.[bucket];
    const to = halves?.in ?? this.buffers[bucket];
    await upload?.ready;
    // Of a step that has failed since then nothing goes back.
    if (data.byteLength === 0) return;
    const encoder = device.createCommandEncoder();
    if (upload) {
      new Uint8Array(upload.buffer.getMappedRange()).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      upload.buffer.unmap();
      encoder.copyBufferToBuffer(upload.buffer, 0, to, 0, data.byteLength);
    } else device.queue.writeBuffer(to, 0, data);
    halves?.unpack(encoder, bucket);
    device.queue.submit([encoder.finish()]);
    this.staging[bucket].unmap();
    if (!upload) return;
    upload.ready = upload.buffer.mapAsync(MAP.WRITE);
    // Whoever puts the next there hears of it.
    upload.ready.catch(() => {});
  }

  dispose(): void {
    this.halves?.dispose();
    for (const one of [...this.buffers, ...this.staging, ...(this.uploads ?? []).map(({ buffer }) => buffer)]) one.destroy();
  }
}
