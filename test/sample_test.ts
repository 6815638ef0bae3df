/**
 * Sampling: decoding one token at a time gives what the whole model gives, and keeps no more than the pattern reads again.
 *
 * Plan. Every engine and pattern: the probability that decoding gives each token of a text equals the one that scoring the
 * text in one pass gives. Cache sizes are those of the pattern. Choosing follows temperature, top-k, top-p and seed.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { CachePlan } from "../src/cache.ts";
import { checkConfig, type ModelConfig } from "../src/config.ts";
import { CheckpointError, ConfigError, DataError, ShapeError } from "../src/errors.ts";
import { Scorer } from "../src/evaluate.ts";
import { initialWeights, Parameters } from "../src/model.ts";
import { openModel } from "../src/open.ts";
import type { Engine } from "../src/ops.ts";
import { attends, type AttentionConfig, resolveSets } from "../src/pattern.ts";
import { Random } from "../src/random.ts";
import { chooseToken, Decoder, sample, type SampleOptions } from "../src/sample.ts";
import { ATTENTION, callersBlocks } from "./cases.ts";
import { disposeEngines, engine, ENGINES } from "./engines.ts";

const N = 43;
const configOf = (attention: AttentionConfig, more: Partial<ModelConfig> = {}): ModelConfig =>
  checkConfig({
    model_type: "sparse_transformer",
    n_ctx: N,
    n_layer: 2,
    n_head: 2,
    d_model: 24,
    d_ff: 20,
    d_qk: 12,
    vocab_size: 29,
    dropout: 0.1,
    attention,
    position: { kind: "attention", stride: 5 },
    ...more,
  });

/** A model of the seed's weights, its output not 0, on an engine. */
function place(on: Engine, config: ModelConfig): Parameters {
  const params = new Parameters(config), weights = initialWeights(config, 3), random = new Random(3, 9);
  weights.get("out.weight")!.forEach((_, i, all) => all[i] = random.normal() * 0.1);
  on.allocate(params.all);
  for (const p of params.all) on.write(p, weights.get(p.name)!.map((x) => x * 2));
  return params;
}

const random = new Random(11, 1), text = Uint32Array.from({ length: 2 * N }, () => random.below(29));

/** −log₂ of a token's probability. */
function bits(logits: ArrayLike<number>, token: number): number {
  const most = Math.max(...Array.from(logits)), sum = Array.from(logits).reduce((sum, x) => sum + Math.exp(x - most), 0);
  return (Math.log(sum) + most - logits[token]) / Math.LN2;
}

const patterns = [...ATTENTION.filter(({ config, layer }) => config.causal !== false && layer === undefined), {
  name: "caller's blocks",
  config: callersBlocks(N),
}];
for (const name of new Set(["reference", ...ENGINES])) {
  for (const { name: pattern, config: attention } of patterns) {
    Deno.test(`sample: ${name}: ${pattern}: decoding gives what scoring gives`, async () => {
      const on = await engine(name), config = configOf(attention), params = place(on, config);
      const scorer = await Scorer.create(on, params, 2), want = await scorer.score(text), decoder = await Decoder.create(on, params, 2);
      // Twice, the second time over a cache that is not empty.
      for (let round = 0; round < 2; round++) {
        decoder.reset();
        for (let i = 0; i < N; i++) {
          await decoder.advance([0, N].map((row) => i === 0 ? config.vocab_size : text[row + i - 1]));
          // Not at every position: a read waits for the device.
          if (round === 0 && i % 7 !== 0 && i !== N - 1) continue;
          const logits = await decoder.logits();
          for (const row of [0, 1]) {
            const got = bits(Array.from(logits).slice(row * 29, (row + 1) * 29), text[row * N + i]);
            assertAlmostEquals(got, want[row * N + i], 1e-4, `position ${i} of sequence ${row}`);
          }
          if (round === 1 && i > 3) break;
        }
      }
      for (const made of [scorer, decoder]) made.dispose();
      on.free(params.all);
    });
  }

  Deno.test(`sample: ${name}: the same seed gives the same tokens, another others; longer than the context`, async () => {
    const on = await engine(name),
      params = place(on, configOf({ pattern: "fixed", stride: 8, c: 2 })),
      decoder = await Decoder.create(on, params);
    const write = async (options: SampleOptions) => {
      const tokens = [];
      for await (const token of sample(decoder, options)) tokens.push(token);
      return tokens;
    };
    const prompt = text.subarray(0, 5), first = await write({ prompt, length: 100, seed: 1 });
    assertEquals(first.length, 100);
    assert(first.every((token) => Number.isInteger(token) && token >= 0 && token < 29));
    assertEquals(await write({ prompt, length: 100, seed: 1 }), first);
    assert(String(await write({ prompt, length: 100, seed: 2 })) !== String(first));
    assertEquals((await write({ prompt: text, length: 3, temperature: 0 })).length, 3);
    assertEquals(await write({ length: 0 }), []);
    decoder.dispose();
    on.free(params.all);
  });
}

Deno.test("sample: the cache holds what later positions read, and each in a slot of its own", async () => {
  const sizes: [AttentionConfig, number][] = [
    [{ pattern: "dense" }, 64],
    [{ pattern: "local", stride: 7 }, 8],
    [{ pattern: "local", stride: 0 }, 1],
    // The window of 16, and 4 columns of each window before the last.
    [{ pattern: "fixed", stride: 16, c: 4 }, 3 * 4 + 16],
    // Of the last 8 positions, each is the last reader of its residue's keys: after 56 one goes as one comes.
    [{ pattern: "strided", stride: 8 }, 57],
    [{ pattern: "longformer", stride: 5, globals: 3 }, 3 + 6],
  ];
  for (const [attention, slots] of sizes) {
    const sets = resolveSets(attention, { n: 64, layer: 0, heads: 1 }), plan = await CachePlan.create(sets, 64);
    assertEquals(plan.slots, slots, JSON.stringify(attention));
    const holder = new Int32Array(slots).fill(-1), into = new Uint32Array(slots);
    for (let i = 0; i < 64; i++) {
      holder[plan.slot(0, i)] = i;
      const read = Array.from(into.subarray(0, plan.reads(0, i, into)), (slot) => holder[slot]).sort((a, b) => a - b);
      assertEquals(read, Array.from({ length: 64 }, (_, j) => j).filter((j) => attends(sets[0], i, j)), `${attention.pattern} at ${i}`);
    }
  }
});

