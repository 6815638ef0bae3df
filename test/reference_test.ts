/**
 * The oracle itself against finite differences.
 *
 * Plan. For each operation with a backward pass, and for a whole model, the derivative of a random projection of the outputs along a
 * random direction of the inputs, (f(x + ε) − f(x − ε)) / 2ε.
 */

import { assert } from "@std/assert";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import "../src/model/routed.ts";
import { trainingProgram } from "../src/model/train.ts";
import { checkTrain } from "../src/files/train_config.ts";
import type { ModelConfig } from "../src/files/model_config.ts";
import { NO_TARGET, type Op, operands, Program, size, type Tensor, tensor } from "../src/ops/mod.ts";
import { learningRate, optimizerState, optimizerTensors, scheduleRows } from "../src/model/optimizer.ts";
import { alibiSlopes } from "../src/pattern/alibi.ts";
import { resolveSets } from "../src/pattern/sets.ts";
import { Random } from "../src/base/random.ts";
import { batchOf } from "../src/run/window_scorer.ts";
import { ReferenceEngine } from "../src/engines/reference/engine.ts";
import { PATTERNS } from "./patterns.ts";

const random = new Random(99, 1);
const normals = (n: number) => Float64Array.from({ length: n }, () => random.normal());

/** Runs one operation in float64. */
async function run(op: Op, inputs: Map<Tensor, Float64Array>, outputs: readonly Tensor[]): Promise<Float64Array[]> {
  const engine = new ReferenceEngine(), program = new Program("op");
  program.add(op);
  const { reads, writes } = operands(op);
  engine.allocate([...inputs.keys(), ...reads, ...writes]);
  for (const [t, data] of inputs) engine.write(t, data);
  await (await engine.compile(program)).run();
  return await Promise.all(outputs.map(async (t) => Float64Array.from(await engine.read(t))));
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);

/**
 * Holds gradients against differences of `y` along a random direction of each input.
 *
 * @param wanted input → the gradient that the backward operation gave for dy
 */
async function hold(
  name: string,
  forward: Op,
  y: Tensor,
  dy: Float64Array,
  inputs: Map<Tensor, Float64Array>,
  wanted: Map<Tensor, Float64Array>,
) {
  for (const [x, gradient] of wanted) {
    const direction = normals(size(x)), epsilon = 1e-5;
    const at = async (sign: number) => {
      const moved = new Map(inputs);
      moved.set(x, inputs.get(x)!.map((value, i) => value + sign * epsilon * direction[i]));
      const results = await run(forward, moved, [y]);
      return dot(results[0], dy);
    };
    const numeric = (await at(1) - await at(-1)) / (2 * epsilon), analytic = dot(gradient, direction);
    const scale = Math.hypot(...gradient) + Math.abs(numeric) + 1e-12;
    assert(Math.abs(numeric - analytic) / scale < 1e-8, `${name}, ${x.name}: ${analytic} against ${numeric}`);
  }
}

Deno.test("reference: layernorm's gradient", async () => {
  const x = tensor("x", [5, 7]), gain = tensor("gain", [7]), bias = tensor("bias", [7]), y = tensor("y", [5, 7]);
  const mean = tensor("mean", [5]), rstd = tensor("rstd", [5]), dy = tensor("dy", [5, 7]);
  const inputs = new Map([x, gain, bias].map((t) => [t, normals(size(t))])), g = normals(35);
  const forward: Op = { op: "layernorm", x, gain, bias, y, mean, rstd };
  const [, m, r] = await run(forward, inputs, [y, mean, rstd]);
  const dx = tensor("dx", [5, 7]), dGain = tensor("dGain", [7]), dBias = tensor("dBias", [7]);
  const [gx, gg, gb] = await run(
    { op: "layernorm_backward", x, gain, mean, rstd, dy, dx, dGain, dBias, accumulate: false },
    new Map([...inputs, [mean, m], [rstd, r], [dy, g]]),
    [dx, dGain, dBias],
  );
  await hold("layernorm", forward, y, g, inputs, new Map([[x, gx], [gain, gg], [bias, gb]]));
});

