/**
 * Training on several ranks is training on one.
 *
 * Plan. Ranks that are in this process, each with an engine of its own, from 1 to 4 of them: the model after some steps is, within 1e-6,
 * that of one process with the same total batch, whether rows are shared out (evenly or not) or micro-batches; to the bit where every rank
 * has one micro-batch, as sums are then made in the same order. With dropout, recomputation, accumulation, buckets of one tensor and of
 * all, phases, f16 on the wire and in storage. A step that is not finite on one rank is skipped on all. mpi_test.ts shows the same over MPI.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { delayed } from "../bench/delayed.ts";
import { ConfigError, KernelError } from "../src/base/errors.ts";
import type { ModelConfig } from "../src/files/model_config.ts";
import { parameterCount } from "../src/files/parameter_shapes.ts";
import type { TrainConfig } from "../src/files/train_config.ts";
import { type Engine, tensor } from "../src/ops/mod.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import type { Communicator } from "../src/run/communicator.ts";
import { HalvesSum } from "../src/run/halves_sum.ts";
import { fromHalves, toHalves } from "../src/base/half.ts";
import { Random } from "../src/base/random.ts";
import { DataParallel, type DataParallelOptions } from "../src/run/data_parallel.ts";
import { MappedGradients } from "../src/run/mapped_gradients.ts";
import { ownersOf } from "../src/run/shared_matrices.ts";
import { type Progress, type Snapshot, train, Trainer } from "../src/run/train.ts";
import { SMALL, TEXT } from "./model.ts";
import { needing } from "./needs.ts";
import { ranksHere } from "./ranks.ts";

const config = { ...SMALL, dropout: 0.2 }, data = new TextEncoder().encode(TEXT);
const constants: Partial<TrainConfig> = { steps: 4, batch: 4, lr: 0.01, warmup: 2, seed: 5, optimizer: "adamw", eps: 1e-4 };

interface Trained {
  readonly reports: Progress[];
  readonly end: Snapshot;
}

async function run(
  engine: Engine,
  more: Partial<TrainConfig>,
  together?: DataParallel,
  from?: Snapshot,
  signal?: AbortSignal,
  told?: (report: Progress) => unknown,
): Promise<Trained> {
  const reports: Progress[] = [], options = { engine, config, train: { ...constants, ...more }, data, heldOut: data.subarray(0, 200) };
  let end: Snapshot | undefined;
  for await (
    const report of train({ ...options, together, from, signal, reportSeconds: together?.isFirst === false ? 60 : 0, evaluations: 2 })
  ) {
    reports.push(report);
    told?.(report);
    if (report.last) end = await report.snapshot();
  }
  return { reports, end: end! };
}

const makers = {
  wasm: () => WasmEngine.create({ threads: 1 }),
  webgpu: () => WebGpuEngine.create({ allowSoftware: true }),
} as const;

async function together(
  name: keyof typeof makers,
  size: number,
  more: Partial<TrainConfig>,
  options?: DataParallelOptions,
  from?: Snapshot,
): Promise<Trained[]> {
  return await Promise.all(
    ranksHere(size).map(async (communicator) => {
      const engine = await makers[name]();
      try {
        return await run(engine, more, new DataParallel(communicator, options), from);
      } finally {
        engine.dispose();
      }
    }),
  );
}

async function alone(name: keyof typeof makers, more: Partial<TrainConfig>): Promise<Trained> {
  const engine = await makers[name]();
  try {
    return await run(engine, more);
  } finally {
    engine.dispose();
  }
}

let gpuAlone: Promise<Trained> | undefined;

/** The largest difference of any weight. */
function difference({ end: a }: Trained, { end: b }: Trained): number {
  let most = 0;
  for (const [name, values] of a.weights) {
    const others = b.weights.get(name)!;
    values.forEach((x, i) => most = Math.max(most, Math.abs(x - others[i])));
  }
  return most;
}

