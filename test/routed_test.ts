/**
 * Routed attention as a layer of a model. Its operations are conformance_test.ts's, its gradients reference_test.ts's, its decoding
 * sample_test.ts's.
 *
 * Plan. Training goes on bit for bit, recomputed or not, with a last block that is short, and is the oracle's after some steps, with activations
 * of f16 nearly; gates begin alike. Cost follows top_k, whatever n. What is not supported is refused by name. A file goes through the model and back.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../src/base/errors.ts";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import { phasesOf } from "../src/files/phases.ts";
import { preset } from "../src/files/presets.ts";
import { byMuon, checkTrain, type TrainConfig } from "../src/files/train_config.ts";
import { Random } from "../src/base/random.ts";
import { Emitter, NO_DROPOUT } from "../src/model/emitter.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { optimizerTensors } from "../src/model/optimizer.ts";
import { Parameters } from "../src/model/parameters.ts";
import "../src/model/routed.ts";
import { trainingProgram } from "../src/model/train.ts";
import type { Engine } from "../src/ops/mod.ts";
import { Program, size, tensor } from "../src/ops/mod.ts";
import { attends } from "../src/pattern/attends.ts";
import { buildLayout } from "../src/pattern/layout.ts";
import { type AttentionConfig, type ModelAttention, resolveSets } from "../src/pattern/sets.ts";
import { attentionMaps } from "../src/run/maps.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { SparseAttention } from "../src/run/sparse_attention.ts";
import { type Snapshot, Trainer } from "../src/run/train.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";
import { SMALL, TEXT } from "./model.ts";

const ROUTED: AttentionConfig = { pattern: "routed", block: 8, top_k: 1, window: 10, compressed: true };
const modelOf = (attention: ModelAttention, more: Partial<ModelConfig> = {}) => checkConfig({ ...SMALL, n_ctx: 45, attention, ...more });
const MODEL = modelOf([{ pattern: "local", stride: 4 }, ROUTED]);
const bytes = new TextEncoder().encode(TEXT);
const TRAIN: Partial<TrainConfig> = { batch: 2, steps: 4, lr: 0.01, warmup: 1 };

/** A snapshot after steps from … to. */
async function trained(on: Engine, more: Partial<TrainConfig> = {}, from?: Snapshot, to = 4): Promise<Snapshot> {
  const trainer = await Trainer.create(on, MODEL, { ...TRAIN, ...more }, from);
  for (let step = from?.step ?? 0; step < to; step++) await trainer.step([bytes.subarray(step * 90, step * 90 + 90)]);
  const end = await trainer.snapshot();
  trainer.dispose();
  return end;
}

function sameBits(a: Snapshot, b: Snapshot): void {
  for (const [name, values] of a.weights) {
    const other = b.weights.get(name)!;
    assert(values.every((x, at) => Object.is(x, other[at])), name);
  }
}

for (const name of ENGINES.filter((name) => name !== "webgpu-default")) {
  engineTest(name, `routed: ${name}: training goes on in every bit, recomputed or not, and is as the oracle's`, async () => {
    const on = await engine(name), whole = await trained(on), half = await trained(on, {}, undefined, 2);
    sameBits(await trained(on, {}, half), whole);
    sameBits(await trained(on, { recompute: true }), whole);
    const { weights } = await trained(await engine("reference"));
    // Adam turns the noise of a gradient that is exactly 0 into steps.
    for (const [name, want] of weights) {
      if (!name.endsWith("k.bias")) assert(relativeError(whole.weights.get(name)!, want) < 1e-3, name);
    }
    const gate = whole.weights.get("layers.1.attn.gate.weight")!;
    assert(gate.some((x) => x !== 0), "gates learn");
  });

  engineTest(name, `routed: ${name}: activations of f16, and windows shorter than the context`, async () => {
    const on = await engine(name), params = new Parameters(MODEL), weights = initialWeights(MODEL, 3);
    const { weights: half } = await trained(on, { precision: "f16" }), { weights: want } = await trained(await engine("reference"));
    const gate = "layers.1.attn.gate.weight", difference = relativeError(half.get(gate)!, want.get(gate)!);
    assert(difference < 0.3, `${difference}`);
    on.allocate(params.all);
    for (const p of params.all) on.write(p, weights.get(p.name)!);
    // What stands behind a sequence changes nothing before it.
    const scores = async (n: number) => {
      const scorer = await Scorer.create(on, params, 1, n), losses = await scorer.score(bytes.subarray(0, n));
      scorer.dispose();
      return losses;
    };
    const all = await scores(45);
    for (const n of [1, 8, 9, 30]) assert(relativeError(await scores(n), all.slice(0, n)) < 5e-6, `${n}`);
    on.free(params.all);
  });
}

