/**
 * Training: it learns, it goes on bit-exactly, it stops in order, and bad input changes nothing.
 *
 * Plan. Every f32 engine: 6 steps straight equal 3 steps, a stop and 3 more, in every bit of weights and moments, with
 * dropout, accumulation and an odd n; recomputation changes no bit of it. Engines agree with the oracle after some steps. Steps that
 * are not finite are not applied. (That the numbers are right is golden_test.ts's to say.)
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { checkTrain, type Phase, type TrainConfig } from "../src/files/train_config.ts";
import { preset } from "../src/files/presets.ts";
import { CheckpointError, ConfigError, DataError, DivergedError, OutOfMemoryError, ShapeError } from "../src/base/errors.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { memoryPlan } from "../src/run/memory.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import type { Engine, Tensor } from "../src/ops/mod.ts";
import { Random } from "../src/base/random.ts";
import { ReferenceEngine } from "../src/engines/reference/engine.ts";
import { type Progress, type Snapshot, train, Trainer, type TrainOptions } from "../src/run/train.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const config: ModelConfig = checkConfig({
  model_type: "sparse_transformer",
  n_ctx: 37,
  n_layer: 2,
  n_head: 2,
  d_model: 16,
  d_ff: 40,
  d_qk: 12,
  vocab_size: 256,
  dropout: 0.1,
  attention: { pattern: "strided", stride: 6, integration: "interleaved" },
  position: { kind: "attention", stride: 6 },
});
const constants: Partial<TrainConfig> = { steps: 6, batch: 2, accumulate: 2, lr: 0.01, warmup: 2, seed: 5 };
const random = new Random(3, 1), text = Uint8Array.from({ length: 3000 }, (_, i) => i % 7 === 0 ? 32 : 97 + random.below(4));

/** Trains until `until` steps are done. */
async function run(
  on: Engine,
  until: number,
  more: Partial<TrainConfig> = {},
  from?: Snapshot,
): Promise<{ reports: Progress[]; end: Snapshot }> {
  const stop = new AbortController(), reports: Progress[] = [];
  let end: Snapshot | undefined;
  const options = {
    engine: on,
    config,
    train: { ...constants, ...more },
    data: text,
    heldOut: text.subarray(0, 100),
    from,
    reportSeconds: 0,
  };
  for await (const report of train({ ...options, signal: stop.signal })) {
    reports.push(report);
    if (report.step === until) stop.abort();
    if (report.last) end = await report.snapshot();
  }
  return { reports, end: end! };
}

function sameBits(a: Snapshot, b: Snapshot): void {
  assertEquals([a.step, ...a.skipped], [b.step, ...b.skipped]);
  for (const part of ["weights", "m", "v"] as const) {
    assertEquals([...a[part].keys()], [...b[part].keys()]);
    for (const [name, values] of a[part]) {
      const bits = (x: Float32Array) => new Uint32Array(x.buffer, x.byteOffset, x.length), want = bits(b[part].get(name)!);
      assert(bits(values).every((word, i) => word === want[i]), `${part} of ${name}`);
    }
  }
}

/** Windows that begin small and grow, with a phase in which attention is another. */
const PHASES: Phase[] = [
  { until: 0.3, n_ctx: 12, batch: 5, attention: { pattern: "local", stride: 3 } },
  { until: 0.7, n_ctx: 20, batch: 3 },
];
const KINDS: Readonly<Record<string, Partial<TrainConfig>>> = {
  adamw: { optimizer: "adamw" },
  muon: { schedule: "linear", lr_min: 0.1 },
  "muon, in phases": { phases: PHASES },
};

