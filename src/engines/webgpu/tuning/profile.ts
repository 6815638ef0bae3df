/**
 * GPU times of a program's dispatches.
 *
 * @module
 */

import { BackendError } from "../../../base/errors.ts";
import type { Executable, Op } from "../../../ops/mod.ts";
import { MAP, USAGE } from "../flags.ts";
import { type Recording, recordings } from "../recording.ts";
import { naming } from "../scopes.ts";

/** GPU time of one dispatch. */
export interface DispatchTime {
  /** Number of the operation in the program. */
  readonly at: number;
  /** Which operation that is. */
  readonly op: Op["op"];
  /** Kernel file. */
  readonly kernel: string;
  /** Milliseconds on the GPU. */
  readonly ms: number;
}

/**
 * Runs the list with timestamps around each dispatch; times are medians over the repetitions, which go to the device at once, so
 * that its clock rises.
 *
 * @param executable of a WebGPU engine
 * @param repeats how often, default once
 * @throws {BackendError} where it is of another engine, or the device has no timestamps
 */
export async function profile(executable: Executable, repeats = 1): Promise<DispatchTime[]> {
  const recording = recordings.get(executable);
  if (!recording) throw new BackendError("Cannot profile: the program was compiled by another engine than WebGPU");
  const { program, guard } = recording;
  const what = `Cannot profile ${program.name}`, times = await guard(what, () => measure(recording, repeats));
  // What its runs got wrong.
  await guard(what, () => Promise.resolve());
  return times;
}

async function measure({ device, program, bound: once }: Recording, repeats: number): Promise<DispatchTime[]> {
  const times: number[] = [];
  const bound = Array.from({ length: repeats }, () => once).flat();
  if (!device.features.has("timestamp-query")) {
    throw new BackendError(`Cannot profile ${program.name}: the device has no timestamp-query`);
  }
  const MOST = 1024; // two timestamps each, and a query set holds 4,096
  for (let first = 0; first < bound.length; first += MOST) {
    const some = bound.slice(first, first + MOST), count = some.length * 2, bytes = count * 8;
    const queries = device.createQuerySet({ type: "timestamp", count });
    const resolved = device.createBuffer({ size: bytes, usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC });
    const copy = device.createBuffer({ size: bytes, usage: USAGE.MAP_READ | USAGE.COPY_DST });
    const encoder = device.createCommandEncoder();
    some.forEach(({ pipeline, group, dispatch: { grid, kernel } }, i) =>
      naming(`Cannot profile ${program.name}`, kernel, () => {
        const pass = encoder.beginComputePass({
          timestampWrites: { querySet: queries, beginningOfPassWriteIndex: i * 2, endOfPassWriteIndex: i * 2 + 1 },
        });
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
        pass.end();
      })
    );
    encoder.resolveQuerySet(queries, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, copy, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(MAP.READ);
    const stamps = new BigUint64Array(copy.getMappedRange().slice(0));
    some.forEach((_, i) => times.push(Number(stamps[i * 2 + 1] - stamps[i * 2]) / 1e6));
    queries.destroy();
    resolved.destroy();
    copy.destroy();
  }
  return once.map(({ dispatch }, at) => {
    const all = Array.from({ length: repeats }, (_, turn) => times[turn * once.length + at]).sort((a, b) => a - b);
    return { at: dispatch.op, op: program.ops[dispatch.op].op, kernel: dispatch.kernel, ms: all[repeats >> 1] };
  });
}
