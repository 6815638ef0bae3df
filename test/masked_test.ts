/**
 * Models that look both ways: masked tokens, numbers per position, and what reads with them.
 *
 * Plan. Masks by their counts and proportions. Training follows the reference engine on every engine, in f16 and recomputed, and goes on bit
 * for bit. Losses that are reported are those that logits give by hand; logits and states are those of the reference engine at lengths that
 * the pattern does not divide. A model that has learnt a text fills its gaps; one that has to see what comes after learns to; entries get the
 * scores of their positions. Whatever needs next tokens refuses such models by name, and so does the command line.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { ConfigError, DataError, LongstrideError, ShapeError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { checkConfig, type ModelConfig, type Objective } from "../src/files/model_config.ts";
import type { TrainConfig } from "../src/files/train_config.ts";
import { maskedCount, maskTokens } from "../src/model/masks.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import { type Engine, NO_TARGET } from "../src/ops/mod.ts";
import { compress } from "../src/run/compress.ts";
import { Encoder, openEncoder, scoreEntries } from "../src/run/encoder.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { openModel } from "../src/run/open.ts";
import { type Snapshot, train, Trainer } from "../src/run/train.ts";
import { relativeError } from "../src/run/verify.ts";
import { WindowScorer } from "../src/run/window_scorer.ts";
import { answer, failed } from "./commands.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";
import { SMALL } from "./model.ts";
import { at, folder, tiny } from "./tiny.ts";

Deno.test.afterAll(async () => {
  await disposeEngines();
  Deno.removeSync(folder, { recursive: true });
});

const V = 11;
const configOf = (objective: Objective, more: Partial<ModelConfig> = {}): ModelConfig =>
  checkConfig({
    ...SMALL,
    n_ctx: 18,
    vocab_size: V,
    d_model: 8,
    d_ff: 12,
    d_qk: 8,
    attention: { pattern: "strided", stride: 4, integration: "multihead", causal: false },
    position: { kind: "attention", stride: 4 },
    objective,
    ...more,
  });

const random = new Random(5, 1), data = Uint8Array.from({ length: 200 }, () => random.below(V));
/** A number for two of three tokens. */
const targets = Float32Array.from(data, (token, i) => i % 3 === 0 ? NaN : token / V);

Deno.test("masked: so many positions are chosen, 80 % masked, 10 % exchanged, 10 % left", () => {
  const counts = { masked: 0, other: 0, same: 0 }, n = 37, large = 200;
  const tokens = Uint8Array.from({ length: n * 300 }, () => random.below(large)), draws = { seed: 4, step: 2, micro: 1 };
  const { inputs, targets } = maskTokens(tokens, n, large, draws), places = new Uint32Array(n);
  for (let row = 0; row < tokens.length; row += n) {
    const chosen = [...targets.subarray(row, row + n).keys()].filter((i) => targets[row + i] !== NO_TARGET);
    assertEquals(chosen.length, 6); // round(0.15 · 37)
    chosen.forEach((i) => places[i]++);
  }
  tokens.forEach((token, at) => {
    if (targets[at] === NO_TARGET) return assertEquals(inputs[at], token);
    assertEquals(targets[at], token);
    counts[inputs[at] === large ? "masked" : inputs[at] === token ? "same" : "other"]++;
  });
  const all = 300 * 6, near = (count: number, part: number) => assert(Math.abs(count / all - part) < 0.03, `${count} of ${all}`);
  near(counts.masked, 0.8);
  near(counts.other, 0.1);
  near(counts.same, 0.1);
  assert(Math.min(...places) > 20 && Math.max(...places) < 85, `every place alike: ${places}`);
  assertEquals(maskTokens(tokens, n, large, draws).inputs, inputs);
  assert(maskTokens(tokens, n, large, { ...draws, step: 3 }).inputs.some((token, at) => token !== inputs[at]));
  assertEquals([1, 3, 4, 10, 512].map(maskedCount), [1, 1, 1, 2, 77]);
});

/** Losses of some steps, and the weights after them. */
async function trained(on: Engine, config: ModelConfig, constants: Partial<TrainConfig>, from?: Snapshot, steps = 3) {
  const trainer = await Trainer.create(on, config, { steps: 6, batch: 2, accumulate: 2, lr: 0.01, warmup: 0, ...constants }, from);
  const losses: number[] = [], { n_ctx } = config, scored = config.objective !== "masked";
  for (let done = trainer.done, end = done + steps; done < end; done++) {
    const part = <T extends Uint8Array | Float32Array>(of: T, m: number) => of.subarray((done * 2 + m) * 5, (done * 2 + m) * 5 + 2 * n_ctx);
    await trainer.step([0, 1].map((m) => part(data, m)), scored ? [0, 1].map((m) => part(targets, m)) : undefined);
    losses.push((await trainer.measure()).loss);
  }
  const snapshot = await trainer.snapshot();
  trainer.dispose();
  return { losses, snapshot };
}