Deno.test("routed: a gate of each head and branch, which begin alike and sum to 1; AdamW's", () => {
  const shapes = parameterShapes(MODEL),
    weights = initialWeights(MODEL, 1),
    [gate, bias] = ["weight", "bias"].map((of) => `layers.1.attn.gate.${of}`);
  assertEquals([shapes.get(gate), shapes.get(bias), shapes.has("layers.0.attn.gate.weight")], [[6, 16], [6], false]);
  for (const branches of [2, 3]) {
    const b = initialWeights(modelOf({ ...ROUTED, compressed: branches === 3 }), 1).get("layers.0.attn.gate.bias")!;
    assert(Math.abs(branches / (1 + Math.exp(-b[0])) - 1) < 1e-6);
  }
  assert(weights.get(gate)!.every((x) => x === 0));
  assertEquals(byMuon(gate, [6, 16], "muon"), false);
});

Deno.test("routed: cost follows top_k and the window, whatever n", async () => {
  const pairs = async (n: number, top_k: number) => {
    const [set] = resolveSets({ pattern: "routed", block: 64, top_k, window: 64 }, { n, layer: 0, heads: 1 });
    return (await buildLayout(set, n, { q: 64, k: 64 })).pairs;
  };
  for (const n of [4096, 65536]) for (const top_k of [1, 4]) assert(await pairs(n, top_k) <= n * (65 + 64 * top_k), `${n}, ${top_k}`);
  const set = resolveSets({ pattern: "routed", block: 5, top_k: 2, window: 8 }, { n: 43, layer: 0, heads: 1 })[0];
  const held = Array.from({ length: 43 * 43 }, (_, at) => attends(set, Math.floor(at / 43), at % 43)).filter(Boolean).length;
  assertEquals((await buildLayout(set, 43, { q: 8, k: 8 })).pairs, held);
  // Of a training step nothing grows with the square of n but the choice's products, which no tensor holds.
  const bytesOf = (n_ctx: number, top_k: number) => {
    const config = modelOf({ pattern: "routed", block: 64, top_k, compressed: true }, { n_ctx }), params = new Parameters(config);
    const { program } = trainingProgram(params, optimizerTensors(params.all, "adamw"), checkTrain({ optimizer: "adamw" }));
    const tensors = new Set(program.ops.flatMap((op) => Object.values(op).flat()).filter((t) => t?.shape && t.scratch));
    return [...tensors].reduce((sum: number, t) => sum + size(t), 0);
  };
  const one = bytesOf(4096, 4);
  assert(Math.abs(bytesOf(16384, 4) / one - 4) < 0.01);
  assert(bytesOf(4096, 8) < 2 * one);
});

