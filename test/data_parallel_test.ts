/**
 * Training on several ranks is training on one.
 *
 * Plan. Ranks that are in this process, each with an engine of its own, from 1 to 4 of them: the model after some steps is, within 1e-6,
 * that of one process with the same total batch, whether rows are shared out (evenly or not) or micro-batches; to the bit where every rank
 * has one micro-batch, as sums are then made in the same order. With dropout, recomputation, accumulation, buckets of one tensor and of
 * all, phases, f16 on the wire and in storage. A step that is not finite on one rank is skipped on all. mpi_test.ts shows the same over MPI.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConfigError } from "../src/base/errors.ts";
import type { TrainConfig } from "../src/files/train_config.ts";
import type { Engine } from "../src/ops/mod.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { DataParallel, type DataParallelOptions } from "../src/run/data_parallel.ts";
import { type Progress, type Snapshot, train } from "../src/run/train.ts";
import { SMALL, TEXT } from "./model.ts";
import { needing } from "./needs.ts";
import { ranksHere } from "./ranks.ts";

const config = { ...SMALL, dropout: 0.2 }, data = new TextEncoder().encode(TEXT);
const constants: Partial<TrainConfig> = { steps: 4, batch: 4, lr: 0.01, warmup: 2, seed: 5, optimizer: "adamw", eps: 1e-4 };

interface Trained {
  readonly reports: Progress[];
  readonly end: Snapshot;
}

async function run(engine: Engine, more: Partial<TrainConfig>, together?: DataParallel, from?: Snapshot): Promise<Trained> {
  const reports: Progress[] = [], options = { engine, config, train: { ...constants, ...more }, data, heldOut: data.subarray(0, 200) };
  let end: Snapshot | undefined;
  for await (const report of train({ ...options, together, from, reportSeconds: together?.isFirst === false ? 60 : 0, evaluations: 2 })) {
    reports.push(report);
    if (report.last) end = await report.snapshot();
  }
  return { reports, end: end! };
}

const makers = {
  wasm: () => WasmEngine.create({ threads: 1 }),
  webgpu: () => WebGpuEngine.create({ allowSoftware: true }),
} as const;

async function together(name: keyof typeof makers, size: number, more: Partial<TrainConfig>, options?: DataParallelOptions): Promise<Trained[]> {
  return await Promise.all(ranksHere(size).map(async (communicator) => {
    const engine = await makers[name]();
    try {
      return await run(engine, more, new DataParallel(communicator, options));
    } finally {
      engine.dispose();
    }
  }));
}

async function alone(name: keyof typeof makers, more: Partial<TrainConfig>): Promise<Trained> {
  const engine = await makers[name]();
  try {
    return await run(engine, more);
  } finally {
    engine.dispose();
  }
}

/** The largest difference of any number, in parts of the largest of its tensor. */
function difference({ end: a }: Trained, { end: b }: Trained): number {
  let most = 0;
  for (const [name, values] of a.weights) {
    const others = b.weights.get(name)!, largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
    values.forEach((x, i) => most = Math.max(most, Math.abs(x - others[i]) / largest));
    if (Deno.env.get("DBG")) console.log(name, largest, values.reduce((m, x, i) => Math.max(m, Math.abs(x - others[i])), 0) / largest);
  }
  return most;
}

Deno.test("dbg", async () => {
  for (const [size, more] of [[2, {}], [3, {}], [4, {}], [2, { batch: 1, accumulate: 2 }], [3, { batch: 1, accumulate: 3 }]] as const) {
    const one = await alone("wasm", more), all = await together("wasm", size, more, { bucketBytes: 1 });
    console.log(size, more, all.map((t) => difference(one, t)), one.reports.map((r) => [r.loss, r.heldOut]), all[0].reports.map((r) => [r.loss, r.heldOut]));
  }
});
