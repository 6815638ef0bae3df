/**
 * Sampling: decoding one token at a time gives what the whole model gives, and keeps no more than the pattern reads again.
 *
 * Plan. Every engine and pattern: the logits of decoding a text position by position, and those after a prompt taken at once,
 * equal the oracle's of one pass over the text, ‖got − want‖/‖want‖ ≤ 5e-6. Cache sizes are those of the pattern. Choosing
 * follows temperature, top-k, top-p and seed (chi-square against the probabilities); how many positions are run at a time, and
 * what other sequences of a batch hold, changes nothing. Streams end when their consumer stops.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { CachePlan, EMPTY_SLOT } from "../src/pattern/cache.ts";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { checkTrain } from "../src/files/train_config.ts";
import { BackendError, CheckpointError, ConfigError, DataError, ShapeError } from "../src/base/errors.ts";
import { batchData } from "../src/model/batch.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import "../src/model/routed.ts";
import { trainingProgram } from "../src/model/train.ts";
import { openModel } from "../src/run/open.ts";
import { type Engine, Program, size, tensor, type TensorData } from "../src/ops/mod.ts";
import { optimizerTensors } from "../src/model/optimizer.ts";
import { attends } from "../src/pattern/attends.ts";
import { type AttentionConfig, type ModelAttention, resolveSets } from "../src/pattern/sets.ts";
import { Random } from "../src/base/random.ts";
import { chooseToken } from "../src/engines/reference/choose.ts";
import { ReferenceEngine } from "../src/engines/reference/engine.ts";
import { type Choice, Decoder, sample, type SampleOptions, samples, type SamplesOptions } from "../src/run/sample.ts";
import { memoryOf } from "../src/pattern/memory.ts";
import { callersBlocks, FACTORS, PATTERNS } from "./patterns.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const N = 43;
const configOf = (attention: ModelAttention, more: Partial<ModelConfig> = {}): ModelConfig =>
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
  for (const p of params.all) on.write(p, weights.get(p.name)!.map((x) => x * 0.7));
  return params;
}

const random = new Random(11, 1), text = Uint32Array.from({ length: 2 * N }, () => random.below(29));

/** The oracle's logits of both sequences of the text in one pass, by sequence and position. */
async function logitsOf(config: ModelConfig): Promise<(row: number, i: number) => TensorData> {
  const on = new ReferenceEngine(), params = place(on, { ...config, dropout: 0 }), optimizer = optimizerTensors(params.all, "adamw");
  const { program, batches, logits, constants } = trainingProgram(params, optimizer, checkTrain({ batch: 2, optimizer: "adamw" }), true);
  const inputs = new Map([...constants, ...batchData(batches[0], text, config.vocab_size, N, memoryOf(config.attention))]);
  on.allocate([...Object.values(optimizer).flat(), logits!, ...inputs.keys()]);
  for (const [t, data] of inputs) on.write(t, data);
  await (await on.compile(program)).run();
  const all = await on.read(logits!);
  return (row, i) => all.slice((row * N + i) * 29, (row * N + i + 1) * 29);
}

/** Both sequences' tokens of the first `count` positions, as a tape has them. */
const tapeOf = (count: number, rows = [0, 1]) => Array.from({ length: count * 2 }, (_, at) => text[rows[at % 2] * N + (at >> 1)]);

const patterns: { name: string; config: ModelAttention }[] = [
  ...PATTERNS.filter((one) =>
    one.config.causal !== false && one.layer === undefined && (!FACTORS.includes(one) || Array.isArray(one.config.stride))
  ),
  { name: "caller's blocks", config: callersBlocks(N) },
  { name: "heads", config: { heads: [{ pattern: "summary", stride: 6, c: 2 }, { pattern: "column", stride: 4, within: 14 }] } },
  { name: "memory 3 of 6", config: { pattern: "fixed", stride: 6, memory: 3, c: 1 } },
  {
    name: "memory 2 of 9 beside others",
    config: [{ pattern: "fixed", stride: 9, memory: 2, integration: "multihead" }, { pattern: "local", stride: 4 }],
  },
  { name: "routed 4", config: { pattern: "routed", block: 4, top_k: 2, window: 5, compressed: true } },
  { name: "routed 6 beside others", config: [{ pattern: "routed", block: 6, top_k: 3 }, { pattern: "local", stride: 4 }] },
];
/** What a software GPU need not be asked, as it has the same kernels as others: of the new patterns two are, by one device. */
const isOnGpu = (engine: string, pattern: string) =>
  !/\d, \d|heads|memory|routed/.test(pattern) || (engine !== "webgpu-default" && /^fixed 3|^memory 3|^routed 4/.test(pattern));