for (const name of ENGINES.filter((name) => name !== "webgpu-default")) {
  engineTest(name, `masked: ${name}: training follows the reference engine, and goes on bit for bit`, async () => {
    const on = await engine(name), exact = await engine("reference"), isGpu = name.startsWith("webgpu");
    for (const objective of ["masked", "squared", "logistic"] as const) {
      const config = configOf(objective), want = await trained(exact, config, {});
      for (const constants of isGpu ? [{}] : [{}, { recompute: true }, { precision: "f16" as const }]) {
        const got = await trained(on, config, constants), close = "precision" in constants ? 2e-2 : 1e-4;
        got.losses.forEach((loss, step) =>
          assertAlmostEquals(loss, want.losses[step], close * want.losses[step], `${objective}, step ${step}`)
        );
        if (isGpu) continue;
        if (objective !== "logistic" && !constants.precision) {
          const memory = configOf(objective, { attention: { pattern: "fixed", stride: 4, memory: 2, causal: false } });
          const got = await trained(on, memory, constants), want = await trained(exact, memory, {});
          got.losses.forEach((loss, step) => assertAlmostEquals(loss, want.losses[step], 1e-4 * want.losses[step], `${objective}, memory`));
        }
        const whole = await trained(on, config, constants, undefined, 5), rest = await trained(on, config, constants, got.snapshot, 2);
        assertEquals(whole.losses, [...got.losses, ...rest.losses]);
        assertEquals(rest.snapshot.weights, whole.snapshot.weights);
      }
    }
  });

  engineTest(
    name,
    `masked: ${name}: each target of an update weighs alike, however micro-batches share them out; in evaluation it counts once`,
    async () => {
      const on = await engine(name),
        config = configOf("squared"),
        n = 18,
        few = targets.map((t, i) => i >= n && i < 2 * n ? t : i % 9 === 0 ? t : NaN);
      const losses = [];
      for (const accumulate of [1, 2]) {
        const batch = 2 / accumulate, at = (of: Uint8Array | Float32Array, m: number) => of.subarray(m * batch * n, (m + 1) * batch * n);
        const trainer = await Trainer.create(on, config, { batch, accumulate, steps: 1, lr: 0.01 });
        const micros = Array.from({ length: accumulate }, (_, m) => m);
        await trainer.step(micros.map((m) => at(data, m)), micros.map((m) => at(few, m)));
        losses.push((await trainer.measure()).loss);
        await assertRejects(() => trainer.step(micros.map((m) => at(data, m)), []), ShapeError, "tokens and targets, got");
        trainer.dispose();
      }
      assertAlmostEquals(losses[0], losses[1], 1e-5);
      // One target at each end of a window that lies over another.
      const model = await openEncoder({ config, weights: initialWeights(config, 3) }, { engine: on }), far = targets.map(() => NaN);
      far[4] = far[20] = 1;
      const scorer = await WindowScorer.create(on, model.params, 1),
        loss = (to: number) => scorer.loss(data.subarray(0, to), far.subarray(0, to));
      const [first, both] = [await loss(18), await loss(21)], last = await model.scores(data.subarray(3, 21));
      assertAlmostEquals(both, (first + (1 - last[17]) ** 2) / 2, 1e-5);
      await assertRejects(() => scorer.loss(data, targets.map(() => NaN)), DataError, "none of the 200 targets");
      scorer.dispose();
      model.dispose();
    },
  );

  engineTest(name, `masked: ${name}: logits, states and losses are those of the reference engine, at any length`, async () => {
    const on = await engine(name), exact = await engine("reference"), isGpu = name.startsWith("webgpu"), log = (x: number) => Math.log2(x);
    const patterns: ModelConfig["attention"][] = [
      { pattern: "strided", stride: 4, causal: false },
      { pattern: "fixed", stride: 4, c: 2, integration: "interleaved", causal: false },
      { pattern: "longformer", stride: 3, globals: 2, causal: false },
      { heads: [{ pattern: "fixed", stride: 4, memory: 2, c: 1, causal: false }, { pattern: "local", stride: 3, causal: false }] },
    ];
    for (const attention of isGpu ? patterns.slice(0, 1) : patterns) {
      const config = configOf("masked", { attention }), weights = initialWeights(config, 3), draw = new Random(3, 9);
      weights.get("out.weight")!.forEach((_, i, all) => all[i] = draw.normal());
      const [a, b] = await Promise.all([on, exact].map((engine) => openEncoder({ config, weights }, { engine })));
      for (const n of isGpu ? [18] : [1, 5, 13, 18]) {
        // A gap among them.
        const tokens = Uint32Array.from(data.subarray(3, 3 + n), (token, i) => i === n >> 1 ? V : token);
        const [got, want] = [await a.logits(tokens), await b.logits(tokens)];
        assertEquals(got.shape, [n, V]);
        assert(relativeError(got.data, want.data) < 1e-5);
        const states = await Promise.all([a, b].map((model) => model.embeddings(tokens, { layer: 1 })));
        assertEquals(states[0].shape, [n, 8]);
        assert(relativeError(states[0].data, states[1].data) < 1e-5);
      }
      // What evaluation reports, by hand: whatever goes together, the last window over the end.
      let sum = 0, count = 0;
      for (const [step, from] of [0, 18, 32].entries()) {
        const { inputs, targets } = maskTokens(data.subarray(from, from + 18), 18, V, { seed: 0, step, micro: 0 });
        const { data: logits } = await b.logits(inputs);
        targets.forEach((target, i) => {
          if (target === NO_TARGET) return;
          const row = Array.from(logits.subarray(i * V, (i + 1) * V), (x) => Math.exp(x));
          sum -= log(row[target] / row.reduce((x, y) => x + y));
          count++;
        });
      }
      for (const batch of isGpu ? [2] : [1, 2, 5]) {
        const scorer = await WindowScorer.create(on, a.params, batch);
        assertAlmostEquals(await scorer.loss(data.subarray(0, 50)), sum / count, 1e-4);
        scorer.dispose();
      }
      a.dispose();
      b.dispose();
    }
  });
}

