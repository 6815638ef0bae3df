/**
 * Gradients of the WebGPU engine: a buffer a bucket, copied out through two mapped staging buffers in turn. Loaded only where several
 * processes train on GPUs.
 *
 * @module
 */

import type { WebGpuEngine } from "../engines/webgpu/engine.ts";
import { MAP, USAGE } from "../engines/webgpu/flags.ts";
import { size, type Tensor } from "../ops/mod.ts";
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
    private readonly data: readonly Float32Array<ArrayBuffer>[],
  ) {}

  /** Gives them their places on the device. */
  static async create(engine: WebGpuEngine, buckets: readonly (readonly Tensor[])[]): Promise<MappedGradients> {
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
      const most = Math.max(...buffers.map(({ size }) => size));
      const staging = Array.from({ length: TURNS }, (_, at) => buffer(`staging ${at}`, most, USAGE.MAP_READ | USAGE.COPY_DST));
      return new MappedGradients(engine, buffers, staging, buffers.map(({ size }) => new Float32Array(size / 4)));
    } catch (error) {
      engine.free(buckets.flat());
      for (const one of made) one.destroy();
      throw error;
    }
  }

  async ready(bucket: number): Promise<void> {
    await this.#taken[bucket - TURNS];
  }

  take(bucket: number): Promise<Float32Array> {
    return this.#taken[bucket] = this.#take(bucket);
  }

  async #take(bucket: number): Promise<Float32Array> {
    const { engine: { device }, data } = this, from = this.buffers[bucket], staging = this.staging[bucket % TURNS];
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, staging, 0, from.size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP.READ, 0, from.size);
    data[bucket].set(new Float32Array(staging.getMappedRange(0, from.size)));
    staging.unmap();
    return data[bucket];
  }

  put(bucket: number): void {
    this.engine.device.queue.writeBuffer(this.buffers[bucket], 0, this.data[bucket]);
  }

  dispose(): void {
    for (const one of [...this.buffers, ...this.staging]) one.destroy();
  }
}
