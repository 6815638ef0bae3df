/**
 * Memory tokens in a model, on every engine. (Their gradients: reference_test.ts; decoding: sample_test.ts; configuration:
 * attention_config_test.ts.)
 *
 * Plan. Training steps give what the oracle gives, of an n that windows do not divide, two micro-batches, with recomputation and in f16. Hidden
 * states and scores are of tokens alone and agree; nothing of a later window reaches an earlier one; maps tell of tokens.
 */

import { assert, assertEquals } from "@std/assert";
import { type ModelConfig, Scorer, type TrainConfig } from "../mod.ts";
import { Decoder, type Engine, samples, Trainer } from "../ops.ts";
import { attentionMaps } from "../pictures.ts";
import { HiddenStates } from "../src/run/hidden.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";
import { SMALL } from "./model.ts";

const N = 21;
const config: ModelConfig = {
  ...SMALL,
  n_ctx: N,
  vocab_size: 32,
  attention: [{ pattern: "fixed", stride: 6, memory: 2 }, {
    heads: [{ pattern: "fixed", stride: 6, memory: 2, c: 1 }, { pattern: "local", stride: 3 }],
  }],
};
const tokens = Uint8Array.from({ length: 8 * N }, (_, i) => i * i * 7 % 31);

/** Losses of some steps, and the weights after them. */
async function trained(on: Engine, train: Partial<TrainConfig>): Promise<{ losses: number[]; weights: ReadonlyMap<string, Float32Array> }> {
  const trainer = await Trainer.create(on, config, { steps: 5, batch: 2, accumulate: 2, warmup: 1, lr: 0.01, seed: 4, ...train }),
    losses = [];
  for (let step = 0; step < 3; step++) {
    await trainer.step([0, 1].map((micro) => tokens.subarray((step + micro) * 2 * N, (step + micro + 1) * 2 * N)));
    losses.push((await trainer.measure()).loss);
  }
  const { weights } = await trainer.snapshot();
  trainer.dispose();
  return { losses, weights };
}

// A device's default limits change nothing here, and a software GPU compiles the kernels of a step for seconds.
for (const name of ENGINES.filter((name) => name !== "webgpu-default")) {
  const variants = name === "wasm"
    ? [{}, { recompute: true }, { precision: "f16" }] as const
    : [{ recompute: true, precision: "f16" }] as const;
  engineTest(name, `memory: ${name}: training steps are the oracle's`, async () => {
    const want = await trained(await engine("reference"), {}),
      before = await trained(await engine("reference"), { lr: 1e-12, muon_lr: 1e-12 });
    for (const train of variants) {
      const got = await trained(await engine(name), train), limit = "precision" in train ? 2e-3 : 1e-5;
      got.losses.forEach((loss, step) =>
        assert(Math.abs(loss - want.losses[step]) < limit * loss, `${JSON.stringify(train)}: ${got.losses}`)
      );
    }
    // The last two entries of the table are memory tokens, and learn too.
    const [table, start] = [want, before].map(({ weights }) => weights.get("embed.token.weight")!);
    assertEquals(table.length, (32 + 1 + 2) * 16);
    assert(table.subarray(33 * 16).every((x, i) => x !== start[33 * 16 + i]));
  });
}

Deno.test("memory: states and scores are of tokens alone, agree, and look back only", async () => {
  const on = await engine("wasm"), trainer = await Trainer.create(on, config, { steps: 5, lr: 0.01, seed: 4 }), { params } = trainer;
  for (let step = 0; step < 4; step++) await trainer.step([tokens.subarray(step * N, (step + 1) * N)]);
  const scorer = await Scorer.create(on, params, 1), states = await HiddenStates.create(on, params, { batch: 1, n: N, layer: "norm" });
  const weights = await on.read(params.get("out.weight")),
    text = Uint32Array.from(tokens.subarray(3, 3 + N)),
    scores = await scorer.score(text);
  assertEquals(scores.length, N);
  // Of position i the state after token i − 1 makes the logits that token i is scored by.
  const hidden = await states.of(text.subarray(0, N - 1), 0);
  assertEquals(hidden.length, (N - 1) * 16);
  for (let i = 1; i < N; i++) {
    const state = hidden.subarray((i - 1) * 16, i * 16),
      logits = Array.from({ length: 32 }, (_, v) => state.reduce((sum, x, d) => sum + x * weights[v * 16 + d], 0));
    const bits = Math.log2(logits.reduce((sum, x) => sum + Math.exp(x), 0)) - logits[text[i]] / Math.LN2;
    assert(Math.abs(bits - scores[i]) < 1e-4, `token ${i}: ${bits}, ${scores[i]}`);
  }
  // Another token at 13 changes nothing up to itself, and something in the windows after it.
  const other = text.slice();
  other[13] ^= 1;
  const changed = await scorer.score(other);
  assertEquals(changed.subarray(0, 13), scores.subarray(0, 13));
  assert(changed.subarray(18).some((bits, i) => bits !== scores[18 + i]));
  // A shorter program is the beginning of a longer one.
  const short = await Scorer.create(on, params, 1, 13);
  assert(relativeError(await short.score(text.subarray(0, 13)), scores.subarray(0, 13)) < 1e-6);

  // Streams do not depend on where they are taken up, nor on how long the prompt is.
  const decoder = await Decoder.create(on, params, 2), made: number[][] = [];
  for await (const both of samples(decoder, { prompt: text.subarray(0, 4), length: 40, seed: 2 })) made.push([...both]);
  await decoder.begin(Uint32Array.from({ length: 8 }, (_, at) => text[at >> 1]), { seed: 2 });
  const again: number[][] = [];
  for (const [from, to] of [[4, 6], [6, 12], [12, 13], [13, N]]) for await (const both of decoder.stream(from, to)) again.push([...both]);
  assertEquals(again, made.slice(0, N - 4));

  for await (const { n, rows } of attentionMaps(on, params, text.subarray(0, 15))) {
    assertEquals([n, rows.length], [15, 15]);
    for (const { query, keys, weights } of rows) {
      assert(keys.every((key, at) => key <= query && (at === 0 || key > keys[at - 1])));
      assert(Math.abs(weights.reduce((a, b) => a + b) - 1) < 1e-5);
    }
  }
  for (const one of [short, scorer, states, decoder, trainer]) one.dispose();
});

Deno.test.afterAll(disposeEngines);