/** Whether two are the same in every bit of weights and moments. */
function sameBits({ end: a }: Trained, { end: b }: Trained): void {
  assertEquals([a.step, a.skipped, a.lossScale], [b.step, b.skipped, b.lossScale]);
  for (const part of ["weights", "m", "v"] as const) {
    for (const [name, values] of a[part]) assertEquals(values, b[part].get(name)!, `${part} of ${name}`);
  }
}

/** Whether reports say the same, as far as sums in another order let them. */
function sameReports({ reports: a }: Trained, { reports: b }: Trained): void {
  const facts = (reports: readonly Progress[]) => reports.filter(({ heldOut }) => heldOut !== undefined);
  facts(a).forEach((one, at) => {
    const other = facts(b)[at];
    assertEquals([one.step, one.last], [other.step, other.last]);
    assertAlmostEquals(one.heldOut!, other.heldOut!, 1e-5);
  });
  assertAlmostEquals(a.at(-1)!.loss, b.at(-1)!.loss, 1e-5);
  assertAlmostEquals(a.at(-1)!.gradNorm, b.at(-1)!.gradNorm, 1e-5);
}

Deno.test("data-parallel: rows of a batch on 1 to 4 ranks make the model of one process, within 1e-6, the same bits on all", async () => {
  const more = { batch: 5, accumulate: 2, recompute: true }, one = await alone("wasm", more);
  for (const size of [1, 2, 3, 4]) {
    const [first, ...others] = await together("wasm", size, more, { bucketBytes: size === 4 ? 1 : 4096 });
    if (size === 1) sameBits(first, one);
    assert(difference(first, one) < 1e-6, `${size} ranks: ${difference(first, one)}`);
    sameReports(first, one);
    for (const other of others) sameBits(other, first);
  }
});

Deno.test("data-parallel: ranks with a micro-batch each are one process in every bit, with Muon and phases too", async () => {
  const phases = [{ until: 0.5, n_ctx: 20, batch: 3 }];
  for (const [size, more] of [[2, { optimizer: "muon", phases }], [3, {}], [4, {}]] as const) {
    const all = { batch: 1, accumulate: size, ...more } as Partial<TrainConfig>, one = await alone("wasm", all);
    for (const rank of await together("wasm", size, all)) sameBits(rank, one);
  }
});

Deno.test("data-parallel: Muon's matrices shared out are, in every bit, those that each process makes; momenta are whole where it saves", async () => {
  for (const size of [2, 3]) {
    const all: Partial<TrainConfig> = { batch: 1, accumulate: size, optimizer: "muon" }, one = await alone("wasm", all);
    const ranks = await together("wasm", size, all, { muon: "shared" });
    for (const rank of ranks) sameBits(rank, one);
    // Another number of ranks goes on, each with matrices that others had.
    const half = await together("wasm", size, { ...all, steps: 2, schedule: "constant" }, { muon: "shared" });
    const on = { ...all, batch: 3, accumulate: 2, schedule: "constant" } as const, engine = await makers.wasm();
    const [first] = await together("wasm", 5 - size, on, { muon: "shared" }, half[0].end),
      whole = await run(engine, on, undefined, half[0].end);
    engine.dispose();
    assert(difference(first, whole) < 1e-5, `${difference(first, whole)}`);
  }
});

Deno.test("data-parallel: matrices go to who has least to do; a snapshot of momenta that are elsewhere is refused", async () => {
  assertEquals(ownersOf([[8, 8], [8, 32], [8, 8], [32, 8], [4, 4]], 2), [0, 0, 1, 1, 0]);
  assertEquals(ownersOf([[4, 4]], 3), [0]);
  await Promise.all(
    ranksHere(2).map(async (communicator) => {
      const engine = await makers.wasm(), group = new DataParallel(communicator, { muon: "shared" });
      const trainer = await Trainer.create(engine, config, { ...constants, batch: 2, optimizer: "muon" }, undefined, undefined, group);
      await trainer.step([data.subarray(0, config.n_ctx)]);
      await assertRejects(() => trainer.snapshot(), KernelError, "Cannot save step 1: its momenta are shared out among processes");
      await trainer.measure();
      assertEquals((await trainer.snapshot()).step, 1);
      trainer.dispose();
      engine.dispose();
    }),
  );
});