Deno.test("reference: linear's gradients, with gelu and residual", async () => {
  const x = tensor("x", [6, 5]), w = tensor("w", [4, 5]), b = tensor("b", [4]), y = tensor("y", [6, 4]), dy = tensor("dy", [6, 4]);
  const inputs = new Map([x, w, b].map((t) => [t, normals(size(t))])), g = normals(24);
  const dx = tensor("dx", [6, 5]), dw = tensor("dw", [4, 5]), db = tensor("db", [4]), given = new Map([...inputs, [dy, g]]);
  const [gx] = await run({ op: "linear_input_grad", dy, w, dx }, given, [dx]);
  const [gw, gb] = await run({ op: "linear_weight_grad", dy, x, dw, db, accumulate: false }, given, [dw, db]);
  await hold("linear", { op: "linear", x, w, b, y }, y, g, inputs, new Map([[x, gx], [w, gw], [b, gb]]));

  // gelu: d/dpre of Σ (gelu(pre)·w2ᵀ)·dy is linear_input_grad with `pre`; pre = I·preᵀ through an identity weight.
  const identity = tensor("identity", [5, 5]), eye = Float64Array.from({ length: 25 }, (_, i) => i % 6 === 0 ? 1 : 0);
  const pre = tensor("pre", [6, 5]), active = tensor("y", [6, 5]), dPre = tensor("dx", [6, 5]), z = normals(30).map((v) => v * 2);
  const [gPre] = await run({ op: "linear_input_grad", dy, w, dx: dPre, pre }, new Map([...given, [pre, z]]), [dPre]);
  const [da] = await run({ op: "linear_input_grad", dy, w, dx }, given, [dx]);
  const through: Op = { op: "linear", x: pre, w: identity, y: active, activation: "gelu" };
  await hold("gelu", through, active, da, new Map([[pre, z], [identity, eye]]), new Map([[pre, gPre]]));
});

/** What attention may have beside its sets: heads that share keys and values, slopes, spans, some of them empty. */
const BESIDE = {
  "": {},
  ", with all options": {
    kvHeads: 2,
    slopes: alibiSlopes(4),
    spans: Uint32Array.from({ length: 60 }, (_, at) => (at >> 1) * (at & 1 ? 17 : 7) % 35),
  },
};

for (const { name, config, layer } of PATTERNS) {
  for (const [options, { spans: given, ...beside }] of Object.entries<{ kvHeads?: number; spans?: Uint32Array }>(BESIDE)) {
    Deno.test(`reference: attention's gradients, ${name}${options}`, async () => {
      const n = 30, heads = 4, dqk = 3, dvh = 4, sets = resolveSets(config, { n, layer: layer ?? 0, heads }), kv = beside.kvHeads ?? heads;
      const q = tensor("q", [n, heads * dqk]), k = tensor("k", [n, kv * dqk]), v = tensor("v", [n, kv * dvh]);
      const o = tensor("o", [n, heads * dvh]), lse = tensor("lse", [1, heads, n]), dO = tensor("dO", o.shape);
      const spans = given && tensor("spans", [1, n, 2], "u32"), delta = tensor("delta", [1, heads, n]);
      const inputs = new Map([q, k, v].map((t) => [t, normals(size(t))])), g = normals(size(o));
      if (spans) inputs.set(spans, Float64Array.from(given));
      const shared = { q, k, v, o, lse, sets, batch: 1, n, spans, ...beside }, forward: Op = { op: "attention", ...shared };
      const [out, stats] = await run(forward, inputs, [o, lse]);
      const dq = tensor("dq", q.shape), dk = tensor("dk", k.shape), dv = tensor("dv", v.shape);
      const [gq, gk, gv] = await run(
        { op: "attention_backward", ...shared, dO, delta, dq, dk, dv },
        new Map([...inputs, [o, out], [lse, stats], [dO, g]]),
        [dq, dk, dv],
      );
      await hold("attention", forward, o, g, inputs, new Map([[q, gq], [k, gk], [v, gv]]));
    });
  }
}

