/**
 * Gradients made f16 on the device before they leave it, and f32 again when they are back: half the bytes to copy, and none to convert on the
 * host, where 24 MB took as long as a sixteenth of a step.
 *
 * @module
 */

import { USAGE } from "../engines/webgpu/flags.ts";

/** Threads of a workgroup, and workgroups in a row of the grid. */
const THREADS = 256, ACROSS = 32768;

// WGSL leaves open what pack2x16float makes of what f16 does not hold; here that is an infinity, as in wgsl/storage_f16x4.wgsl.
const SOURCE = `
@group(0) @binding(0) var<storage, read_write> wide: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> halves: array<u32>;

fn element(id: vec3u) -> u32 {
  return id.y * ${ACROSS * THREADS}u + id.x;
}

@compute @workgroup_size(${THREADS})
fn pack(@builtin(global_invocation_id) id: vec3u) {
  let i = element(id);
  if (i < arrayLength(&wide)) {
    let bits = bitcast<vec2u>(wide[i]);
    let over = (bits & vec2u(0x7fffffffu)) >= vec2u(0x477ff000u);
    let infinite = select(vec2u(), ((bits >> vec2u(16u)) & vec2u(0x8000u)) | vec2u(0x7c00u), over);
    halves[i] = pack2x16float(select(wide[i], vec2f(), over)) | infinite.x | (infinite.y << 16u);
  }
}

@compute @workgroup_size(${THREADS})
fn unpack(@builtin(global_invocation_id) id: vec3u) {
  let i = element(id);
  if (i < arrayLength(&wide)) {
    wide[i] = unpack2x16float(halves[i]);
  }
}
`;

/** What makes halves of some buffers of f32, and f32 of halves. */
export class DeviceHalves {
  readonly #pack: GPUComputePipeline;
  readonly #unpack: GPUComputePipeline;
  /** On their way out and in; the queue keeps one bucket after another. */
  readonly out: GPUBuffer;
  readonly #in: GPUBuffer;
  readonly #groups: readonly { readonly pack: GPUBindGroup; readonly unpack: GPUBindGroup }[];

  /** @param buffers of f32, an even number of them each */
  constructor(private readonly device: GPUDevice, private readonly buffers: readonly GPUBuffer[]) {
    const module = device.createShaderModule({ label: "halves", code: SOURCE });
    const pipeline = (entryPoint: string) =>
      device.createComputePipeline({ label: entryPoint, layout: "auto", compute: { module, entryPoint } });
    this.#pack = pipeline("pack");
    this.#unpack = pipeline("unpack");
    const size = Math.max(...buffers.map(({ size }) => size)) / 2;
    this.out = device.createBuffer({ label: "halves out", size, usage: USAGE.STORAGE | USAGE.COPY_SRC });
    this.#in = device.createBuffer({ label: "halves in", size, usage: USAGE.STORAGE | USAGE.COPY_DST });
    const group = (pipeline: GPUComputePipeline, wide: GPUBuffer, halves: GPUBuffer) =>
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer: wide } }, { binding: 1, resource: { buffer: halves } }],
      });
    this.#groups = buffers.map((buffer) => ({
      pack: group(this.#pack, buffer, this.out),
      unpack: group(this.#unpack, buffer, this.#in),
    }));
  }

  #dispatch(encoder: GPUCommandEncoder, pipeline: GPUComputePipeline, group: GPUBindGroup, buffer: number): void {
    const groups = Math.ceil(this.buffers[buffer].size / 8 / THREADS), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(Math.min(groups, ACROSS), Math.ceil(groups / ACROSS));
    pass.end();
  }

  /** Encodes that a buffer's halves come into {@linkcode DeviceHalves.out}. */
  pack(encoder: GPUCommandEncoder, buffer: number): void {
    this.#dispatch(encoder, this.#pack, this.#groups[buffer].pack, buffer);
  }

  /** Submits that a buffer becomes what these halves are. */
  unpack(buffer: number, halves: Uint16Array<ArrayBuffer>): void {
    this.device.queue.writeBuffer(this.#in, 0, halves);
    const encoder = this.device.createCommandEncoder();
    this.#dispatch(encoder, this.#unpack, this.#groups[buffer].unpack, buffer);
    this.device.queue.submit([encoder.finish()]);
  }

  /** Frees what this made. */
  dispose(): void {
    this.out.destroy();
    this.#in.destroy();
  }
}