Deno.test("sample: a sparse cache is smaller than a dense one, and says by how much", async () => {
  const on = await engine("reference");
  for (const [attention, slots] of [[{ pattern: "dense" }, N], [{ pattern: "local", stride: 4 }, 5]] as const) {
    const params = place(on, configOf(attention)), decoder = await Decoder.create(on, params);
    assertEquals(decoder.cacheBytes, { kept: 2 * slots * (12 + 24) * 4, dense: 2 * N * (12 + 24) * 4 });
    decoder.dispose();
    on.free(params.all);
  }
});

Deno.test("sample: choosing a token", () => {
  const logits = [0, 3, 1, 2], draws = Array.from({ length: 4000 }, (_, i) => (i + 0.5) / 4000);
  const shares = (options: Partial<SampleOptions>) => {
    const counts = new Array(4).fill(0);
    for (const uniform of draws) counts[chooseToken(logits, uniform, options)]++;
    return counts.map((count) => count / draws.length);
  };
  const softmax = (x: number[], temperature = 1) => {
    const weights = x.map((y) => Math.exp(y / temperature)), sum = weights.reduce((a, b) => a + b);
    return weights.map((w) => w / sum);
  };
  const near = (got: number[], want: number[]) => got.forEach((x, i) => assertAlmostEquals(x, want[i], 1e-3));
  near(shares({}), softmax(logits));
  near(shares({ temperature: 0.5 }), softmax(logits, 0.5));
  near(shares({ temperature: 0 }), [0, 1, 0, 0]);
  near(shares({ topK: 1 }), [0, 1, 0, 0]);
  near(shares({ topK: 2 }), [0, ...softmax([3]), 0, 0].map((_, i) => [0, softmax([3, 2])[0], 0, softmax([3, 2])[1]][i]));
  near(shares({ topK: 99 }), softmax(logits));
  // 0.644 + 0.237 reach 0.85: two are kept.
  near(shares({ topP: 0.85 }), [0, softmax([3, 2])[0], 0, softmax([3, 2])[1]]);
  near(shares({ topP: 0.1 }), [0, 1, 0, 0]);
  assertEquals(chooseToken([1, 1, 1], 0, { temperature: 0 }), 0);
});

Deno.test("sample: bad input is an error of its own", async () => {
  const on = await engine("reference"), params = place(on, configOf({ pattern: "dense" })), decoder = await Decoder.create(on, params);
  const fails = (options: SampleOptions, type: typeof ConfigError | typeof ShapeError, includes: string) =>
    assertRejects(() => sample(decoder, options).next(), type, includes);
  await fails({ length: -1 }, ConfigError, "length must be a whole number from 0, current value is -1");
  await fails({ length: 1, temperature: NaN }, ConfigError, "temperature must be a finite number from 0");
  await fails({ length: 1, topK: 1.5 }, ConfigError, "topK must be a whole number");
  await fails({ length: 1, topP: 0 }, ConfigError, "topP must be in (0, 1]");
  await fails({ length: 1, seed: 2 ** 32 }, ConfigError, "seed must be");
  await fails({ length: 1, prompt: [28, 29] }, ShapeError, "prompt token 29 is outside the vocabulary of 29");
  for (let i = 0; i < N; i++) await decoder.advance([0]);
  await assertRejects(() => decoder.advance([0]), ShapeError, `Cannot decode position ${N}: the model has ${N}`);
  decoder.dispose();
  on.free(params.all);
  const both = place(on, configOf({ pattern: "dense", causal: false }));
  await assertRejects(() => Decoder.create(on, both), ConfigError, "the attention is not causal");
  on.free(both.all);
});

Deno.test("sample: openModel by address and by contents", async () => {
  const folder = new URL("golden/model-text-fixed-merged/", import.meta.url),
    write = async (source: string | URL) => {
      const model = await openModel(source, { backend: "reference" });
      let text = "";
      for await (const piece of model.text({ prompt: "ab", length: 20, seed: 4 })) text += piece;
      assert(model.cacheBytes.kept < model.cacheBytes.dense);
      model.dispose();
      return text;
    };
  const text = await write(folder);
  assert(text.length > 0);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text), "control characters are made visible");
  assertEquals(await write(folder.href.slice(0, -1)), text);
  await assertRejects(() => openModel("model/"), ConfigError, "must be an absolute address");
  await assertRejects(() => openModel(new URL("nowhere/", folder)), DataError, "Cannot fetch");
  const config = configOf({ pattern: "dense" }), weights = initialWeights(config, 0);
  weights.delete("norm.weight");
  await assertRejects(() => openModel({ config, weights }), CheckpointError, "lack norm.weight");
  const wide = configOf({ pattern: "dense" }, { vocab_size: 300 }),
    model = await openModel({ config: wide, weights: initialWeights(wide, 0) }, {
      backend: "reference",
    });
  await assertRejects(() => model.text({ length: 1 }).next(), ConfigError, "tokens are bytes only with a vocab_size of at most 256");
  model.dispose();
});

Deno.test("sample: engines end", disposeEngines);
