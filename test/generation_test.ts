/**
 * Generation options: of a call, of a model, of a file, and where texts end.
 *
 * Plan. Stop strings by brute force: texts of two letters with all their cuts into pieces, and of a model every stretch of what it writes
 * as the stop string. Several texts are those of samples(), each ended. Options of a call go before those that came with the model; the
 * file is read and written with the field's names, and refuses what it cannot mean.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { formatGenerationConfig, parseGenerationConfig } from "../files.ts";
import { ConfigError, type GenerateOptions, type ModelConfig, openModel } from "../mod.ts";
import { Random } from "../src/base/random.ts";
import { StopStrings } from "../src/data/stop.ts";
import { encodeText } from "../src/data/text.ts";
import type { Tokenizer } from "../src/data/tokenizer.ts";
import type { GenerationOptions } from "../src/files/generation_config.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { resolve } from "../src/run/generate.ts";

/** The text before the stop string that is whole first, of several the longest. */
function before(text: Uint8Array, stops: readonly string[]): number[] {
  for (let end = 1; end <= text.length; end++) {
    const lengths = stops.map(encodeText).filter((stop) =>
      stop.length <= end && stop.every((byte, at) => byte === text[end - stop.length + at])
    );
    if (lengths.length > 0) return [...text.subarray(0, end - Math.max(...lengths.map(({ length }) => length)))];
  }
  return [...text];
}

/** What comes through of pieces. */
function through(pieces: readonly Uint8Array[], stops: readonly string[]): number[] {
  const stop = new StopStrings(stops), got = pieces.flatMap((piece) => stop.push(piece));
  return [...got, ...stop.end()];
}

Deno.test("generation: a text ends before a stop string, at whatever borders its pieces meet", () => {
  const random = new Random(4, 1), letters = (count: number) => Array.from({ length: count }, () => "ab"[random.below(2)]).join("");
  for (const stops of [["a"], ["ab"], ["aab"], ["abab", "bb"], ["abaab", "baa", "aabaa"], ["b", "ab"], ["—"], ["aé", "é"]]) {
    for (let round = 0; round < 40; round++) {
      const text = encodeText(letters(12) + (round % 3 === 0 ? "a—é" : "") + letters(3)), want = before(text, stops);
      for (let cut = 0; cut <= text.length; cut++) {
        for (let other = cut; other <= text.length; other++) {
          assertEquals(through([text.subarray(0, cut), text.subarray(cut, other), text.subarray(other)], stops), want);
        }
      }
      assertEquals(through([...text].map((byte) => Uint8Array.of(byte)), stops), want);
    }
  }
  // No more is held back than may be the beginning of a stop string.
  const stop = new StopStrings(["abc", "bd"]);
  assertEquals([stop.push(encodeText("xab")), stop.push(encodeText("d")), stop.stopped], [
    [...encodeText("x")],
    [...encodeText("a")],
    true,
  ]);
  assertEquals([stop.push(encodeText("x")), stop.end()], [[], []]);
});

const config: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 24,
  n_layer: 1,
  n_head: 2,
  d_model: 16,
  d_ff: 16,
  d_qk: 8,
  vocab_size: 128,
  dropout: 0,
  attention: { pattern: "strided", stride: 4 },
  position: { kind: "attention", stride: 4 },
};
const open = (generation?: GenerationOptions) =>
  openModel({ config, weights: initialWeights(config, 2) }, { backend: "wasm", threads: 1, generation });
const all = async (stream: AsyncIterable<string>) => (await Array.fromAsync(stream)).join("");
/** Few letters, so that stretches come again. */
const asked = { prompt: "a", length: 30, topK: 4, seed: 5 };

Deno.test("generation: every stretch of what a model writes ends its text, in text(), tokens() and generate()", async () => {
  const model = await open(), bytes = Uint8Array.from(await Array.fromAsync(model.tokens({ ...asked, prompt: [97] })));
  assertEquals(bytes.length, 30);
  for (let from = 0; from < 30; from += 4) {
    for (const count of [1, 2, 5]) {
      const stopStrings = [new TextDecoder().decode(bytes.subarray(from, from + count)), "never there"], want = before(bytes, stopStrings);
      assertEquals(await Array.fromAsync(model.tokens({ ...asked, prompt: [97], stopStrings })), want);
      const text = await all(model.text({ ...asked, stopStrings }));
      assertEquals(await model.generate({ ...asked, stopStrings }), [text]);
      assertEquals(text.length, want.length);
    }
  }
  model.dispose();
});

