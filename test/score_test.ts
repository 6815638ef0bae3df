/**
 * Texts that an opened model reads: the probability of every token and the hidden states, whatever the length.
 *
 * Plan. The oracle is a plain float64 forward pass, written here from the equations: loops over positions and pairs, weights as they are
 * saved. On every engine and on both sides of each window border, all minimum contexts of a small n_ctx, each token is scored, and each
 * state is, as the oracle has it in the first window that holds the token. Scores agree with Scorer, sum to bits and perplexity, and are
 * the same beside streams and each other. A caller's engine is left as it was.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { encodeText } from "../src/data/text.ts";
import { ConfigError, DataError, ShapeError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { checkConfig, type ModelConfig, positionRows, setsOf } from "../src/files/model_config.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { LAYERNORM_EPSILON, tensor } from "../src/ops/mod.ts";
import { attends } from "../src/pattern/attends.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { OpenedModel, openModel } from "../src/run/open.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const V = 11;
const configOf = (n_ctx: number, more: Partial<ModelConfig> = {}): ModelConfig =>
  checkConfig({
    model_type: "sparse_transformer",
    n_ctx,
    n_layer: 2,
    n_head: 2,
    d_model: 8,
    d_ff: 12,
    d_qk: 4,
    vocab_size: V,
    dropout: 0.1,
    attention: { pattern: "strided", stride: 4, integration: "multihead" },
    position: { kind: "attention", stride: 4 },
    ...more,
  });

function weightsOf(config: ModelConfig): Map<string, Float32Array> {
  const weights = initialWeights(config, 3), draw = new Random(3, 9);
  for (const [name, values] of weights) {
    if (name === "out.weight" || name.endsWith("bias")) values.forEach((_, i) => values[i] = draw.normal() * 0.5);
  }
  return weights;
}

type Rows = number[][];

/** Every state and the logits of one sequence: Eqs. 9 to 15 with loops. `inputs` has the start token first. */
function plainly(config: ModelConfig, weights: ReadonlyMap<string, Float32Array>, inputs: readonly number[]) {
  const { d_model, n_head, d_qk } = config, of = (name: string) => weights.get(name)!;
  const linear = (name: string, x: Rows): Rows => {
    const w = of(`${name}.weight`), b = weights.get(`${name}.bias`), width = x[0].length;
    return x.map((row) =>
      Array.from({ length: w.length / width }, (_, o) => row.reduce((sum, value, i) => sum + value * w[o * width + i], b?.[o] ?? 0))
    );
  };
  const norm = (name: string, x: Rows): Rows =>
    x.map((row) => {
      const mean = row.reduce((a, b) => a + b) / row.length, variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / row.length;
      return row.map((value, i) =>
        (value - mean) / Math.sqrt(variance + LAYERNORM_EPSILON) * of(`${name}.weight`)[i] + of(`${name}.bias`)[i]
      );
    });
  const plus = (a: Rows, b: Rows): Rows => a.map((row, r) => row.map((value, i) => value + b[r][i]));
  let h: Rows = inputs.map((token, i) => {
    const rows = [token, ...positionRows(config, i)],
      names = ["embed.token.weight", ...rows.slice(1).map((_, t) => `embed.position.${t}.weight`)];
    return Array.from({ length: d_model }, (_, c) => names.reduce((sum, name, t) => sum + of(name)[rows[t] * d_model + c], 0));
  });
  const states = [h];
  for (let layer = 0; layer < config.n_layer; layer++) {
    const at = `layers.${layer}`,
      x = norm(`${at}.attn.norm`, h),
      [q, k, v] = ["q", "k", "v"].map((name) => linear(`${at}.attn.${name}`, x));
    const sets = setsOf(config, layer), o = inputs.map(() => new Array(d_model).fill(0));
    for (let head = 0; head < n_head; head++) {
      const dq = d_qk / n_head, dv = d_model / n_head;
      inputs.forEach((_, i) => {
        const keys = Array.from({ length: i + 1 }, (_, j) => j).filter((j) => attends(sets[head], i, j));
        const dots = keys.map((j) =>
          Array.from({ length: dq }, (_, c) => q[i][head * dq + c] * k[j][head * dq + c]).reduce((a, b) => a + b)
        );
        const exps = dots.map((dot) => Math.exp(dot / Math.sqrt(dq))), all = exps.reduce((a, b) => a + b);
        for (let c = head * dv; c < (head + 1) * dv; c++) o[i][c] = keys.reduce((sum, j, at) => sum + exps[at] / all * v[j][c], 0);
      });
    }
    const h1 = plus(h, linear(`${at}.attn.p`, o)), wide = linear(`${at}.ff.w1`, norm(`${at}.ff.norm`, h1));
    h = plus(h1, linear(`${at}.ff.w2`, wide.map((row) => row.map((value) => value / (1 + Math.exp(-1.702 * value))))));
    states.push(h);
  }
  const final = norm("norm", h);
  return { states: [...states, final], logits: linear("out", final) };
}