Deno.test("reference: attention's gradients, between two sequences", async () => {
  const n = 7,
    keys = 12,
    heads = 4,
    kv = 2,
    batch = 2,
    of = (name: string, rows: number, width: number) => tensor(name, [batch * rows, width]);
  const intervals = Array.from({ length: n }, (_, i): [number, number][] => i === 3 ? [] : [[i, i + 4], [0, 2]]);
  const sets = Array.from({ length: heads }, () => ({ kind: "intervals", intervals, causal: false, keys }) as const);
  const q = of("q", n, heads * 3), k = of("k", keys, kv * 3), v = of("v", keys, kv * 5), o = of("o", n, heads * 5);
  const [lse, delta] = ["lse", "delta"].map((name) => tensor(name, [batch, heads, n])), dO = tensor("dO", o.shape);
  const inputs = new Map([q, k, v].map((t) => [t, normals(size(t))])), g = normals(size(o));
  const shared = { q, k, v, o, lse, sets, batch, n, kvHeads: kv, slopes: alibiSlopes(heads) }, forward: Op = { op: "attention", ...shared };
  const [out, stats] = await run(forward, inputs, [o, lse]),
    dq = tensor("dq", q.shape),
    dk = tensor("dk", k.shape),
    dv = tensor("dv", v.shape);
  const given = new Map([...inputs, [o, out], [lse, stats], [dO, g]]);
  const [gq, gk, gv] = await run({ op: "attention_backward", ...shared, dO, delta, dq, dk, dv }, given, [dq, dk, dv]);
  await hold("attention", forward, o, g, inputs, new Map([[q, gq], [k, gk], [v, gv]]));
});

Deno.test("reference: cross-entropy's gradient", async () => {
  const logits = tensor("logits", [4, 6]), targets = tensor("targets", [4], "u32"), losses = tensor("losses", [4]);
  const dLogits = tensor("dLogits", [4, 6]), z = normals(24), t = Float64Array.of(0, 5, NO_TARGET, 2);
  const [gradient] = await run({ op: "cross_entropy", logits, targets, losses, dLogits, scale: 1 }, new Map([[logits, z], [targets, t]]), [
    dLogits,
  ]);
  const forward: Op = { op: "cross_entropy", logits, targets, losses, scale: 1 };
  await hold(
    "cross_entropy",
    forward,
    losses,
    new Float64Array(4).fill(1),
    new Map([[logits, z], [targets, t]]),
    new Map([[logits, gradient]]),
  );
});

for (const kind of ["squared", "logistic"] as const) {
  Deno.test(`reference: the gradient of the ${kind} loss`, async () => {
    const [x, dX] = ["x", "dX"].map((name) => tensor(name, [5, 1])), losses = tensor("losses", [5]), g = new Float64Array(5).fill(1);
    const [targets, weights] = ["targets", "weights"].map((name) => tensor(name, [5]));
    const inputs = new Map([[x, normals(5)], [targets, normals(5)], [weights, Float64Array.of(1, 0, 2, 0.5, 1)]]);
    const forward: Op = { op: "score_loss", kind, x, targets, weights, losses, scale: 1 };
    const [gradient] = await run({ ...forward, dX }, inputs, [dX]);
    await hold("score_loss", forward, losses, g, inputs, new Map([[x, gradient]]));
  });
}

/** A small model with everything switched on. */
const CONFIG: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 12,
  n_layer: 2,
  n_head: 2,
  d_model: 8,
  d_ff: 12,
  d_qk: 4,
  vocab_size: 11,
  dropout: 0.3,
  attention: { pattern: "fixed", stride: 4, c: 2, integration: "interleaved" },
  position: { kind: "attention", stride: 4 },
};

const BOTH_WAYS: Partial<ModelConfig> = { attention: { pattern: "strided", stride: 4, causal: false } };
const MEMORY: Partial<ModelConfig> = { attention: { pattern: "fixed", stride: 4, memory: 2, c: 1 } };
// Differences are too small to change a choice.
const ROUTED: Partial<ModelConfig> = { attention: { pattern: "routed", block: 2, top_k: 2, window: 3, compressed: true } };
const MEMORY_BOTH_WAYS: Partial<ModelConfig> = { attention: { pattern: "fixed", stride: 4, memory: 2, c: 1, causal: false } };

