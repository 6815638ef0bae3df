/**
 * Devices and networks that are not there: a training step whose parts take time and compute nothing, on ranks in this process whose sums
 * take as long as on a network. What cuts the step, sends its buckets and waits for them is what trains.
 *
 * @module
 */

import { checkConfig } from "../src/files/model_config.ts";
import { parameterCount } from "../src/files/parameter_shapes.ts";
import { checkTrain } from "../src/files/train_config.ts";
import { Parameters } from "../src/model/parameters.ts";
import { optimizerTensors } from "../src/model/optimizer.ts";
import { trainingProgram } from "../src/model/train.ts";
import { bucketsOf, endsOf } from "../src/run/buckets.ts";
import type { Communicator } from "../src/run/communicator.ts";
import { DataParallel } from "../src/run/data_parallel.ts";
import { type Engine, type Executable, size } from "../src/ops/mod.ts";
import { delayed } from "./delayed.ts";
import { predict, type Predicted } from "./step_model.ts";

const config = checkConfig({
  model_type: "sparse_transformer",
  n_ctx: 8,
  n_layer: 16,
  n_head: 1,
  d_model: 8,
  d_ff: 16,
  d_qk: 8,
  vocab_size: 16,
  dropout: 0,
  attention: { pattern: "dense" },
  position: { kind: "attention", stride: 4 },
});

const asleep = (ms: number) => new Promise<void>((resume) => setTimeout(resume, ms));

/** Ranks whose sums are zeros and wait for each other. */
function ranks(size: number): Communicator[] {
  let arrived = 0, meeting = Promise.withResolvers<void>();
  const meet = () => {
    const { promise, resolve } = meeting;
    if (++arrived === size) {
      arrived = 0;
      meeting = Promise.withResolvers();
      resolve();
    }
    return promise;
  };
  return Array.from({ length: size }, (_, rank) => ({ rank, size, allreduce: meet, alltoall: meet, allgather: meet }));
}

/** A step that is to be simulated. */
export interface Simulated {
  readonly ranks: number;
  /** Milliseconds of forward and backward passes. */
  readonly compute: number;
  /** Bytes of all gradients. */
  readonly bytes: number;
  /** Milliseconds of a message. */
  readonly latency: number;
  /** Bytes per millisecond. */
  readonly rate: number;
}

/** The median of some steps, and what the model says of one. */
export async function simulate(
  { ranks: count, compute, bytes, latency, rate }: Simulated,
  steps = 5,
): Promise<Predicted & { said: Predicted }> {
  const params = new Parameters(config), optimizer = optimizerTensors(params.all, "adamw"), buckets = 16;
  const { program } = trainingProgram(params, optimizer, checkTrain({ optimizer: "adamw", recompute: true }));
  const real = parameterCount(config) * 4, bucketBytes = real / buckets, made = bucketsOf(program, optimizer.grads, bucketBytes);
  const ends = endsOf(program, made), last = ends.at(-1)!, backward = 1 - program.ops.findIndex(({ op }) => op === "cross_entropy") / last;
  const engine: Pick<Engine, "name" | "allocate" | "free" | "read" | "write"> = {
    name: "wasm",
    allocate: () => {},
    free: () => {},
    read: (t) => Promise.resolve(new Float32Array(size(t))),
    write: () => {},
  };
  const networks = ranks(count).map((one) => delayed(one, { milliseconds: latency, bytesPerSecond: rate * 1000 * real / bytes }));
  const all = await Promise.all(networks.map(async (communicator) => {
    const group = new DataParallel(communicator, { bucketBytes }),
      exchange = await group.exchange(engine as Engine, program, optimizer.grads);
    // Timers are late: each part ends when it should have, not so long after the one before.
    let due = 0;
    const part = async (from: number, to: number) => {
      if (from === 0) due = performance.now();
      due += compute * (Math.min(to, last) - Math.min(from, last)) / last;
      if (due > performance.now()) await asleep(due - performance.now());
    };
    const times: Predicted[] = [];
    for (let step = 0; step < steps; step++) {
      const begun = performance.now();
      await exchange.run({ part } as Executable, program);
      const { exchange: sum, exposed } = group.times(), took = performance.now() - begun;
      times.push({ step: took, exchange: sum, exposed, efficiency: compute / took });
    }
    return times.sort((a, b) => a.step - b.step)[steps >> 1];
  }));
  const said = predict({ compute, update: 0, backward, bytes, buckets: made.length }, count, { latency, rate, staging: Infinity });
  return { ...all[0], said };
}