for (const name of new Set(["reference", ...ENGINES])) {
  for (const { name: pattern, config: attention } of patterns.filter((one) => !name.startsWith("webgpu") || isOnGpu(name, one.name))) {
    engineTest(name, `sample: ${name}: ${pattern}: decoding gives what the whole model gives`, async () => {
      const on = await engine(name), config = configOf(attention), params = place(on, config), want = await logitsOf(config);
      const decoder = await Decoder.create(on, params, 2, 9), stepping = await Decoder.create(on, params, 2, Infinity);
      const check = async (decoder: Decoder, i: number, rows = [0, 1]) => {
        const got = await decoder.logits();
        rows.forEach((row, b) => {
          const error = relativeError(got.slice(b * 29, (b + 1) * 29), want(row, i));
          assert(error <= 5e-6, `position ${i} of sequence ${b}: relative error ${error.toExponential(2)}`);
        });
      };
      // Twice, the second time over a cache that is not empty.
      for (const last of [N - 1, 5]) {
        await stepping.begin(tapeOf(N));
        assertEquals(stepping.position, 0);
        for (let i = 0; i <= last; i++) {
          await stepping.run();
          // Not at every position: a read waits for the device.
          if (on.name !== "webgpu" || i % 7 === 0 || i === last) await check(stepping, i);
        }
      }
      // A prompt of so many positions is taken at once, of one sequence where they are alike; then the next follow one by one.
      for (const [count, rows] of [[9, [0, 1]], [17, [1, 1]], [40, [1, 1]], [N - 1, [1, 0]]] as const) {
        await decoder.begin(tapeOf(count, [...rows]));
        assertEquals(decoder.position, count);
        await decoder.run();
        await check(decoder, count, [...rows]);
      }
      stepping.dispose();
      decoder.dispose();
      on.free(params.all);
    });
  }

  engineTest(name, `sample: ${name}: the same seed gives the same tokens, another others; longer than the context`, async () => {
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
    // Where the context ends and a new one begins from its latter half, other draws come.
    assert(String(first.slice(0, 22)) !== String(first.slice(38, 60)));
    assertEquals((await write({ prompt: text, length: 3, temperature: 0 })).length, 3);
    assertEquals(await write({ length: 0 }), []);
    decoder.dispose();
    on.free(params.all);
  });

  engineTest(name, `sample: ${name}: tokens do not depend on how many positions run at a time`, async () => {
    const on = await engine(name),
      params = place(on, configOf({ pattern: "strided", stride: 6 })),
      decoder = await Decoder.create(on, params, 2);
    const draw = async (runs: number[]) => {
      await decoder.begin(tapeOf(3), { seed: 5 });
      for (const count of runs) await decoder.run(count);
      return Array.from(await decoder.read(3, 30));
    };
    const want = await draw(new Array(30).fill(1));
    assertEquals(await draw([30]), want);
    assertEquals(await draw([1, 13, 2, 14]), want);
    await decoder.begin(tapeOf(3), { seed: 5 });
    const streamed: number[] = [];
    for await (const tokens of decoder.stream(3, 30)) streamed.push(...tokens);
    assertEquals(streamed, want);
    // A stream goes on where another stopped, which may have begun more than it gave.
    await decoder.begin(tapeOf(3), { seed: 5 });
    streamed.length = 0;
    for await (const tokens of decoder.stream(3, 30)) if (streamed.push(...tokens) === 2 * 5) break;
    for await (const tokens of decoder.stream(8, 30)) streamed.push(...tokens);
    assertEquals(streamed, want);
    assert(String(want.filter((_, at) => at % 2 === 0)) !== String(want.filter((_, at) => at % 2 === 1)), "sequences draw apart");
    decoder.dispose();
    on.free(params.all);
  });

  engineTest(name, `sample: ${name}: sequences of a batch do not see each other`, async () => {
    const on = await engine(name), params = place(on, configOf({ pattern: "fixed", stride: 8, c: 2 }));
    const prompts = [text.subarray(0, 9), text.subarray(20, 29), text.subarray(50, 59)], decoders = new Map<number, Decoder>();
    const write = async (prompt: SamplesOptions["prompt"], batch: number, more: Partial<SamplesOptions> = {}) => {
      if (!decoders.has(batch)) decoders.set(batch, await Decoder.create(on, params, batch));
      const rows = Array.from({ length: batch }, (): number[] => []);
      for await (const tokens of samples(decoders.get(batch)!, { prompt, length: 40, seed: 3, ...more })) {
        tokens.forEach((token, b) => rows[b].push(token));
      }
      return rows;
    };
    const all = await write(prompts, 3);
    assertEquals((await write([prompts[0], prompts[2], prompts[1]], 3))[0], all[0]);
    assertEquals((await write(prompts[0], 1))[0], all[0], "sequence 0 draws as a single one does");
    const best = await write(prompts, 3, { temperature: 0 });
    for (const [b, prompt] of prompts.entries()) assertEquals((await write(prompt, 1, { temperature: 0 }))[0], best[b]);
    const shared = await write(prompts[0], 3);
    assertEquals(shared[0], all[0]);
    assert(String(shared[1]) !== String(shared[0]) && String(shared[2]) !== String(shared[1]));
    for (const decoder of decoders.values()) decoder.dispose();
    on.free(params.all);
  });

  engineTest(name, `sample: ${name}: draws follow the probabilities, cut where asked`, async () => {
    const on = await engine(name), random = new Random(8, 1), V = 29, n = 64, batch = 64;
    const row = Float32Array.from({ length: V }, () => random.normal() * 1.5);
    row[7] = row[3];
    const choices: Choice[] = [{}, { temperature: 0.6 }, { topK: 5 }, { topP: 0.6 }, { topK: 12, topP: 0.8 }, { minP: 0.1 }];
    choices.push({ temperature: 0.7, topK: 12, topP: 0.9, minP: 0.2 });
    for (const { temperature = 1, topK = 0, topP = 1, minP = 0 } of choices) {
      const u32 = (name: string, ...shape: number[]) => tensor(name, shape, "u32");
      const logits = tensor("logits", [batch, V]), tape = u32("tape", n, batch), position = u32("position", 1), given = u32("given", 1);
      const choice = tensor("choice", [5]), seeds = u32("seeds", 2), tensors = [logits, tape, position, given, choice, seeds];
      const program = new Program("choose");
      program.add({ op: "choose", logits, tape, position, given, choice, seeds });
      on.allocate(tensors);
      const executable = await on.compile(program);
      on.write(logits, Float32Array.from({ length: size(logits) }, (_, at) => row[at % V]));
      on.write(choice, Float32Array.of(temperature, topK, topP, minP, 1));
      on.write(seeds, Uint32Array.of(77, 0));
      await executable.run(n);
      const counts = new Array(V).fill(0);
      for (const token of await on.read(tape)) counts[token]++;
      assertEquals(Array.from(await on.read(position)), [n]);

      const order = Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b), kept = topK > 0 ? order.slice(0, topK) : order;
      const weights = kept.map((token) => Math.exp((row[token] - row[order[0]]) / temperature)), all = weights.reduce((a, b) => a + b);
      let reach = 0, count = 0;
      while (count < kept.length && (count === 0 || (reach < topP * all && weights[count] >= minP))) reach += weights[count++];
      let chi = 0, drawn = 0;
      for (let at = 0; at < count; at++) {
        const want = weights[at] / reach * n * batch;
        chi += (counts[kept[at]] - want) ** 2 / want;
        drawn += counts[kept[at]];
      }
      assertEquals(drawn, n * batch, "no token outside the cuts");
      // Chi-square has mean f and variance 2f: five deviations.
      const f = count - 1;
      assert(chi <= f + 5 * Math.sqrt(2 * f), `chi-square ${chi.toFixed(1)} with ${f} degrees of freedom`);
      executable.dispose();
      on.free(tensors);
    }
  });

  engineTest(name, `sample: ${name}: tokens that were there are less likely, by a plain program`, async () => {
    const on = await engine(name), random = new Random(8, 1), V = 29, batch = 2;
    const rows = Array.from({ length: batch }, () => Float32Array.from({ length: V }, () => random.normal() * 1.5));
    for (const repetitionPenalty of [1, 1.25, 3, 0.5]) {
      const u32 = (name: string, ...shape: number[]) => tensor(name, shape, "u32");
      const logits = tensor("logits", [batch, V]), tape = u32("tape", 40, batch), position = u32("position", 1), given = u32("given", 1);
      const choice = tensor("choice", [5]), seeds = u32("seeds", 2), tensors = [logits, tape, position, given, choice, seeds];
      const program = new Program("choose");
      program.add({ op: "choose", logits, tape, position, given, choice, seeds });
      on.allocate(tensors);
      const executable = await on.compile(program), first = Array.from({ length: 3 * batch }, () => random.below(V));
      on.write(logits, Float32Array.from(rows.flatMap((row) => [...row])));
      // What stands behind the position does not count.
      on.write(tape, Uint32Array.from({ length: 40 * batch }, (_, at) => first[at] ?? at % V));
      on.write(given, Uint32Array.of(3));
      on.write(choice, Float32Array.of(0, 0, 1, 0, repetitionPenalty));
      await executable.run(40);
      const got = await on.read(tape);
      rows.forEach((row, b) => {
        const made = [0, 1, 2].map((at) => first[at * batch + b]);
        while (made.length < 40) {
          let best = 0, most = -Infinity;
          for (let token = 0; token < V; token++) {
            const x = !made.includes(token) ? row[token] : row[token] > 0 ? row[token] / repetitionPenalty : row[token] * repetitionPenalty;
            if (x > most) [best, most] = [token, x];
          }
          made.push(best);
        }
        assertEquals(made.map((_, at) => got[at * batch + b]), made, `penalty ${repetitionPenalty}`);
        if (repetitionPenalty === 3) assert(new Set(made).size > 4);
      });
      executable.dispose();
      on.free(tensors);
    }
  });

  engineTest(name, `sample: ${name}: a stream ends with its consumer; another takes the decoder`, async () => {
    const on = await engine(name), params = place(on, configOf({ pattern: "dense" })), decoder = await Decoder.create(on, params);
    const options = { length: 40, seed: 2 }, want: number[] = [], got: number[] = [];
    for await (const token of sample(decoder, options)) want.push(token);
    for await (const token of sample(decoder, options)) if (got.push(token) === 3) break;
    assertEquals(got, want.slice(0, 3));
    // One that is not read gives way, and goes on after the other from what it has.
    const left = sample(decoder, options), fresh = sample(decoder, options);
    assertEquals((await left.next()).value, want[0]);
    for (const token of want) assertEquals((await fresh.next()).value, token);
    assertEquals((await fresh.next()).done, true);
    for (const token of want.slice(1)) assertEquals((await left.next()).value, token);
    assertEquals((await left.next()).done, true);
    // The decoder itself does not take turns.
    await decoder.begin([], { seed: 2 });
    const stale = decoder.stream(0, 9);
    await stale.next();
    await decoder.begin([], { seed: 3 });
    await assertRejects(
      async () => {
        for await (const _ of stale);
      },
      ConfigError,
      "the decoder has begun another sequence",
    );
    decoder.dispose();
    on.free(params.all);
  });

  engineTest(name, `sample: ${name}: part of a tensor`, async () => {
    const on = await engine(name), t = tensor("t", [5, 3], "u32");
    on.allocate([t]);
    on.write(t, Uint32Array.from({ length: 15 }, (_, i) => i));
    assertEquals(Array.from(await on.read(t, [1, 3])), [3, 4, 5, 6, 7, 8]);
    assertEquals(Array.from(await on.read(t, [2, 2])), []);
    for (const range of [[0, 6], [-1, 2], [3, 2], [0, 1.5]] as [number, number][]) {
      await assertRejects(() => on.read(t, range), ShapeError, "its outermost dimension has 5");
    }
    on.free([t]);
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
    const holder = new Uint32Array(slots).fill(EMPTY_SLOT);
    for (let i = 0; i < 64; i++) {
      assertEquals(plan.held(i), holder);
      holder[plan.slot(0, i)] = i;
      const read = Array.from(plan.reads(0, i), (slot) => holder[slot]).sort((a, b) => a - b);
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
  await fails({ length: -1 }, ConfigError, "length must be a whole number from 0, found -1");
  await fails({ length: 1, temperature: NaN }, ConfigError, "temperature must be a number from 0");
  await fails({ length: 1, topK: 1.5 }, ConfigError, "topK must be a whole number");
  await fails({ length: 1, topP: 0 }, ConfigError, "topP must be a number above 0 and up to 1");
  await fails({ length: 1, seed: 2 ** 32 }, ConfigError, "seed must be");
  await fails({ length: 1, prompt: [28, 29] }, ShapeError, "prompt token 29 is outside the vocabulary of 29");
  await decoder.begin([]);
  await decoder.run(N);
  await assertRejects(() => decoder.run(), ShapeError, `Cannot decode position ${N}: the model has ${N}`);
  await assertRejects(() => decoder.begin(new Array(N + 1).fill(0)), ShapeError, `got ${N + 1} tokens for 1 sequences of at most ${N}`);
  await assertRejects(() => decoder.begin([29]), ShapeError, "prompt token 29 is outside the vocabulary");
  decoder.dispose();
  const two = await Decoder.create(on, params, 2);
  await assertRejects(() => sample(two, { length: 1 }).next(), ConfigError, "the decoder makes 2");
  await assertRejects(() => samples(two, { length: 1, prompt: [[1], [1, 2]] }).next(), ShapeError, "2 of the same length, got 1,2");
  await assertRejects(() => samples(two, { length: 1, prompt: [[1]] }).next(), ShapeError, "2 of the same length, got 1");
  await assertRejects(() => two.begin([1, 2, 3]), ShapeError, "got 3 tokens for 2 sequences");
  two.dispose();
  for (const batch of [0, 1.5, 65537]) {
    await assertRejects(() => Decoder.create(on, params, batch), ConfigError, "batch must be a whole number from 1 to 65536");
  }
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
  const several = await openModel(folder, { backend: "reference" }), made: number[][] = [[], [], []];
  for (const batch of [3, 1, 3]) {
    made.forEach((row) => row.length = 0);
    for await (const tokens of several.samples({ batch, prompt: [97, 98], length: 5, seed: 4 })) {
      assertEquals(tokens.length, batch);
      tokens.forEach((token, b) => made[b].push(token));
    }
  }
  const single: number[] = [];
  for await (const token of several.tokens({ prompt: [97, 98], length: 5, seed: 4 })) single.push(token);
  assertEquals(made[0], single);
  several.dispose();
  const text = await write(folder);
  assert(text.length > 0);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text), "control characters are made visible");
  assertEquals(await write(folder.href.slice(0, -1)), text);
  await assertRejects(() => openModel("no model/"), DataError, "/no%20model/");
  await assertRejects(() => openModel(new URL("nowhere/", folder)), DataError, "Cannot fetch");
  const config = configOf({ pattern: "dense" }), weights = initialWeights(config, 0);
  weights.delete("norm.weight");
  await assertRejects(() => openModel({ config, weights }), CheckpointError, "norm.weight must have 24 numbers, got none");
  const wide = configOf({ pattern: "dense" }, { vocab_size: 300 }),
    model = await openModel({ config: wide, weights: initialWeights(wide, 0) }, {
      backend: "reference",
    });
  await assertRejects(() => model.text({ length: 1 }).next(), ConfigError, "tokens and no tokenizer.json beside it");
  model.dispose();
});