for (
  const [name, more, recompute] of [
    ["", {}, false],
    [", recomputed", {}, true],
    [", with memory tokens", MEMORY, true],
    [", routed", ROUTED, true],
    [", routed in one layer", { attention: [{ pattern: "local", stride: 3 }, { pattern: "routed", block: 3, top_k: 1 }] }, false],
    [", of masked tokens", { ...BOTH_WAYS, objective: "masked" }, true],
    [", of numbers", { ...BOTH_WAYS, objective: "squared" }, false],
    [", of numbers with memory tokens", { ...MEMORY_BOTH_WAYS, objective: "squared" }, false],
  ] as [string, Partial<ModelConfig>, boolean][]
) {
  Deno.test(`reference: gradients of a whole model with dropout, 2 micro-batches${name}`, async () => {
    const config = { ...CONFIG, ...more }, wanted = normals(24).map((x, i) => i % 5 ? x : NaN);
    const train = checkTrain({ steps: 5, batch: 2, accumulate: 2, recompute, seed: 3 });
    const params = new Parameters(config),
      optimizer = optimizerTensors(params.all, train.optimizer),
      step = trainingProgram(params, optimizer, train);
    const weights = new Map(
      [...initialWeights(config, 5)].map(([name, w]) => [name, Float64Array.from(w, (x) => x + 0.1 * random.normal())]),
    );
    const tokens = [0, 1].map(() => Array.from({ length: 24 }, () => random.below(11)));
    const lossAt = async (w: Map<string, Float64Array>): Promise<[number, Float64Array[]]> => {
      const engine = new ReferenceEngine();
      engine.allocate([...params.all, ...optimizer.grads, ...optimizer.m, ...optimizer.v]);
      engine.allocate(optimizerState(optimizer));
      engine.allocate([...step.constants.keys(), ...step.batches.flatMap((b) => Object.values(b) as Tensor[])]);
      for (const [t, data] of step.constants) engine.write(t, data);
      for (const p of params.all) engine.write(p, w.get(p.name)!);
      step.batches.forEach((batch, m) =>
        batchOf(batch, config, 12, tokens[m], { seed: 1, step: 0, micro: m }, wanted).forEach((data, t) => engine.write(t, data))
      );
      engine.write(optimizer.schedule, scheduleRows(train, 0));
      engine.write(optimizer.seeds, Uint32Array.of(3, 8));
      await (await engine.compile(step.program)).run();
      const grads = await Promise.all(optimizer.grads.map(async (t) => Float64Array.from(await engine.read(t))));
      return [(await engine.read(optimizer.loss))[0], grads];
    };
    const [, grads] = await lossAt(weights);
    for (let i = 0; i < params.all.length; i++) {
      // Rows of little variance bend norms: what 1e-5 leaves out was 7e-7 of a gradient, and falls with its square.
      const { name } = params.all[i], direction = normals(grads[i].length), epsilon = 3e-6;
      const at = (sign: number) =>
        lossAt(new Map(weights).set(name, weights.get(name)!.map((x, at) => x + sign * epsilon * direction[at])));
      const numeric = ((await at(1))[0] - (await at(-1))[0]) / (2 * epsilon), analytic = dot(grads[i], direction);
      assert(Math.abs(numeric - analytic) < 1e-7 * (Math.hypot(...grads[i]) + 0.01), `${name}: ${analytic} against ${numeric}`);
    }
  });
}

Deno.test("optimizer: the schedule warms up, peaks at lr and ends at 0", () => {
  const train = checkTrain({ steps: 6, warmup: 2, lr: 0.003 });
  const rates = [0, 1, 2, 3, 4, 5, 6].map((t) => learningRate(t, train));
  [0.0015, 0.003, 0.003, 0.003 * 0.5 * (1 + Math.SQRT1_2), 0.0015, 0.003 * 0.5 * (1 - Math.SQRT1_2), 0].forEach((want, t) =>
    assert(Math.abs(rates[t] - want) < 1e-12, `${t}: ${rates[t]}`)
  );
});