/** Trains to the end, and opens what came out. */
async function learnt(config: ModelConfig, tokens: Uint8Array, more: Partial<TrainConfig>, wanted?: Float32Array) {
  const on = await engine("wasm"), reports: number[] = [];
  let last: Snapshot | undefined;
  const held = wanted && { heldOut: tokens.subarray(0, 64), heldOutTargets: wanted.subarray(0, 64) };
  const constants = { batch: 8, lr: 0.01, warmup: 5, ...more }, options = { engine: on, config, data: tokens, targets: wanted, ...held };
  for await (const report of train({ ...options, train: constants, evaluations: 2, heldOut: held?.heldOut ?? tokens.subarray(0, 40) })) {
    reports.push(report.heldOut ?? NaN);
    if (report.last) last = await report.snapshot();
  }
  return { model: await openEncoder({ config, weights: last!.weights }, { engine: on }), heldOut: reports.at(-1)! };
}

Deno.test("masked: a model that knows a text fills its gaps", async () => {
  const text = new TextEncoder().encode("the cat sat on the mat. ".repeat(20)),
    config = configOf("masked", { n_ctx: 24, vocab_size: 128, d_model: 16, d_qk: 16, d_ff: 32 });
  const { model, heldOut } = await learnt(config, text, { steps: 300 });
  assert(heldOut < 1, `${heldOut} bits per masked token`);
  const fill = async (gapped: string, options = {}) => {
    const filled = await model.fill(Array.from(new TextEncoder().encode(gapped), (byte) => byte === 95 ? null : byte), options);
    return { ...filled, text: new TextDecoder().decode(Uint8Array.from(filled.tokens)) };
  };
  for (
    const [gapped, options] of [["the c_t sa_ on the m_t. ", {}], ["the c_t sa_ on the m_t. ", { steps: 1 }], ["th_ cat s_t on the mat. ", {
      steps: 9,
    }]] as const
  ) {
    const { text, probabilities } = await fill(gapped, options);
    assertEquals(text, "the cat sat on the mat. ");
    probabilities.forEach((p, i) => assert(gapped[i] === "_" ? p > 0 && p < 1 : p === 1));
  }
  const drawn = await Promise.all([1, 1, 2].map((seed) => fill("_".repeat(12), { temperature: 1.5, seed })));
  assertEquals(drawn[0].text, drawn[1].text);
  assert(drawn[0].text !== drawn[2].text);
  assertEquals((await fill("mat.")).text, "mat.");
  const refused: [() => Promise<unknown>, typeof LongstrideError, string][] = [
    [() => model.fill([200]), ConfigError, "token 0 must be a whole number from 0 to 127"],
    [() => model.fill(new Array(25).fill(null)), ShapeError, "the model reads 1 to 24 tokens at once, got 25"],
    [() => model.fill([]), ShapeError, "got 0"],
    [() => model.fill([1], { steps: 0 }), ConfigError, "steps must be"],
    [() => model.logits([129]), ShapeError, "token 129 at place 0 is outside the vocabulary of 128"],
    [() => model.embeddings([1], { layer: 3 }), ConfigError, "layer must be a whole number from 0 to 2"],
    [() => model.scores([1]), ConfigError, "the model says masked tokens (objective masked)"],
    [() => scoreEntries(model, [[1]]), ConfigError, "needed is one that says a number per position (squared)"],
  ];
  for (const [call, kind, says] of refused) {
    const { message } = await assertRejects(call, kind);
    assert(message.includes(says), message);
  }
  model.dispose();
  await assertRejects(() => model.logits([1]), ConfigError, "disposed");
});