for (const name of new Set(["reference", ...ENGINES])) {
  for (const [kind, more] of Object.entries(KINDS)) {
    engineTest(name, `train: ${name}: ${kind}: 6 steps are 1, 1 and 4 more, in every bit`, async () => {
      const on = await engine(name), straight = await run(on, Infinity, more), one = await run(on, 1, more);
      assertEquals(straight.end.step, 6);
      const half = await run(on, 2, more, one.end), rest = await run(on, Infinity, more, half.end);
      assertEquals(half.end.step, 2);
      // The oracle computes in 64 bits and a snapshot has 32: there the rounding shows, and Muon makes small singular values large.
      if (name === "reference") {
        const limit = kind === "adamw" ? 1e-5 : 1e-4;
        for (const [key, x] of straight.end.weights) {
          const error = relativeError(rest.end.weights.get(key)!, x);
          assert(error < limit || key.endsWith("attn.k.bias"), `${key}: ${error}`);
        }
      } else sameBits(rest.end, straight.end);
      assert(![...half.end.weights.get("out.weight")!].every((x, i) => x === straight.end.weights.get("out.weight")![i]));
    });
  }

  engineTest(name, `train: ${name}: a skipped step advances neither the schedule nor a bias correction`, async () => {
    const on = await engine(name), { end } = await run(on, 1), batch = [text.subarray(0, 2 * config.n_ctx)];
    const make = (from: Snapshot) => Trainer.create(on, { ...config, dropout: 0 }, { ...constants, accumulate: 1 }, from);
    const weight = "layers.1.ff.w1.weight", good = end.weights.get(weight)!, late = await make(end), soon = await make(end);
    const put = (data: Float32Array) => on.write(late.params.get(weight), data);
    // Two skipped before a clean one, and the host does not ask in between; against the clean one alone.
    put(good.slice().fill(NaN, 5, 6));
    for (let step = 0; step < 2; step++) await late.step(batch);
    put(good);
    for (const one of [late, soon]) await one.step(batch);
    const [a, b] = [await late.snapshot(), await soon.snapshot()];
    assertEquals([a.step, ...a.skipped, b.step, ...b.skipped], [4, 2, 0, 2, 0, 0]);
    sameBits(a, { ...b, step: 4, skipped: a.skipped });
    for (const one of [late, soon]) one.dispose();
  });

  engineTest(name, `train: ${name}: recomputation changes no bit`, async () => {
    const on = await engine(name);
    sameBits((await run(on, 4, { recompute: true })).end, (await run(on, 4)).end);
  });

  engineTest(name, `train: ${name}: as the oracle after 4 steps with dropout and accumulation`, async () => {
    const { end } = await run(await engine(name), 4), { end: want } = await run(await engine("reference"), 4);
    for (const [parameter, values] of want.weights) {
      // Adam turns the noise of a gradient that is exactly 0 into steps.
      if (parameter.endsWith("attn.k.bias")) continue;
      const error = relativeError(end.weights.get(parameter)!, values);
      assert(error <= 1e-4, `${parameter}: relative error ${error.toExponential(2)}`);
    }
  });

  engineTest(name, `train: ${name}: steps that are not finite are not applied, and training stops`, async () => {
    const on = await engine(name), { end } = await run(on, 1), good = end.weights.get("layers.1.ff.w1.weight")!;
    // Behind the library's back: it takes no weights that are not finite.
    const put = ({ all }: Parameters, data: Float32Array) => on.write(all.find(({ name }) => name === "layers.1.ff.w1.weight")!, data);
    const bad = good.slice().fill(NaN, 5, 6), trainer = await Trainer.create(on, config, { ...constants, accumulate: 1 }, end);
    put(trainer.params, bad);
    for (let step = 0; step < 3; step++) await trainer.step([text.subarray(0, 2 * config.n_ctx)]);
    assertEquals((await trainer.measure()).skipped, [3, 3]);
    await assertRejects(() => trainer.snapshot(), DivergedError, "Cannot save step 4: layers.1.ff.w1.weight has 1 numbers");
    put(trainer.params, good);
    sameBits(await trainer.snapshot(), { ...end, step: 4, skipped: [3, 3] });
    trainer.dispose();
    const rest = async () => {
      for await (const { phase } of train({ engine: on, config, train: { ...constants, steps: 40 }, data: text, reportSeconds: 0 })) {
        put(phase.params, bad);
      }
    };
    await assertRejects(rest, DivergedError, "the last 10 steps were not finite and none was applied");
  });
}