Deno.test("data-parallel: with f16 on the wire the loss is scaled, and the model near that of f32", async () => {
  for (const precision of ["f32", "f16"] as const) {
    const one = await alone("wasm", { precision }), [first, second] = await together("wasm", 2, { precision }, { wire: "f16" });
    sameBits(first, second);
    assertEquals(first.end.lossScale, [2 ** 16, 4]);
    const apart = difference(first, one);
    assert(apart > 0 && apart < 5e-4, `${precision}: ${apart}`);
    assertAlmostEquals(first.reports.at(-1)!.loss, one.reports.at(-1)!.loss, 1e-3);
  }
});

/** A communicator that changes one sum of gradients. */
function meddling(communicator: Communicator, change: (data: Float32Array) => void): Communicator {
  let sums = 0;
  return {
    ...communicator,
    allreduce: (data) => {
      if (data instanceof Float32Array && ++sums === 2) change(data);
      return communicator.allreduce(data);
    },
    alltoall: (send, receive) => {
      // Halves whose sum is beyond their largest number.
      if (++sums === 2) new Uint16Array(send.buffer, send.byteOffset, send.byteLength / 2).fill(0x7bff);
      return communicator.alltoall(send, receive);
    },
  };
}

Deno.test("data-parallel: sums of f16 are made in f32, in the order of the ranks, and rounded as f16 is; every f16 stays what it is", async () => {
  const pass = (a: Uint8Array, b: Uint8Array) => Promise.resolve(b.set(a)), alone = { rank: 0, size: 1, alltoall: pass, allgather: pass };
  const one = new HalvesSum(alone as unknown as Communicator),
    all = Uint16Array.from({ length: 65536 }, (_, bits) => bits),
    same = all.slice();
  await one.sum(same);
  const isNaN = (bits: number) => (bits & 0x7fff) > 0x7c00;
  assertEquals([...same.keys()].filter((bits) => isNaN(bits) ? !isNaN(same[bits]) : same[bits] !== bits), []);
  const random = new Random(7, 0), words = Uint32Array.from({ length: 40_003 }, () => random.u32());
  const floats = Float32Array.from(
    words,
    (word, at) => at & 1 ? new Float32Array(Uint32Array.of(word).buffer)[0] : (word / 2 ** 31 - 1) * 2 ** (at % 44 - 27),
  );
  const rounded = floats.slice();
  await one.sum(rounded);
  assertEquals(rounded, fromHalves(toHalves(floats)));
  // In sums of f16, two times 0.75 would be lost beside 2048, and 80,000 be infinite.
  const lists = [[2048, 40000, 65504], [0.75, 40000, 15.9], [0.75, -40000, 0.2]].map((list) => Float32Array.from(list));
  const summed = await Promise.all(
    ranksHere(3).map(async (communicator, rank) => {
      await new HalvesSum(communicator).sum(lists[rank]);
      return lists[rank];
    }),
  );
  for (const list of summed) assertEquals(list, Float32Array.of(2050, 40000, Infinity));
});

Deno.test("data-parallel: a step that is not finite on one rank is skipped on all, and the loss scale halved on all", async () => {
  for (const wire of ["f32", "f16"] as const) {
    const ranks = await Promise.all(
      ranksHere(2).map(async (communicator, rank) => {
        const engine = await makers.wasm(), group = rank === 0 ? communicator : meddling(communicator, (data) => data[3] = Infinity);
        try {
          return await run(engine, {}, new DataParallel(wire === "f16" ? meddling(communicator, () => {}) : group, { wire }));
        } finally {
          engine.dispose();
        }
      }),
    );
    for (const { end } of ranks) assertEquals([end.skipped, end.lossScale[0]], [[1, 0], wire === "f16" ? 2 ** 15 : 2 ** 16]);
    sameBits(ranks[0], ranks[1]);
  }
});

