/**
 * Evaluation: every token counts once, with at least the context asked for, whatever the lengths.
 *
 * Plan. By brute force: each token's bits from a sequence of its own, that holds the tokens of its window before it and
 * nothing else of the data. Lengths on both sides of each window border; all minimum contexts of a small n_ctx; batches
 * of windows; limits; images. Progress is told truly.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { ConfigError, DataError, ShapeError } from "../src/base/errors.ts";
import { type Evaluation, Scorer } from "../src/run/evaluate.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import type { Engine } from "../src/ops/mod.ts";
import { Random } from "../src/base/random.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const N = 7, V = 11;
const config: ModelConfig = checkConfig({
  model_type: "sparse_transformer",
  n_ctx: N,
  n_layer: 2,
  n_head: 2,
  d_model: 8,
  d_ff: 12,
  d_qk: 4,
  vocab_size: V,
  dropout: 0,
  attention: { pattern: "strided", stride: 2, integration: "multihead" },
  position: { kind: "attention", stride: 2 },
});
const random = new Random(5, 1), text = Uint8Array.from({ length: 40 }, () => random.below(V));

function place(on: Engine): Parameters {
  const params = new Parameters(config), weights = initialWeights(config, 3), draw = new Random(3, 9);
  weights.get("out.weight")!.forEach((_, i, all) => all[i] = draw.normal());
  on.allocate(params.all);
  for (const p of params.all) on.write(p, weights.get(p.name)!.map((x) => x * 3));
  return params;
}

/** Bits of the token at `at` after those from `from` on, none of the others known. */
async function bitsOf(scorer: Scorer, from: number, at: number): Promise<number> {
  const row = new Uint8Array(N);
  row.set(text.subarray(from, at + 1));
  return (await scorer.score(row))[at - from];
}

for (const name of new Set(["reference", ...ENGINES])) {
  engineTest(name, `evaluate: ${name}: each token once, with its context, by brute force`, async () => {
    const on = await engine(name), params = place(on), single = await Scorer.create(on, params, 1);
    const lengths = [1, N - 1, N, N + 1, 2 * N, 2 * N + 1, 33], contexts = [0, 1, 3, N - 1];
    // Every distinct (window, token) once: the brute force is slow on a GPU.
    const known = new Map<string, Promise<number>>();
    for (const batch of [1, 3]) {
      const scorer = await Scorer.create(on, params, batch);
      for (const length of lengths) {
        for (const minContext of contexts) {
          let want = 0;
          for (let at = 0; at < length; at++) {
            // The first of the windows that hold the token.
            let from = 0;
            while (at >= from + N) from += N - minContext;
            assert(from === 0 || at - from >= minContext);
            const key = `${from} ${at}`;
            if (!known.has(key)) known.set(key, bitsOf(single, from, at));
            want += await known.get(key)!;
          }
          const got = await scorer.bits(text.subarray(0, length), { minContext });
          // Of f32 sums in another order: the weights are large, a token takes about 100 bits, of which 2e-5 is less than two roundings.
          assertAlmostEquals(got, want / length, 1e-6 * want / length, `length ${length}, context ${minContext}, batch ${batch}`);
          assertEquals(await scorer.bits(text, { minContext, limit: length }), got);
        }
      }
      scorer.dispose();
    }
    single.dispose();
    on.free(params.all);
  });
}

Deno.test("evaluate: progress counts tokens, ends at all of them, and can be left", async () => {
  const on = await engine("reference"), params = place(on), scorer = await Scorer.create(on, params, 2), reports: Evaluation[] = [];
  for await (const report of scorer.evaluate(text, { minContext: 3, limit: 30 })) reports.push(report);
  // Windows of 7 that advance by 4: 7 tokens, then 4 each, two windows at once.
  assertEquals(reports.map(({ tokens, of, last }) => [tokens, of, last]), [[11, 30, false], [19, 30, false], [27, 30, false], [
    30,
    30,
    true,
  ]]);
  assert(reports.every(({ bits, tokensPerSecond, secondsLeft }) => bits > 0 && tokensPerSecond > 0 && secondsLeft >= 0));
  assertEquals(reports.at(-1)!.secondsLeft, 0);
  assertEquals(reports.at(-1)!.bits, await scorer.bits(text, { minContext: 3, limit: 30 }));
  for await (const report of scorer.evaluate(text)) {
    assertEquals(report.tokens, 14);
    break;
  }
  scorer.dispose();
  on.free(params.all);
});

Deno.test("evaluate: windows of images begin at images", async () => {
  const on = await engine("reference"), params = place(on), scorer = await Scorer.create(on, params, 2);
  const rows = text.subarray(0, 3 * N), whole = await scorer.bits(rows, { unit: N }), one = Scorer.create(on, params, 1);
  let sum = 0;
  for (const n of [0, 1, 2]) sum += await scorer.bits(rows.subarray(n * N, (n + 1) * N));
  assertAlmostEquals(whole, sum / 3, 1e-12);
  // With some before each, the first of each image do not count: nothing is before them.
  for (const minContext of [1, N - 1]) {
    let want = 0;
    for (const n of [0, 1, 2]) {
      for (let at = minContext; at < N; at++) want += await bitsOf(await one, n * N, n * N + at);
    }
    const reports: Evaluation[] = [];
    for await (const report of scorer.evaluate(rows, { unit: N, minContext })) reports.push(report);
    const { bits, tokens, of, last } = reports.at(-1)!;
    assertEquals([tokens, of, last], [3 * (N - minContext), 3 * (N - minContext), true]);
    assertAlmostEquals(bits, want / tokens, 1e-9 * bits);
  }
  // Of units that a window holds several of, windows begin at units: by 3 here, not by 4.
  const apart = [...rows].slice(0, 15), units = Uint8Array.from(apart);
  assertAlmostEquals(await scorer.bits(units, { unit: 3, minContext: 3 }), await scorer.bits(units, { minContext: 4 }), 1e-9);
  await assertRejects(() => scorer.bits(rows, { unit: 3 }), ConfigError, "windows would advance by 7 tokens, and samples of 3 begin");
  await assertRejects(() => scorer.bits(rows.subarray(0, 3), { unit: N, minContext: 3 }), DataError, "no token has 3 before it");
  (await one).dispose();
  scorer.dispose();
  on.free(params.all);
});

Deno.test("evaluate: bad input is an error of its own", async () => {
  const on = await engine("reference"), params = place(on), scorer = await Scorer.create(on, params, 1);
  await assertRejects(() => scorer.bits(new Uint8Array()), DataError, "Cannot evaluate: there are no tokens");
  await assertRejects(() => scorer.bits(text, { limit: 0 }), DataError, "there are no tokens");
  for (const minContext of [-1, N, 1.5, NaN]) {
    await assertRejects(() => scorer.bits(text, { minContext }), ConfigError, `from 0 to 6, found ${minContext}`);
  }
  await assertRejects(() => scorer.bits(Uint8Array.of(1, V)), ShapeError, `Cannot use token ${V}`);
  scorer.dispose();
  on.free(params.all);
});

Deno.test.afterAll(disposeEngines);