Deno.test("sample: openModel gives up fetching both files where one fails, or where it is told to", async () => {
  let isThere = false, left = Promise.withResolvers<void>(), begun = Promise.withResolvers<void>();
  const server = Deno.serve({ port: 0, onListen: () => {} }, ({ url }) => {
    if (!isThere && url.endsWith("config.json")) return new Response("{}", { status: 404 });
    // Files that never end: of the configuration nothing is read before the signal comes.
    return new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(new Uint8Array(100)),
        pull: () => new Promise((resume) => setTimeout(resume, 10)),
        cancel: () => left.resolve(),
      }),
    );
  });
  const folder = `http://localhost:${server.addr.port}/model/`, onProgress = () => begun.resolve();
  await assertRejects(() => openModel(folder, { backend: "reference", onProgress }), DataError, "config.json: the server answered 404");
  [isThere, left, begun] = [true, Promise.withResolvers(), Promise.withResolvers()];
  const stop = new AbortController(), opened = openModel(folder, { backend: "reference", onProgress, signal: stop.signal });
  await begun.promise;
  stop.abort(new Error("enough"));
  await assertRejects(() => opened, Error, "enough");
  await left.promise;
  await assertRejects(() => openModel(folder, { signal: AbortSignal.abort(new Error("before")) }), Error, "before");
  await server.shutdown();
});

Deno.test.afterAll(disposeEngines);

Deno.test("sample: what callers without types give is refused by name", async () => {
  const folder = new URL("golden/model-text-fixed-merged/", import.meta.url), options = { backend: "reference" } as const;
  for (const source of [undefined, null, 7, {}, { config: {} }, { config: {}, weights: {} }]) {
    await assertRejects(() => openModel(source as unknown as string, options), ConfigError, "give the address of its folder, or");
  }
  const device = { lost: new Promise(() => {}) } as unknown as GPUDevice;
  await assertRejects(() => openModel(folder, { backend: "webgpu", device }), BackendError, "it is no GPUDevice");
  const model = await openModel(folder, options);
  for (const prompt of ["abc", 5, {}]) {
    const tokens = model.tokens({ prompt: prompt as unknown as number[], length: 1 });
    await assertRejects(() => tokens.next(), ConfigError, "prompt must be a list of tokens");
  }
  const text = model.text({ prompt: [1, 2] as unknown as string, length: 1 });
  await assertRejects(() => text.next(), ConfigError, "prompt must be a string");
  model.dispose();
});
