/**
 * What a GPU does at most, for floors beside measured times: f32 fma and copies, by kernels that do nothing else.
 *
 * @module
 */

import { findAdapter } from "../src/engines/webgpu/device.ts";
import { GPU_OPTIONS } from "./lib.ts";

/** Floating point operations and bytes, per second. */
export interface Rates {
  readonly flops: number;
  readonly bytes: number;
}

const CHAINS = 8, DEEP = 4;

/** Eight independent chains of vec4, so that no result is waited for. Factors come from memory: nothing can be folded. */
const FMA = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
override TURNS: u32 = 1u;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let a = x[0];
  let b = x[1];
  ${Array.from({ length: CHAINS }, (_, i) => `var s${i} = x[t & 7u] + ${i}.0;`).join("\n  ")}
  for (var turn = 0u; turn < TURNS; turn++) {
    ${Array.from({ length: CHAINS * DEEP }, (_, i) => `s${i % CHAINS} = fma(s${i % CHAINS}, a, b);`).join("\n    ")}
  }
  y[group.x * 256u + t] = ${Array.from({ length: CHAINS }, (_, i) => `s${i}`).join(" + ")};
}`;

const COPY = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let at = group.x * 1024u + t;
  let a = x[at];
  let b = x[at + 256u];
  let c = x[at + 512u];
  let d = x[at + 768u];
  y[at] = a;
  y[at + 256u] = b;
  y[at + 512u] = c;
  y[at + 768u] = d;
}`;

/**
 * Measures both on the default adapter, on a device of its own.
 *
 * @param quick whether only to show that it works, on any device
 * @returns undefined where the adapter has no timestamps
 */
export async function measureRates(quick = false): Promise<Rates | undefined> {
  const adapter = await findAdapter({ ...GPU_OPTIONS, allowSoftware: true });
  if (!adapter.features.has("timestamp-query")) return;
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: ["timestamp-query"],
    requiredLimits: { maxStorageBufferBindingSize, maxBufferSize },
  });
  // More than caches hold; whole workgroups of 16 KiB.
  const size = Math.min(quick ? 2 ** 20 : 2 ** 28, maxStorageBufferBindingSize, maxBufferSize) >> 14 << 14;
  const [x, y] = [0, 1].map(() => device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST }));
  device.queue.writeBuffer(x, 0, Float32Array.from({ length: 4096 }, (_, i) => 1 / (i + 2)));
  const queries = device.createQuerySet({ type: "timestamp", count: 2 });
  const stamps = device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const read = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });

  /** Seconds of one run: the median of several, behind others that bring the clock up. */
  const time = async (code: string, groups: number, constants: Record<string, number> = {}) => {
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }), entryPoint: "main", constants },
    });
    const entries = [x, y].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }), times: number[] = [];
    for (let turn = 0; turn < (quick ? 1 : 11); turn++) {
      const encoder = device.createCommandEncoder();
      for (let run = quick ? 0 : turn === 0 ? 150 : 5; run >= 0; run--) {
        const timestampWrites = { querySet: queries, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
        const pass = encoder.beginComputePass(run === 0 ? { timestampWrites } : {});
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(groups);
        pass.end();
      }
      encoder.resolveQuerySet(queries, 0, 2, stamps, 0);
      encoder.copyBufferToBuffer(stamps, 0, read, 0, 16);
      device.queue.submit([encoder.finish()]);
      await read.mapAsync(GPUMapMode.READ);
      const [from, to] = new BigUint64Array(read.getMappedRange().slice(0));
      read.unmap();
      times.push(Number(to - from) / 1e9);
    }
    return times.sort((a, b) => a - b)[times.length >> 1];
  };
  const TURNS = quick ? 2 : 256, groups = Math.min(4096, size >> 12);
  const flops = groups * 256 * TURNS * CHAINS * DEEP * 4 * 2 / await time(FMA, groups, { TURNS });
  const bytes = 2 * size / await time(COPY, size >> 14);
  device.destroy();
  return { flops, bytes };
}