const random = new Random(5, 1), text = Uint8Array.from({ length: 130 }, () => random.below(V));

/** What a token is expected to be, of the first window that holds it, each of which is passed through the model once. */
function windowed<T>(room: number, minContext: number, read: (from: number) => (place: number) => T): (at: number) => T {
  const known = new Map<number, (place: number) => T>();
  return (at) => {
    let from = 0;
    while (at >= from + room) from += room - minContext;
    assert(from === 0 || at - from >= minContext);
    if (!known.has(from)) known.set(from, read(from));
    return known.get(from)!(at - from);
  };
}

for (const name of new Set(["reference", ...ENGINES])) {
  // What is seen of a window's border takes few positions; a program of fewer positions than the context takes more of them.
  for (
    const [n_ctx, lengths, contexts] of [[7, [1, 6, 7, 8, 14, 15, 33], [0, 1, 3, 6]], [40, [1, 15, 16, 17, 39, 40, 41, 130], [
      0,
      20,
      39,
    ]]] as const
  ) {
    engineTest(name, `score: ${name}: n_ctx ${n_ctx}: each token with its context, as the equations have it`, async () => {
      const on = await engine(name),
        config = configOf(n_ctx),
        weights = weightsOf(config),
        model = await openModel({ config, weights }, { engine: on });
      for (const minContext of [undefined, ...contexts]) {
        const want = windowed(n_ctx, minContext ?? Math.floor(n_ctx / 2), (from) => {
          const tokens = text.subarray(from, from + n_ctx), { logits } = plainly(config, weights, [V, ...tokens.subarray(0, -1)]);
          return (place) => logits[place][tokens[place]] - Math.log(logits[place].reduce((sum, x) => sum + Math.exp(x), 0));
        });
        for (const length of on.name === "webgpu" ? lengths.slice(-4) : lengths) {
          const { logProbabilities, bits, perplexity } = await model.score(text.subarray(0, length), { minContext });
          assertEquals(logProbabilities.length, length);
          logProbabilities.forEach((got, at) =>
            assertAlmostEquals(got, want(at), 1e-5 * Math.max(1, -want(at)), `token ${at} of ${length}, ${minContext}`)
          );
          const mean = logProbabilities.reduce((a, b) => a + b) / length;
          assertAlmostEquals(bits, -mean / Math.LN2, 1e-12);
          assertAlmostEquals(perplexity, 2 ** bits, 1e-9 * perplexity);
        }
      }
      model.dispose();
    });

    engineTest(name, `embeddings: ${name}: n_ctx ${n_ctx}: states of every layer, as the equations have them`, async () => {
      const on = await engine(name),
        config = configOf(n_ctx),
        weights = weightsOf(config),
        model = await openModel({ config, weights }, { engine: on });
      for (const [layer, minContext] of [[0], [1], [2, 0], [undefined], ["norm", n_ctx - 2]] as const) {
        const want = windowed(n_ctx - 1, minContext ?? Math.min(n_ctx - 2, Math.floor(n_ctx / 2)), (from) => {
          const { states } = plainly(config, weights, [V, ...text.subarray(from, from + n_ctx - 1)]);
          return (place) => states[typeof layer === "number" ? layer : 3][place + 1];
        });
        for (const length of on.name === "webgpu" ? lengths.slice(-2) : lengths) {
          const { data, shape } = await model.embeddings(text.subarray(0, length), { layer, minContext });
          assertEquals(shape, [length, 8]);
          for (let at = 0; at < length; at++) {
            const error = relativeError(data.subarray(at * 8, at * 8 + 8), Float64Array.from(want(at)));
            assert(error <= 1e-5, `token ${at} of ${length}, layer ${layer}, ${minContext}: ${error}`);
          }
        }
      }
      model.dispose();
    });
  }
}

const bytes = configOf(32, { vocab_size: 256 }),
  open = async () => {
    const on = await engine("wasm");
    return { on, model: await openModel({ config: bytes, weights: weightsOf(bytes) }, { engine: on }) };
  };