Deno.test("data-parallel: what one rank's signal stops goes on with another number of ranks, to the same bits", async () => {
  const more = { batch: 2, accumulate: 2 }, one = await alone("wasm", more), stop = new AbortController();
  const halves = await Promise.all(
    ranksHere(2).map(async (communicator, rank) => {
      const engine = await makers.wasm(), signal = rank === 1 ? stop.signal : undefined;
      try {
        return await run(engine, more, new DataParallel(communicator), undefined, signal, ({ step }) => step === 2 && stop.abort());
      } finally {
        engine.dispose();
      }
    }),
  );
  assertEquals(halves.map(({ end }) => end.step), [2, 2]);
  const engine = await makers.wasm();
  sameBits(await run(engine, more, undefined, halves[0].end), one);
  engine.dispose();
  const resumed = await together("wasm", 4, { batch: 4 }, {}, halves[1].end);
  assertEquals(resumed.map(({ end }) => end.step), [4, 4, 4, 4]);
});

Deno.test("data-parallel: too few sequences, choices that are none and ranks that have come apart are refused", async () => {
  const [communicator, other] = ranksHere(2), first = new DataParallel(communicator), second = new DataParallel(other);
  assertThrows(() => first.share(1, 1), ConfigError, "batch is 1 and accumulate 1");
  assertEquals([first, second].map((rank) => rank.share(3, 5)), [
    { batch: 1, accumulate: 5, share: { micro: 0, row: 0, of: 15, scaled: false } },
    { batch: 2, accumulate: 5, share: { micro: 0, row: 1, of: 15, scaled: false } },
  ]);
  assertEquals(second.share(3, 4), { batch: 3, accumulate: 2, share: { micro: 2, row: 0, of: 12, scaled: false } });
  assertEquals(second.share(1, 3), { batch: 1, accumulate: 2, share: { micro: 1, row: 0, of: 3, scaled: false } });
  assertThrows(() => new DataParallel(communicator, { wire: "f8" as "f16" }), ConfigError, "wire must be");
  assertThrows(() => new DataParallel(communicator, { bucketBytes: 0 }), ConfigError, "bucketBytes");
  const engine = await makers.wasm();
  try {
    const masked: ModelConfig = { ...config, objective: "masked", attention: { pattern: "dense", causal: false } };
    await assertRejects(
      () => Trainer.create(engine, masked, constants, undefined, undefined, first),
      ConfigError,
      "Cannot train in several processes: the model says masked tokens",
    );
  } finally {
    engine.dispose();
  }
  const told = await Promise.allSettled([first.loss(1, 4), second.loss(1, 5)]);
  assertEquals(told.map(({ status }) => status), ["rejected", "rejected"]);
  assert((told[1] as PromiseRejectedResult).reason instanceof KernelError);
  assertEquals(await Promise.all([first.loss(1, 4), second.loss(2, 4)]), [3, 3]);
});

Deno.test("data-parallel: a network's delay is hidden behind the backward pass, and the times say how much of it", async () => {
  // Buckets of which each takes at least 4 ms: one after another, and the parts of the step hide some.
  const times = await Promise.all(
    ranksHere(2).map(async (communicator) => {
      const engine = await makers.wasm(),
        group = new DataParallel(delayed(communicator, { milliseconds: 2, bytesPerSecond: 1e9 }), { bucketBytes: 10000 });
      try {
        await run(engine, {}, group);
      } finally {
        engine.dispose();
      }
      return group.times();
    }),
  );
  for (const { steps, exchange, exposed, bytes } of times) {
    assertEquals(steps, 4);
    assertEquals(bytes, steps * 4 * parameterCount(config));
    assert(exchange >= 4 * 4 * 4, `${exchange} ms`);
    assert(exposed > 0 && exposed < exchange, `${exposed} of ${exchange} ms`);
  }
});