Deno.test("generation: a stop string ends a text within a token, and tokens before the one it begins in", async () => {
  // Each token is two letters, or one of the last two.
  const pair = (token: number) =>
    encodeText(token < 100 ? "abcdefghij"[token % 10] + "abcdefghij"[Math.floor(token / 10)] : "xy"[token % 2]);
  const wide = { ...config, vocab_size: 102 },
    tokenizer = {
      size: 102,
      encode: (bytes: Uint8Array) => Promise.resolve(Uint32Array.from(bytes, (byte) => byte % 102)),
      decode: (tokens: ArrayLike<number>) => Uint8Array.from(Array.from(tokens).flatMap((token) => [...pair(token)])),
    } as unknown as Tokenizer;
  const model = await openModel({ config: wide, weights: initialWeights(wide, 2), tokenizer }, { backend: "wasm", threads: 1 });
  const given = { ...asked, prompt: [97] }, tokens = await Array.fromAsync(model.tokens(given)), text = tokenizer.decode(tokens);
  for (let from = 0; from < text.length - 5; from++) {
    for (const count of [1, 2, 3, 5]) {
      const stopStrings = [new TextDecoder().decode(text.subarray(from, from + count))], want = before(text, stopStrings);
      assertEquals([...encodeText(await all(model.text({ ...asked, stopStrings })))], want);
      assertEquals((await model.generate({ ...asked, stopStrings }))[0].length, want.length);
      const got = await Array.fromAsync(model.tokens({ ...given, stopStrings })), bytes = tokenizer.decode(got).length;
      assertEquals(got, tokens.slice(0, got.length));
      assert(bytes <= want.length && bytes + tokenizer.decode([tokens[got.length]]).length > want.length);
    }
  }
  // Text is scored as the tokens that it becomes.
  assertEquals(await model.score("abc"), await model.score([97, 98, 99]));
  model.dispose();
});

Deno.test("generation: several texts are those of samples(), each ended at its own stop string", async () => {
  const model = await open(), rows: number[][] = [[], [], []], { prompt, ...rest } = asked;
  for await (const tokens of model.samples({ ...rest, prompt: encodeText(prompt), batch: 3 })) {
    tokens.forEach((token, b) => rows[b].push(token));
  }
  const whole = await model.generate({ ...asked, numReturnSequences: 3 });
  assertEquals(whole.map(({ length }) => length), [30, 30, 30]);
  const stopStrings = rows.map((row, b) => String.fromCharCode(...row.slice(4 + b, 6 + b))),
    got = await model.generate({ ...asked, numReturnSequences: 3, stopStrings });
  rows.forEach((row, b) => {
    const want = before(Uint8Array.from(row), stopStrings);
    assert(want.length < 30);
    assertEquals(got[b], whole[b].slice(0, want.length));
  });
  model.dispose();
});

Deno.test("generation: a call's options go before the model's, and either's before none", async () => {
  const of = (given: GenerateOptions, own: GenerationOptions = {}) => {
    const { options, count, stopStrings } = resolve("Cannot sample", given, own);
    return { ...options, count, stopStrings };
  };
  const own: GenerationOptions = {
    maxNewTokens: 9,
    temperature: 0.5,
    topK: 3,
    topP: 0.8,
    minP: 0.1,
    repetitionPenalty: 2,
    seed: 4,
    numReturnSequences: 2,
  };
  const { maxNewTokens: length, numReturnSequences: count, ...rest } = own;
  assertEquals(of({}, own), { ...rest, length: length!, count: count!, signal: undefined, stopStrings: [] });
  const given = {
    length: 3,
    temperature: 1,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    seed: 0,
    stopStrings: ["x"],
    signal: undefined,
  };
  assertEquals(of({ ...given, numReturnSequences: 1 }, own), { ...given, count: 1 });
  assertEquals([of({ maxNewTokens: 5 }, own).length, of({ length: undefined, topK: undefined }, own).topK], [5, 3]);
  // The likeliest alone, unless a call says how it draws.
  assertEquals(of({ length: 1, doSample: false, temperature: 0.7 }).temperature, 0);
  assertEquals([of({}, { ...own, doSample: false }).temperature, of({ temperature: 0.7 }, { ...own, doSample: false }).temperature], [
    0,
    0.7,
  ]);
  assertEquals(of({ doSample: true }, { ...own, doSample: false }).temperature, 0.5);

  const model = await open({ ...own, doSample: false }),
    plain = await open(),
    best = await plain.generate({ prompt: "a", length: 9, temperature: 0, repetitionPenalty: 2 });
  assertEquals(await model.generate({ prompt: "a" }), [best[0], best[0]]);
  assertEquals(await all(model.text({ prompt: "a" })), best[0]);
  assertEquals((await Array.fromAsync(model.samples({}))).map(({ length }) => length), new Array(9).fill(2));
  // A least probability of 1 leaves the likeliest.
  assertEquals(await plain.generate({ prompt: "a", length: 9, minP: 1, repetitionPenalty: 2 }), best);
  for (const each of [model, plain]) each.dispose();
});