Deno.test("routed: maps weigh what the layer adds up, each branch by its share of the gates", async () => {
  const on = await engine("reference"), n = 45, model = modelOf({ ...ROUTED, top_k: 2 }, { vocab_size: 9 }), params = new Parameters(model);
  const random = new Random(5, 1), program = new Program("kept"), at = (name: string) => `layers.0.attn.${name}`;
  const e = new Emitter(program, params, 1, n, "f32", new Set(["v", "o", "gate"].map(at))), tokens = tensor("tokens", [n], "u32");
  const { attended: { v, o }, routed } = e.block(0, e.embed(tokens), NO_DROPOUT, false), gates = routed!.gates;
  on.allocate([...params.all, ...e.constants.keys(), tokens, v, o, gates]);
  for (const p of params.all) on.write(p, Float32Array.from({ length: size(p) }, () => random.normal() * 0.5));
  for (const [t, data] of e.constants) on.write(t, data);
  const text = Uint32Array.from({ length: n }, () => random.below(9));
  on.write(tokens, Uint32Array.from([9, ...text.subarray(0, -1)]));
  await (await on.compile(program)).run();
  const [vs, os, zs] = await Promise.all([v, o, gates].map((t) => on.read(t)));
  for await (const { head, rows } of attentionMaps(on, params, text, { layers: [0] })) {
    assertEquals(rows.length, n);
    for (const { query, keys, weights } of rows) {
      assert(
        Math.abs(weights.reduce((a, b) => a + b) - 1) < 1e-5 && keys.every((key, i) => key <= query && (i === 0 || key > keys[i - 1])),
      );
      // Of the first block queries see the window alone.
      const gate = (p: number) => 1 / (1 + Math.exp(-zs[query * 6 + p * 2 + head])), all = gate(0) + (query < 8 ? 0 : gate(1) + gate(2));
      for (let c = head * 8; c < head * 8 + 8; c++) {
        const sum = keys.reduce((sum, key, i) => sum + weights[i] * vs[key * 16 + c], 0) * all;
        assert(Math.abs(sum - os[query * 16 + c]) < 1e-5, `${query}`);
      }
    }
  }
  on.free([...params.all, ...e.constants.keys(), tokens, v, o, gates]);
});

Deno.test("routed: what is not supported is refused by name", async () => {
  const cannot = (attention: ModelAttention, message: string, more: Partial<ModelConfig> = {}) =>
    assertStringIncludes(assertThrows(() => modelOf(attention, more), ConfigError).message, message);
  cannot({ ...ROUTED, causal: false }, "causal must be ");
  cannot({ ...ROUTED, top_k: 65 }, "top_k must be a whole number from 1 to 64");
  cannot({ ...ROUTED, window: 7 }, "window must be a whole number from 8 to");
  cannot({ pattern: "routed", block: 8 }, "top_k must be");
  cannot({ ...ROUTED, compressed: 1 } as unknown as AttentionConfig, "compressed must be true or false");
  cannot({ heads: [ROUTED, { pattern: "local", stride: 4 }] }, "all heads of a layer must be routed alike");
  cannot([ROUTED, { pattern: "fixed", stride: 9, memory: 2 }], "routed attention does not go with memory");
  const phases = (attention: ModelAttention) => phasesOf(MODEL, { phases: [{ until: 0.5, attention }] });
  for (const other of [[ROUTED, ROUTED], [{ pattern: "local", stride: 4 }, { ...ROUTED, compressed: false }], { pattern: "dense" }]) {
    assertThrows(
      () => phases(other as ModelAttention),
      ConfigError,
      "phases[0].attention must be routed in the layers in which the model's is",
    );
  }
  assertEquals(phases([{ pattern: "dense" }, { ...ROUTED, top_k: 3, block: 4 }]).length, 2);
  const on = await engine("reference"), options = { ...ROUTED, n: 32, heads: 2, headDim: 4 };
  assertThrows(
    () => new SparseAttention(on, options),
    ConfigError,
    "routed attention has gates beside queries, keys and values",
  );
});

Deno.test("routed: the preset is a model that trains", async () => {
  const { model, train } = preset("text-routed"), on = await engine("wasm");
  const trainer = await Trainer.create(on, { ...model, n_layer: 2, attention: (model.attention as AttentionConfig[]).slice(1, 3) }, {
    ...train,
    batch: 1,
    steps: 1,
  });
  await trainer.step([bytes.subarray(0, model.n_ctx)]);
  assert(Math.abs((await trainer.measure()).loss - Math.log(256)) < 0.5);
  trainer.dispose();
});

Deno.test.afterAll(disposeEngines);