for (const objective of ["squared", "logistic"] as const) {
  Deno.test(`masked: ${objective}: a score that needs what comes after is learnt; entries get the scores of their positions`, async () => {
    // 1 where the next token is 2: nothing before tells.
    const tokens = Uint8Array.from({ length: 640 }, () => random.below(3)),
      wanted = Float32Array.from(tokens, (_, i) => tokens[i + 1] === 2 ? 1 : 0);
    wanted[wanted.length - 1] = NaN;
    const config = configOf(objective, { n_ctx: 16, vocab_size: 3, d_model: 16, d_qk: 16, d_ff: 32 });
    const { model, heldOut } = await learnt(config, tokens, { steps: 200 }, wanted);
    // The mean of the targets leaves 2/9 of a square, 0.92 bits; at a window's end nothing is known.
    assert(heldOut < (objective === "squared" ? 0.07 : 0.35), `${heldOut}`);
    const scores = await model.scores([0, 0, 1, 2, 2, 0, 1, 1]);
    for (const [i, score] of scores.subarray(0, 7).entries()) assert((score > 0.5) === [2, 3].includes(i), `${scores}`);
    if (objective === "logistic") assert(scores.every((score) => score > 0 && score < 1));
    const entries = [[0, 0, 1], [2], [2, 0, 1, 1]], by = (ends: number[]) => Float64Array.from(ends);
    const close = (got: Float64Array, want: Float64Array) => got.forEach((x, i) => assertAlmostEquals(x, want[i], 1e-6));
    const mean = (from: number, to: number) => scores.subarray(from, to).reduce((a, b) => a + b) / (to - from);
    close(await scoreEntries(model, entries), by([mean(0, 3), mean(3, 4), mean(4, 8)]));
    close(await scoreEntries(model, entries, { by: "last" }), by([scores[2], scores[3], scores[7]]));
    assertEquals(await scoreEntries(model, []), new Float64Array());
    await assertRejects(() => scoreEntries(model, [[1], []]), ShapeError, "entry 1 has no tokens");
    await assertRejects(() => scoreEntries(model, [new Uint8Array(17)]), ShapeError, "reads 1 to 16 tokens at once, got 17");
    await assertRejects(() => scoreEntries(model, [[1]], { by: "first" as "last" }), ConfigError, "by must be one of mean, last");
    await assertRejects(() => model.fill([null]), ConfigError, "Cannot fill gaps: the model says");
    model.dispose();
  });
}

