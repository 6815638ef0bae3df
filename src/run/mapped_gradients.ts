/**
 * Gradients of the WebGPU engine: a buffer a bucket, copied out through two mapped staging buffers in turn. Loaded only where several
 * processes train on GPUs.
 *
 * @module
 */

import type { WebGpuEngine } from "../engines/webgpu/engine.ts";
import { MAP, USAGE } from "../engines/webgpu/flags.ts";
import { size, type Tensor } from "../ops/mod.ts";
import type { DeviceHalves } from "./device_halves.ts";
import type { HostGradients } from "./host_gradients.ts";

/** Buffers that take turns: while the host empties one, the device fills the other. */
const TURNS = 2;

/** Those of the WebGPU engine. */
export class MappedGradients implements HostGradients {
  readonly eager = true;
  /** The take of each bucket that is under way or was the last. */
  readonly #taken: Promise<unknown>[] = [];

  private constructor(
    private readonly engine: WebGpuEngine,
    private readonly buffers: readonly GPUBuffer[],
    private readonly staging: readonly GPUBuffer[],
    private readonly data: readonly (Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>)[],
    private readonly halves: DeviceHalves | undefined,
  ) {}

  /**
   * Gives them their places on the device.
   *
   * @param isHalf whether they leave it as f16
   */
  static async create(engine: WebGpuEngine, buckets: readonly (readonly Tensor[])[], isHalf: boolean): Promise<MappedGradients> {
    const { device } = engine, align = device.limits.minStorageBufferOffsetAlignment, made: GPUBuffer[] = [];
    const buffer = (label: string, size: number, usage: number) => {
      const one = device.createBuffer({ label, size, usage });
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
      const halves = isHalf ? new (await import("./device_halves.ts")).DeviceHalves(device, buffers) : undefined;
      const most = halves?.out.size ?? Math.max(...buffers.map(({ size }) => size));
      const staging = Array.from({ length: TURNS }, (_, at) => buffer(`staging ${at}`, most, USAGE.MAP_READ | USAGE.COPY_DST));
      const data = buffers.map(({ size }) => halves ? new Uint16Array(size / 4) : new Float32Array(size / 4));
      return new MappedGradients(engine, buffers, staging, data, halves);
    } catch (error) {
      engine.free(buckets.flat());
      for (const one of made) one.destroy();
      throw error;
    }
  }

  async ready(bucket: number): Promise<void> {
    await this.#taken[bucket - TURNS];
  }

  take(bucket: number): Promise<Float32Array | Uint16Array> {
    return this.#taken[bucket] = this.#take(bucket);
  }

  async #take(bucket: number): Promise<Float32Array | Uint16Array> {
    const { engine: { device }, halves } = this, data = this.data[bucket], bytes = data.byteLength, staging = this.staging[bucket % TURNS];
    const encoder = device.createCommandEncoder();
    halves?.pack(encoder, bucket);
    encoder.copyBufferToBuffer(halves?.out ?? this.buffers[bucket], 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP.READ, 0, bytes);
    const mapped = staging.getMappedRange(0, bytes);
    data.set(data instanceof Uint16Array ? new Uint16Array(mapped) : new Float32Array(mapped));
    staging.unmap();
    return data;
  }

  put(bucket: number): void {
    const data = this.data[bucket];
    if (data instanceof Uint16Array) this.halves!.unpack(bucket, data);
    else this.engine.device.queue.writeBuffer(this.buffers[bucket], 0, data);
  }

  dispose(): void {
    this.halves?.dispose();
    for (const one of [...this.buffers, ...this.staging]) one.destroy();
  }
}
