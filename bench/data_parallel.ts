/**
 * One rank of a data-parallel training step, or a process alone: time of a step, the share of the exchange that the backward pass hides, and
 * how far the result is from that of one process with the same sequences. bench/scaling.ts starts it; by hand, one line of JSON a measurement:
 *
 *     mpirun -n 2 --bind-to none deno run -A bench/data_parallel.ts [--preset NAME] [--pattern NAME] [--backend wasm|webgpu] [--gpu dawn] [--steps 20]
 *       [--wire f32,f16] [--muon each,shared] [--precision f32|f16] [--each 1] [--network MICROSECONDS,GIGABYTES_PER_SECOND] [--save FILE] [--compare FILE]
 *       [--alone SEQUENCES,…] [--probe] [--bucket BYTES] [--optimizer NAME] [--tiny] [--weak|--strong]
 *
 * @module
 */

import { launched, localThreads } from "../cli/mpi/environment.ts";
import { OpenMpi } from "../cli/mpi/open_mpi.ts";
import { takeOwnGpu } from "../cli/mpi/own_gpu.ts";
import { Random } from "../src/base/random.ts";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import { preset } from "../src/files/presets.ts";
import { byMuon, type TrainConfig } from "../src/files/train_config.ts";
import type { AttentionConfig } from "../src/pattern/sets.ts";
import { pickBackend } from "../src/run/backend.ts";
import type { Communicator, Wire } from "../src/run/communicator.ts";
import { DataParallel, type MuonShares } from "../src/run/data_parallel.ts";
import { type Snapshot, Trainer } from "../src/run/train.ts";
import { delayed } from "./delayed.ts";
import { flag, GPU_OPTIONS } from "./lib.ts";

const TINY = Deno.args.includes("--tiny"), backend = flag("backend") as "wasm" | "webgpu" ?? "wasm";
const steps = Number(flag("steps") ?? 20), warm = Math.min(2, steps - 1), each = Number(flag("each") ?? 1);

const config = ((): ModelConfig => {
  const { model } = preset(flag("preset") ?? "enwik8"), pattern = flag("pattern");
  const attention = pattern ? { pattern, stride: 128, c: 32, integration: "merged" } as AttentionConfig : model.attention;
  const tiny = TINY ? { n_ctx: 256, n_layer: 2, n_head: 2, d_model: 32, d_ff: 64, d_qk: 32 } : {};
  return checkConfig({ ...model, attention, ...tiny });
})();

const constants = (of: number): Partial<TrainConfig> => ({
  ...preset(flag("preset") ?? "enwik8").train,
  phases: [],
  steps: 1000,
  batch: each,
  // A rank each, so that sums are made in the order in which one process makes them.
  accumulate: of / each,
  warmup: 5,
  optimizer: (flag("optimizer") ?? "adamw") as "adamw",
  precision: (flag("precision") ?? "f32") as "f32",
});

/** First weights and moments: cheap to draw, of the size that training has. */
function beginning(): Snapshot {
  const weights = new Map<string, Float32Array>(), m = new Map<string, Float32Array>(), v = new Map<string, Float32Array>();
  let state = 1;
  for (const [name, shape] of parameterShapes(config)) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)), scale = 0.06 / 2 ** 31;
    if (shape.length === 1) values.fill(name.endsWith("norm.weight") ? 1 : 0);
    else for (let i = 0; i < values.length; i++) values[i] = (state = Math.imul(state, 1664525) + 1013904223 | 0) * scale;
    weights.set(name, values);
    m.set(name, new Float32Array(values.length));
    if (!byMuon(name, shape, constants(each).optimizer!)) v.set(name, new Float32Array(values.length));
  }
  return { step: 0, skipped: [0, 0], lossScale: [2 ** 16, 0], weights, m, v };
}

/** Tokens of one sequence of an update. */
function tokens(step: number, sequence: number): Uint32Array {
  const random = new Random(step, sequence);
  return Uint32Array.from({ length: config.n_ctx }, (_, i) => i % 5 === 0 ? 32 : 97 + random.below(26));
}

const say = (result: Record<string, unknown>) => console.log(`RESULT ${JSON.stringify(result)}`);

