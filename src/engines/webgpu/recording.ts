/**
 * What the runs of a program encode: its dispatches, bound once.
 *
 * @module
 */

import { KernelError } from "../../base/errors.ts";
import type { Executable, Program } from "../../ops/mod.ts";
import { USAGE } from "./flags.ts";
import type { Dispatch } from "./plan/plan.ts";
import { naming, scoped } from "./scopes.ts";
import type { Pipeline } from "./shader/pipelines.ts";
import { ALIGNMENT, roundUp } from "./storage.ts";

/** A dispatch ready to be encoded. */
export interface Bound {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly dispatch: Dispatch & { op: number };
}

/** What the runs of a program encode. */
export interface Recording {
  readonly device: GPUDevice;
  readonly program: Program;
  readonly bound: readonly Bound[];
  /** Does work on the device: what it throws, or has failed there since, comes out typed. */
  readonly guard: <T>(what: string, work: () => Promise<T>) => Promise<T>;
}

/** By executable: `profile` measures them. Its code is not the engine's, since pages do not need it. */
export const recordings: WeakMap<Executable, Recording> = new WeakMap();

/** A dispatch with its pipeline, and the range that each of its bindings is. */
export interface Ready {
  readonly dispatch: Dispatch & { op: number };
  readonly pipeline: Pipeline;
  readonly resources: readonly GPUBufferBinding[];
}

/** Binds dispatches: their uniforms in one buffer, and a bind group each. */
export function bind(device: GPUDevice, name: string, ready: readonly Ready[]): { bound: Bound[]; uniforms: GPUBuffer } {
  const stride = Math.max(ALIGNMENT, device.limits.minUniformBufferOffsetAlignment);
  const data = new DataView(new ArrayBuffer(Math.max(1, ready.length) * stride));
  ready.forEach(({ dispatch: { params }, pipeline }, i) =>
    pipeline.uniforms.fields.forEach(({ name, type }, field) => {
      const at = i * stride + field * 4;
      if (type === "f32") data.setFloat32(at, params[name], true);
      else data.setUint32(at, params[name], true);
    })
  );
  const uniforms = device.createBuffer({
    label: `${name} uniforms`,
    size: data.byteLength,
    usage: USAGE.UNIFORM | USAGE.COPY_DST,
  });
  device.queue.writeBuffer(uniforms, 0, data.buffer as ArrayBuffer);
  const bound = ready.map(({ dispatch, pipeline: { pipeline, layout, bindings, uniforms: { number, fields } }, resources }, i): Bound => {
    const entries = [
      ...resources.map((resource, at) => ({ binding: bindings[at].number, resource })),
      { binding: number, resource: { buffer: uniforms, offset: i * stride, size: roundUp(fields.length * 4, 16) } },
    ];
    const { kernel } = dispatch;
    const group = naming(`Cannot compile ${name}`, kernel, () => device.createBindGroup({ label: kernel, layout, entries }));
    return { pipeline, group, dispatch };
  });
  return { bound, uniforms };
}

/** Commands of some runs, all in one pass. */
export function encode(device: GPUDevice, bound: readonly Bound[], times = 1): GPUCommandBuffer {
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  let last: GPUComputePipeline | undefined;
  for (let time = 0; time < times; time++) {
    for (const { pipeline, group, dispatch: { grid, kernel } } of bound) {
      naming("Cannot encode a run", kernel, () => {
        if (pipeline !== last) pass.setPipeline(last = pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
      });
    }
  }
  pass.end();
  return encoder.finish();
}

/** The first dispatch that cannot be encoded, as an error that names its kernel. */
export async function blame(device: GPUDevice, name: string, bound: readonly Bound[]): Promise<KernelError | undefined> {
  for (const one of bound) {
    const [error] = await scoped(device, ["validation"], () => encode(device, [one]))[1];
    if (error) return new KernelError(`Cannot compile ${name}: kernel ${one.dispatch.kernel}: ${error.message}`);
  }
}
