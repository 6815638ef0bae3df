/**
 * Gradients made f16 on the device before they leave it, and f32 again when they are back: half the bytes to copy, and none to convert on the
 * host, where 24 MB took as long as a sixteenth of a step.
 *
 * @module
 */

import { USAGE } from "../engines/webgpu/flags.ts";
import { loadLate } from "../engines/webgpu/plan/index.gen.ts";
import { type Pipeline, Pipelines } from "../engines/webgpu/shader/pipelines.ts";

/** Bytes of f32 that an invocation of wgsl/elements.wgsl has, invocations of a workgroup, and workgroups in a row of the grid. */
const EACH = 16, THREADS = 256, ACROSS = 32768;

/** What makes halves of some buffers of f32, and f32 of halves. */
export class DeviceHalves {
  /** On their way out and in; the queue keeps one bucket after another. */
  readonly out: GPUBuffer;
  readonly in: GPUBuffer;
  /** How many vec4 each buffer has. */
  readonly #counts: GPUBuffer;
  readonly #groups: readonly { readonly pack: GPUBindGroup; readonly unpack: GPUBindGroup }[];

  private constructor(
    device: GPUDevice,
    private readonly buffers: readonly GPUBuffer[],
    private readonly pack16: Pipeline,
    private readonly unpack16: Pipeline,
  ) {
    const size = Math.max(...buffers.map(({ size }) => size)) / 2, align = device.limits.minUniformBufferOffsetAlignment;
    this.out = device.createBuffer({ label: "halves out", size, usage: USAGE.STORAGE | USAGE.COPY_SRC });
    this.in = device.createBuffer({ label: "halves in", size, usage: USAGE.STORAGE | USAGE.COPY_DST });
    const counts = new Uint32Array(buffers.length * align / 4);
    buffers.forEach(({ size }, at) => counts[at * align / 4] = size / EACH);
    this.#counts = device.createBuffer({ label: "vec4 of buckets", size: counts.byteLength, usage: USAGE.UNIFORM | USAGE.COPY_DST });
    device.queue.writeBuffer(this.#counts, 0, counts);
    const group = ({ layout, uniforms }: Pipeline, x: GPUBuffer, y: GPUBuffer, at: number) =>
      device.createBindGroup({
        layout,
        entries: [
          { binding: 0, resource: { buffer: x } },
          { binding: 1, resource: { buffer: y } },
          { binding: uniforms.number, resource: { buffer: this.#counts, offset: at * align, size: 16 } },
        ],
      });
    this.#groups = buffers.map((buffer, at) => ({
      pack: group(pack16, buffer, this.out, at),
      unpack: group(unpack16, this.in, buffer, at),
    }));
  }

  /**
   * Compiles the kernels.
   *
   * @param buffers of f32, a whole number of vec4 in each
   */
  static async create(device: GPUDevice, buffers: readonly GPUBuffer[]): Promise<DeviceHalves> {
    await loadLate();
    const pipelines = new Pipelines(device);
    const [pack, unpack] = await Promise.all([pipelines.get("halves_pack", {}), pipelines.get("unpack_f16", {})]);
    return new DeviceHalves(device, buffers, pack, unpack);
  }

  #dispatch(encoder: GPUCommandEncoder, { pipeline }: Pipeline, group: GPUBindGroup, buffer: number): void {
    const groups = Math.ceil(this.buffers[buffer].size / EACH / THREADS), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(Math.min(groups, ACROSS), Math.ceil(groups / ACROSS));
    pass.end();
  }

  /** Encodes that a buffer's halves come into {@linkcode DeviceHalves.out}. */
  pack(encoder: GPUCommandEncoder, buffer: number): void {
    this.#dispatch(encoder, this.pack16, this.#groups[buffer].pack, buffer);
  }

  /** Encodes that a buffer becomes what the halves in {@linkcode DeviceHalves.in} are. */
  unpack(encoder: GPUCommandEncoder, buffer: number): void {
    this.#dispatch(encoder, this.unpack16, this.#groups[buffer].unpack, buffer);
  }

  /** Frees what this made. */
  dispose(): void {
    for (const buffer of [this.out, this.in, this.#counts]) buffer.destroy();
  }
}