Deno.test("train: it learns, and reports as it goes", async () => {
  const on = await engine("wasm"), { reports, end } = await run(on, Infinity, { steps: 80, accumulate: 1 });
  // The last step's once more, as the time to save before all that is held out is scored.
  assertEquals(reports.map(({ step }) => step), [...Array.from({ length: 80 }, (_, step) => step + 1), 80]);
  assertEquals([reports[79].scored, reports[79].heldOut, reports[80].ended], [0, undefined, "steps"]);
  assertEquals(reports.filter(({ heldOut }) => heldOut !== undefined).map(({ step }) => step), [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]);
  assertEquals(reports.map(({ last }) => last).indexOf(true), 80);
  assert(reports[0].loss > 7.9 && reports[0].loss < 8.4, `first loss ${reports[0].loss}`);
  assert(reports[80].heldOut! < 3, `last held-out loss ${reports[80].heldOut}`);
  for (const { gradNorm, lr, tokensPerSecond, skipped } of reports) assert(gradNorm > 0 && lr >= 0 && tokensPerSecond > 0 && skipped === 0);
  const params = new Parameters(config);
  on.allocate(params.all);
  for (const p of params.all) on.write(p, end.weights.get(p.name)!);
  const scorer = await Scorer.create(on, params, 3), whole = await scorer.bits(text.subarray(0, 100));
  assert(Math.abs(whole - reports[80].heldOut!) < 1e-5, "the report's held-out loss is the whole held-out text's");
  scorer.dispose();
  on.free(params.all);
});

Deno.test("train: a stop between steps reports the loss that was, and what can be gone on from", async () => {
  const stop = new AbortController(), on = await engine("wasm"), reports: Progress[] = [];
  for await (const report of train({ engine: on, config, train: constants, data: text, reportSeconds: 0, signal: stop.signal })) {
    reports.push(report);
    if (report.step === 2) stop.abort();
  }
  assertEquals(reports.map(({ step, last }) => [step, last]), [[1, false], [2, false], [2, true]]);
  assertEquals(reports[2].loss, reports[1].loss);
});

Deno.test("train: initial weights follow the seed, and spread as the specification says", () => {
  const one = initialWeights(config, 1), again = initialWeights(config, 1), other = initialWeights(config, 2);
  assertEquals(one, again);
  assert(one.get("layers.0.attn.q.weight")![0] !== other.get("layers.0.attn.q.weight")![0]);
  const large = { ...config, d_model: 256, n_head: 2, d_ff: 512, d_qk: 128 };
  let weights = initialWeights(large, 0);
  const deviation = (name: string) => {
    const values = weights.get(name)!;
    return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  };
  const near = (name: string, want: number) =>
    assert(Math.abs(deviation(name) / want - 1) < 0.05, `${name}: ${deviation(name)}, want ${want}`);
  near("embed.token.weight", 0.35);
  near("embed.position.1.weight", 0.35 / Math.SQRT2);
  near("layers.0.attn.q.weight", 1 / 16);
  near("layers.1.ff.w2.weight", Math.sqrt(1 / 512) / 2);
  near("layers.1.attn.p.weight", 1 / 16 / 2);
  near("out.weight", 0.354 / 16);
  assertEquals([...weights.get("norm.weight")!].every((x) => x === 1), true);
  weights = initialWeights({ ...large, init: "paper" }, 0);
  near("embed.token.weight", 0.125 / 16);
  near("embed.position.1.weight", 0.125 / Math.sqrt(512));
  near("layers.0.attn.q.weight", 0.125 / 16);
  near("layers.1.ff.w2.weight", 0.125 / Math.sqrt(512) / 2);
  assertEquals(deviation("out.weight"), 0);
  for (const name of ["cifar10", "enwik8", "imagenet64", "audio-65k", "audio-1m"]) assertEquals(preset(name).model.init, "paper");
});