/** Runs the steps, and says how long one took. */
async function measure(engine: Awaited<ReturnType<typeof pickBackend>>["engine"], from: Snapshot, of: number, together?: DataParallel) {
  const trainer = await Trainer.create(engine, config, constants(of), from, undefined, together), size = together?.size ?? 1;
  try {
    const { accumulate, share: { micro } } = trainer.part({ batch: each });
    let begun = 0;
    const times: number[] = [];
    for (let step = 0; step < steps; step++) {
      if (step === warm) {
        await trainer.measure();
        together?.times();
        begun = performance.now();
      }
      const at = performance.now(),
        batches = Array.from({ length: accumulate }, (_, m) => {
          const all = new Uint32Array(each * config.n_ctx);
          for (let row = 0; row < each; row++) all.set(tokens(step, (micro + m) * each + row), row * config.n_ctx);
          return all;
        });
      await trainer.step(batches);
      times.push(performance.now() - at);
    }
    const measured = await trainer.measure(), ms = (performance.now() - begun) / (steps - warm), exchange = together?.times();
    const weights = await Promise.all(trainer.params.all.map((t) => engine.read(t))) as Float32Array<ArrayBuffer>[];
    const result = {
      ranks: size,
      engine: engine.description,
      sequences: of,
      precision: constants(of).precision,
      wire: together?.wire,
      muon: together?.muon,
      stepMs: ms,
      tokensPerSecond: of * config.n_ctx / ms * 1000,
      hostMs: times.slice(warm).map((one) => Math.round(one)),
      loss: measured.loss,
      gradNorm: measured.gradNorm,
      skipped: measured.skipped[0],
      ...exchange && {
        exchangeMs: exchange.exchange / exchange.steps,
        exposedMs: exchange.exposed / exchange.steps,
        hidden: Math.max(0, 1 - exchange.exposed / Math.max(1e-9, exchange.exchange)),
        megabytes: exchange.bytes / exchange.steps / 1e6,
      },
    };
    return { result, weights };
  } finally {
    trainer.dispose();
  }
}

function save(path: string, weights: readonly Float32Array<ArrayBuffer>[]): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  for (const one of weights) {
    const bytes = new Uint8Array(one.buffer, one.byteOffset, one.byteLength);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
  }
}

/** How far weights are from those saved, and how far those are from the beginning. */
function compare(path: string, weights: readonly Float32Array[], from: Snapshot): Record<string, number> {
  using file = Deno.openSync(path);
  const first = [...from.weights.values()];
  let most = 0, squares = 0, moved = 0, other = 0, count = 0;
  weights.forEach((one, number) => {
    const saved = new Float32Array(one.length), bytes = new Uint8Array(saved.buffer);
    for (let at = 0; at < bytes.length;) at += file.readSync(bytes.subarray(at)) ?? Infinity;
    for (let i = 0; i < one.length; i++) {
      const apart = Math.abs(one[i] - saved[i]);
      if (apart > most) most = apart;
      if (apart > 0) other++;
      squares += apart * apart;
      moved += (saved[i] - first[number][i]) ** 2;
    }
    count += one.length;
  });
  return { largestDifference: most, differenceOfMoved: Math.sqrt(squares / moved), shareOfOtherBits: other / count };
}

/** Bytes per second of the sum alone, by size. */
async function probe(communicator: Communicator): Promise<void> {
  for (const mebibytes of TINY ? [0.25] : [0.0001, 1, 4, 24, 64]) {
    const data = new Float32Array(Math.ceil(mebibytes * 2 ** 18 / communicator.size) * communicator.size).fill(1),
      bytes = new Uint8Array(data.buffer),
      received = new Uint8Array(bytes.length),
      part = bytes.subarray(0, bytes.length / communicator.size);
    const ways = {
      allreduce: () => communicator.allreduce(data),
      "alltoall, allgather": async () => {
        await communicator.alltoall(bytes, received);
        await communicator.allgather(part, received);
      },
    };
    for (const [probe, way] of Object.entries(ways)) {
      const times: number[] = [];
      for (let k = 0; k < 6; k++) {
        const at = performance.now();
        await way();
        times.push(performance.now() - at);
      }
      const ms = times.slice(1).sort((a, b) => a - b)[2];
      if (communicator.rank === 0) say({ probe, ranks: communicator.size, mebibytes, ms, gigabytesPerSecond: data.byteLength / ms / 1e6 });
    }
  }
}

if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
if (backend === "webgpu" && !Deno.args.includes("--probe")) await takeOwnGpu();
const mpi = launched() === undefined ? undefined : new OpenMpi(), isFirst = (mpi?.rank ?? 0) === 0;
if (Deno.args.includes("--probe")) await probe(mpi ?? new OpenMpi());
else {
  const { engine } = await pickBackend(backend, {
    ...GPU_OPTIONS,
    threads: Number(flag("threads") ?? localThreads() ?? navigator.hardwareConcurrency),
  });
  const from = beginning(), saved = flag("save"), compared = flag("compare");
  if (mpi) {
    const [latency, rate] = flag("network")?.split(",").map(Number) ?? [];
    const communicator = latency === undefined ? mpi : delayed(mpi, { milliseconds: latency / 1000, bytesPerSecond: rate * 1e9 });
    const ways = (flag("wire") ?? "f32").split(",").flatMap((wire) => (flag("muon") ?? "each").split(",").map((muon) => [wire, muon]));
    for (const [wire, muon] of ways as [Wire, MuonShares][]) {
      const bucketBytes = flag("bucket") === undefined ? undefined : Number(flag("bucket"));
      const { result, weights } = await measure(engine, from, mpi.size * each, new DataParallel(communicator, { wire, muon, bucketBytes }));
      if (isFirst) {
        say({ ...result, ...latency === undefined ? {} : { latency, rate }, ...compared ? compare(compared, weights, from) : {} });
      }
    }
  } else {
    for (const count of (flag("alone") ?? String(each)).split(",").map(Number)) {
      const { result, weights } = await measure(engine, from, count);
      say(result);
      if (saved) save(saved, weights);
    }
  }
  engine.dispose();
}
mpi?.finalize();
Deno.exit(0);