Deno.test("masked: what needs next tokens refuses the others, by name", async () => {
  const on = await engine("wasm");
  for (const objective of ["masked", "squared"] as const) {
    // A causal model of numbers is one too.
    const causal = objective === "squared", config = configOf(objective, causal ? { attention: { pattern: "dense" } } : {});
    const params = new Parameters(config), weights = initialWeights(config, 1);
    on.allocate(params.all);
    const what = objective === "masked" ? "masked tokens" : "a number per position";
    await assertRejects(() => Scorer.create(on, params, 1), ConfigError, `Cannot evaluate: the model says ${what}`);
    await assertRejects(() => openModel({ config, weights }, { engine: on }), ConfigError, `the model's objective is ${objective}`);
    await assertRejects(() => compress({ engine: on, params }, data), ConfigError, `Cannot compress: the model says ${what}`);
    on.free(params.all);
  }
  const next = { ...configOf("next"), attention: { pattern: "dense" } } as const, nextParams = new Parameters(next);
  await assertRejects(() => WindowScorer.create(on, nextParams, 1), ConfigError, "the model says next tokens");
  await assertRejects(
    () => Encoder.create({ config: next, weights: initialWeights(next, 1) }, { engine: on }),
    ConfigError,
    "says next tokens",
  );
  const causal = configOf("masked", { attention: [{ pattern: "dense", causal: false }, { pattern: "dense" }] });
  await assertRejects(() => Trainer.create(on, causal, {}), ConfigError, "the attention of layer 1 is causal");
  await assertRejects(() => Trainer.create(on, { ...next, attention: { pattern: "dense", causal: false } }, {}), ConfigError, "not causal");
  const options = { engine: on, data, train: { steps: 1 } }, first = (given: TrainGiven) => train(given).next();
  await assertRejects(() => first({ ...options, config: configOf("squared") }), ConfigError, "objective squared needs targets");
  await assertRejects(() => first({ ...options, config: configOf("masked"), targets }), ConfigError, "the model's is masked");
  await assertRejects(() => first({ ...options, config: configOf("squared"), targets: targets.subarray(1) }), ShapeError, "199 targets");
  await assertRejects(() => first({ ...options, config: configOf("squared"), targets, heldOut: data }), ConfigError, "needs targets");
  const odd = (value: number) => new Float32Array(data.length).fill(value);
  const bad: [Objective, number, string][] = [["squared", NaN, "none of the training targets is a number"], [
    "squared",
    Infinity,
    "Infinity at place 0",
  ], [
    "logistic",
    2,
    "target 2 at place 0: it must be from 0 to 1, or NaN",
  ], ["logistic", -1, "target -1"]];
  for (const [objective, value, says] of bad) {
    await assertRejects(() => first({ ...options, config: configOf(objective), targets: odd(value) }), DataError, says);
  }
  // A glance at one window that has no target is a look at all.
  const rare = odd(NaN), few = { ...options, config: configOf("squared"), targets: odd(1), heldOut: data, heldOutTargets: rare };
  rare[199] = 1;
  for await (const { heldOut, last } of train({ ...few, evaluations: 1, evaluationTokens: 18 })) if (last) assert(heldOut! > 0);
  const params = new Parameters(configOf("masked"));
  on.allocate(params.all);
  const scorer = await WindowScorer.create(on, params, 2);
  await assertRejects(() => scorer.loss(data.subarray(0, 17)), DataError, "there are 17 tokens, one window is 18");
  await assertRejects(() => scorer.loss(data, targets), ConfigError, "targets are for objectives squared and logistic");
  scorer.dispose();
  on.free(params.all);
});

type TrainGiven = globalThis.Parameters<typeof train>[0];

Deno.test("masked: the command line trains, goes on, evaluates in a unit of its own, and does not sample", async () => {
  const made = await answer(...tiny("gaps", "--objective", "masked", "--steps", "6", "--batch", "2"));
  assertEquals([made.code, made.err], [0, ""]);
  assert(/held-out [\d.]+ bits per masked token/.test(made.out) && !/bits\/byte|gzip/.test(made.out), made.out);
  assertEquals(JSON.parse(Deno.readTextFileSync(join(at("gaps"), "config.json"))).attention.causal, false);
  assert(Deno.readTextFileSync(join(at("gaps"), "loss.svg")).includes("bits per masked token"));
  const evaluated = await answer("evaluate", at("gaps"), "--backend", "wasm", "--json");
  const { loss, unit } = evaluated.events.at(-1)!, shown = /held-out ([\d.]+)/.exec(made.out.slice(made.out.lastIndexOf("held-out")))![1];
  assertEquals([(loss as number).toFixed(3), unit], [shown, "bits per masked token"], evaluated.err);
  const { code, events } = await answer("train", "--resume", at("gaps"), "--steps", "8", "--backend", "wasm", "--json");
  assertEquals([code, events.at(-1)!.step, events[0].order0], [0, 8, undefined]);
  failed(await answer("sample", at("gaps"), "--backend", "wasm"), 1, "the model's objective is masked, not next; openEncoder reads it");
  const exported = await answer("export", at("gaps"), "--out", at("exported"));
  assertEquals([exported.code, exported.out.includes("openEncoder reads it"), exported.out.includes("<longstride")], [0, true, false]);
  failed(await answer("compress", at("text.txt"), "--model", at("gaps")), 1, "Cannot compress: the model says masked tokens");
  failed(await answer("evaluate", at("gaps"), "--min-context", "3", "--backend", "wasm"), 2, "Cannot use --min-context");
  failed(await answer("train", "--resume", at("gaps"), "--objective", "next"), 2, "Cannot use --objective with --resume");
  failed(await answer(...tiny("none", "--objective", "masked", "--causal")), 1, "the attention of layer 0 is causal");
});