Deno.test("generation: the file has the field's names, and comes back as it was", () => {
  const text =
    `{ "max_new_tokens": 7, "do_sample": true, "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2,
    "num_return_sequences": 3, "stop_strings": ["\\n\\n", "END"], "seed": 8 }`;
  const want: GenerationOptions = {
    ...{ maxNewTokens: 7, doSample: true, temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.2 },
    ...{ numReturnSequences: 3, stopStrings: ["\n\n", "END"], seed: 8 },
  };
  assertEquals(parseGenerationConfig(text, "a"), want);
  assertEquals(JSON.parse(formatGenerationConfig(want)), JSON.parse(text));
  assertEquals(parseGenerationConfig(formatGenerationConfig(want), "a"), want);
  const others = `{ "_from_model_config": true, "eos_token_id": 0, "transformers_version": "4.51.0", "top_k": null, "stop_strings": "x" }`;
  assertEquals(parseGenerationConfig(others, "a"), { stopStrings: ["x"] });
});

Deno.test("generation: bad input is an error of its own", async () => {
  const fails = (text: string, includes: string) => assertThrows(() => parseGenerationConfig(text, "g.json"), ConfigError, includes);
  fails(`{ "num_beams": 4 }`, `Cannot read g.json: it has an unknown field "num_beams", known are max_new_tokens`);
  fails(`{ "top_k": -1 }`, "top_k must be a whole number from 0, found -1");
  fails(`{ "min_p": 1.5 }`, "min_p must be a number from 0 to 1, found 1.5");
  fails(`{ "repetition_penalty": 0 }`, "repetition_penalty must be a number from 0.01 to 100, found 0");
  fails(`{ "stop_strings": [""] }`, "stop_strings[0] must be a string of at least one character");
  fails(`{ "do_sample": 1 }`, "do_sample must be true or false");
  fails(`[]`, "Cannot read g.json");
  fails(`{`, "Cannot read g.json: it is not valid JSON");
  fails("version https://git-lfs.github.com/spec/v1", "a Git LFS pointer in place of the file");
  assertThrows(() => formatGenerationConfig({ minP: 2 }), ConfigError, "Cannot write generation options: minP must be");

  const model = await open();
  await assertRejects(() => model.tokens({}).next(), ConfigError, "length must be a whole number from 0, found nothing");
  await assertRejects(() => model.tokens({ length: 1, maxNewTokens: 1 }).next(), ConfigError, "length and maxNewTokens are the same");
  await assertRejects(
    () => model.samples({ length: 1, batch: 2, numReturnSequences: 2 }).next(),
    ConfigError,
    "batch and numReturnSequences are the same",
  );
  await assertRejects(
    () => model.text({ length: 1, numReturnSequences: 2 } as GenerateOptions).next(),
    ConfigError,
    "several sequences are for generate() and samples()",
  );
  await assertRejects(
    () => model.samples({ length: 1, stopStrings: ["a"] } as GenerateOptions).next(),
    ConfigError,
    "stop strings are for generate()",
  );
  await assertRejects(() => model.tokens({ length: 1, minP: 2 }).next(), ConfigError, "minP must be a number from 0 to 1, found 2");
  await assertRejects(
    () => model.tokens({ length: 1, repetitionPenalty: 0 }).next(),
    ConfigError,
    "repetitionPenalty must be a number from 0.01 to 100",
  );
  await assertRejects(() => open({ topP: 0 }), ConfigError, "Cannot open the model: topP must be");
  model.dispose();
  const wide = { ...config, vocab_size: 300 },
    other = await openModel({ config: wide, weights: initialWeights(wide, 2) }, { backend: "reference" });
  await assertRejects(
    () => other.tokens({ length: 1, stopStrings: ["a"] }).next(),
    ConfigError,
    "Cannot look for stop strings: the model has 300 tokens and no tokenizer.json",
  );
  other.dispose();
});