Deno.test("train: bad input is an error of its own", async () => {
  const on = await engine("reference"),
    start = async (more: Partial<TrainOptions>) => {
      for await (const _ of train({ engine: on, config, train: constants, data: text, ...more })) { /* Runs to the end. */ }
    };
  await assertRejects(() => start({ data: text.subarray(0, 36) }), DataError, "the training data has 36 tokens, one context is 37");
  await assertRejects(() => start({ heldOut: text.subarray(0, 9) }), DataError, "the held-out data has 9 tokens");
  await assertRejects(() => start({ train: { ...constants, lr: NaN } }), ConfigError, "lr must be a number from");
  await assertRejects(() => start({ train: { ...constants, steps: 0 } }), ConfigError, "steps must be a whole number from 1");
  await assertRejects(() => start({ config: { ...config, d_qk: 13 } }), ConfigError, "d_qk 13 must be a multiple of n_head 2");
  const { end } = await run(on, 1), less = new Map(end.weights);
  less.delete("norm.bias");
  await assertRejects(() => start({ from: { ...end, weights: less } }), CheckpointError, "norm.bias must have 16 numbers, got none");
  const trainer = await Trainer.create(on, config, { ...constants, accumulate: 1, batch: 1 });
  await assertRejects(() => trainer.step([text.subarray(0, 36)]), ShapeError, "needs 1 micro-batches of 37 tokens, got 36");
  await assertRejects(() => trainer.step([new Uint32Array(37).fill(256)]), ShapeError, "Cannot use token 256 at place 0");
  assertEquals(trainer.done, 0);
  trainer.dispose();
});

Deno.test("train: what cannot be compiled leaves nothing on the engine", async () => {
  for (const failing of [1, 2]) {
    const on = new ReferenceEngine(), { allocate, free, compile } = on, there = new Set<Tensor>();
    let compiled = 0;
    on.allocate = (tensors) => {
      allocate.call(on, tensors);
      for (const t of tensors) there.add(t);
    };
    on.free = (tensors) => {
      free.call(on, tensors);
      for (const t of tensors) there.delete(t);
    };
    on.compile = (program) => {
      assert(there.size > 0);
      return ++compiled === failing ? Promise.reject(new OutOfMemoryError(`no room for ${program.name}`)) : compile.call(on, program);
    };
    const run = train({ engine: on, config, train: constants, data: text, heldOut: text.subarray(0, 100) });
    await assertRejects(() => run.next(), OutOfMemoryError, failing === 1 ? "no room for train" : "no room for score");
    assertEquals(there.size, 0);
    on.dispose();
  }
});

Deno.test("train: recomputation and micro-batches take the memory that is planned", async () => {
  const deep = { ...config, n_layer: 8 }, kept = memoryPlan(deep, constants), again = memoryPlan(deep, { ...constants, recompute: true });
  assertEquals(kept.parameters, again.parameters);
  // Weights, gradients and first moments of all; second moments of what AdamW updates.
  const hidden = 8 * (2 * 12 * 16 + 2 * 16 * 16 + 2 * 40 * 16);
  assertEquals(kept.state, kept.parameters * 16 - hidden * 4);
  assertEquals(memoryPlan(deep, { ...constants, optimizer: "adamw" }).state, kept.parameters * 16);
  assert(again.activations < kept.activations / 2, `${again.activations} of ${kept.activations}`);
  for (const recompute of [false, true]) {
    const trainer = await Trainer.create(await engine("wasm"), deep, checkTrain({ ...constants, recompute }));
    const plan = memoryPlan(deep, { ...constants, recompute }).activations;
    assert(trainer.scratchBytes >= plan && trainer.scratchBytes < plan * 1.5, `${trainer.scratchBytes} bytes of arena, ${plan} planned`);
    trainer.dispose();
  }
});

Deno.test.afterAll(disposeEngines);

Deno.test("train: what callers without types give is refused by name", async () => {
  const engine = new ReferenceEngine(), data = new Uint8Array(4096), base = { engine, config: preset("text").model, data, train: {} };
  const cases: [Record<string, unknown>, string][] = [
    [{ config: undefined }, "Cannot use the configuration: it must be an object"],
    [{ data: undefined }, "the training data must be a typed array of tokens"],
    [{ data: "a".repeat(4096) }, "the training data must be a typed array of tokens"],
    [{ heldOut: "a".repeat(4096) }, "the held-out data must be a typed array of tokens"],
    [{ train: { stepz: 3 } }, 'unknown field "stepz", known are steps'],
  ];
  for (const [wrong, message] of cases) {
    await assertRejects(() => train({ ...base, ...wrong } as unknown as TrainOptions).next(), ConfigError, message);
  }
  engine.dispose();
});