Deno.test("score: text is its bytes, and agrees with Scorer", async () => {
  const { on, model } = await open(), prose = "naïve — to be, or not to be", tokens = encodeText(prose);
  const { logProbabilities, bits } = await model.score(prose), scorer = await Scorer.create(on, model.params, 1);
  assertEquals(logProbabilities.length, tokens.length);
  assertEquals((await model.score([...tokens])).logProbabilities, logProbabilities);
  assertEquals((await model.embeddings(prose)).data, (await model.embeddings(tokens)).data);
  assertAlmostEquals(bits, await scorer.bits(tokens, { minContext: 16 }), 1e-6);
  // A scorer of fewer positions than the model has sees less.
  const short = await Scorer.create(on, model.params, 2, 5), rows = await short.score([...tokens.subarray(0, 5), ...tokens.subarray(3, 8)]);
  assertAlmostEquals(
    await short.bits(tokens.subarray(0, 8), { minContext: 2 }),
    [...rows.subarray(0, 5), ...rows.subarray(7)].reduce((a, b) => a + b) / 8,
    1e-9,
  );
  for (const each of [scorer, short]) each.dispose();
  model.dispose();
});

Deno.test("score: calls at once, beside streams, give what each gives alone", async () => {
  const { model } = await open(), parts = [text.subarray(0, 20), text.subarray(3, 90), text.subarray(50, 51)];
  const stream = async () => await Array.fromAsync(model.tokens({ length: 50, seed: 3 }));
  const alone: unknown[] = [];
  for (const part of parts) alone.push(await model.score(part), await model.embeddings(part, { layer: 1 }));
  alone.push(await stream());
  assertEquals(await Promise.all([...parts.flatMap((part) => [model.score(part), model.embeddings(part, { layer: 1 })]), stream()]), alone);
  model.dispose();
});

Deno.test("score: a caller's engine is left as it was", async () => {
  const { on, model } = await open();
  await model.score("abc");
  await model.embeddings("abc");
  for await (const _ of model.samples({ batch: 2, length: 2 }));
  assertEquals(model.why, "it is the caller's engine");
  model.dispose();
  // What it allocated has its place no more: it can be had again.
  const x = tensor("x", [3]);
  on.allocate([x]);
  on.write(x, Float32Array.of(1, 2, 3));
  assertEquals([...await on.read(x)], [1, 2, 3]);
  on.free([x]);
  on.allocate(model.params.all);
  on.free(model.params.all);
  await assertRejects(() => model.score("abc"), ConfigError, "Cannot score: the model has been disposed of");
  // Two models on one engine; one that cannot be placed leaves nothing behind.
  const [a, b] = [(await open()).model, (await open()).model];
  assertEquals(await a.score("abc"), await b.score("abc"));
  a.dispose();
  assertEquals((await b.score("abcd")).logProbabilities.length, 4);
  b.dispose();
  const both = configOf(32, { attention: { pattern: "dense", causal: false } });
  await assertRejects(() => OpenedModel.create({ config: both, weights: weightsOf(both) }, { engine: on }), ConfigError, "not causal");
});

Deno.test("score: bad input is an error of its own", async () => {
  const { on, model } = await open(), source = { config: bytes, weights: weightsOf(bytes) };
  await assertRejects(() => model.score(""), DataError, "Cannot score: there are no tokens");
  await assertRejects(() => model.embeddings([]), DataError, "Cannot embed: there are no tokens");
  await assertRejects(() => model.score([1, 256]), ShapeError, "token 256 at place 1 is outside the vocabulary of 256");
  await assertRejects(() => model.score("a", { minContext: 32 }), ConfigError, "minContext must be a whole number from 0 to 31, found 32");
  await assertRejects(() => model.embeddings("a", { minContext: 31 }), ConfigError, "minContext must be a whole number from 0 to 30");
  for (const layer of [-1, 3, 0.5, "last"]) {
    await assertRejects(
      () => model.embeddings("a", { layer: layer as number }),
      ConfigError,
      "layer must be a whole number from 0 to 2, found",
    );
  }
  await assertRejects(() => model.score("a", { signal: AbortSignal.abort(new Error("enough")) }), Error, "enough");
  await assertRejects(() => openModel(source, { engine: on, backend: "wasm" }), ConfigError, "not both");
  await assertRejects(() => openModel(source, { engine: {} as typeof on }), ConfigError, "engine must be an engine");
  model.dispose();
  const wide = configOf(16, { vocab_size: 300 }), of = await openModel({ config: wide, weights: weightsOf(wide) }, { engine: on });
  await assertRejects(() => of.score("a"), ConfigError, "Cannot score: the model has 300 tokens and no tokenizer.json");
  assertEquals((await of.score([299, 0])).logProbabilities.length, 2);
  of.dispose();
  const one = configOf(1), single = await openModel({ config: one, weights: weightsOf(one) }, { engine: on });
  assertEquals((await single.score([1, 2, 3])).logProbabilities.length, 3);
  await assertRejects(() => single.embeddings([1]), ConfigError, "a model of one position reads no token");
  single.dispose();
});

Deno.test("score: engines end", disposeEngines);