needing(["gpu"], "data-parallel: on a GPU gradients become f16 there, infinite where it does not hold them", async () => {
  const more = { steps: 2, batch: 4 }, one = await (gpuAlone ??= alone("webgpu", more));
  const [first, second] = await together("webgpu", 2, more, { wire: "f16", bucketBytes: 8192 }), apart = difference(first, one);
  sameBits(first, second);
  assert(apart > 0 && apart < 5e-4, `${apart}`);
  assertEquals([first.end.skipped, first.end.lossScale], [[0, 0], [2 ** 16, 2]]);
  const engine = await WebGpuEngine.create({ allowSoftware: true }),
    [a, b, c] = [3, 1000, 5].map((length, at) => tensor(`t${at}`, [length]));
  const gradients = await MappedGradients.create(engine, [[a, b], [c]], true);
  engine.write(a, Float32Array.of(1e9, -70000, 65504));
  engine.write(c, Float32Array.of(0.1, -0, 6e-8, 65519, -Infinity));
  for (const bucket of [0, 1]) gradients.copy(bucket);
  const bits = [await gradients.take(0), await gradients.take(1)];
  assertEquals([...bits[0].subarray(0, 3), ...bits[1].subarray(0, 5)], [0x7c00, 0xfc00, 0x7bff, 0x2e66, 0x8000, 1, 0x7bff, 0xfc00]);
  for (const bucket of [0, 1]) await gradients.put(bucket);
  assertEquals(await engine.read(a), Float32Array.of(Infinity, -Infinity, 65504));
  engine.free([a, b, c]);
  gradients.dispose();
  engine.dispose();
});

for (const wire of ["f32", "f16"] as const) {
  needing(
    ["gpu"],
    `data-parallel: where waits are short, gradients of ${wire} go back by buffers of their own, step after step`,
    async () => {
      const engine = await WebGpuEngine.create({ allowSoftware: true, streamMs: 1 }), a = tensor("a", [3]), b = tensor("b", [1000]);
      const { device } = engine, { createBuffer } = device, made: string[] = [];
      device.createBuffer = (descriptor) => {
        if (descriptor.mappedAtCreation) made.push(descriptor.label!);
        return createBuffer.call(device, descriptor);
      };
      const gradients = await MappedGradients.create(engine, [[a], [b]], wire === "f16"), one = wire === "f16" ? toHalves([1])[0] : 1;
      for (const step of [1, 2, 3]) {
        engine.write(a, Float32Array.of(step, 2, 3));
        engine.write(b, new Float32Array(1000).fill(step));
        for (const bucket of [0, 1]) gradients.copy(bucket);
        for (const bucket of [0, 1]) (await gradients.take(bucket))[1] = one;
        for (const bucket of [1, 0]) await gradients.put(bucket);
        assertEquals(await engine.read(a), Float32Array.of(step, 1, 3));
        assertEquals((await engine.read(b)).subarray(0, 3), Float32Array.of(step, 1, step));
      }
      assertEquals(made, ["way back 0", "way back 1"]);
      engine.free([a, b]);
      gradients.dispose();
      engine.dispose();
    },
  );
}

for (const size of [1, 2, 3, 4]) {
  needing(["gpu"], `data-parallel: on a GPU ${size} ranks make the model of one process, within 1e-6`, async () => {
    const more = { steps: 2, batch: 4 }, one = await (gpuAlone ??= alone("webgpu", more));
    const [first, ...others] = await together("webgpu", size, more, { bucketBytes: 8192 });
    assert(difference(first, one) < 1e-6, `${difference(first, one)}`);
    sameReports(first, one);
    for (const other of others) sameBits(other, first);
  });
}
