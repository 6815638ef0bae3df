/**
 * Compression: what comes out is what went in, of the model's size, or a typed error.
 *
 * Plan. The coder alone on random and extreme distributions, carries among them. Then, on every engine, lengths on both sides of each
 * window border, with and without overlap: the same bytes come back, on another number of threads too, and the file is the model's bits as
 * evaluation has them: so a drift between scoring and decoding shows. A drift that is planted in an engine, early and late, is found; so is
 * each damaged byte and each missing end. Another model, engine or device is refused. The command line does the same, and loses no file.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { ConfigError, DataError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { Counts, exponential, RangeDecoder, RangeEncoder, TOTAL } from "../src/data/range_coder.ts";
import { Tokenizer } from "../src/data/tokenizer.ts";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import type { Engine } from "../src/ops/mod.ts";
import { compress, compressedHeader, decompress } from "../src/run/compress.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { answer, failed } from "./commands.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";
import { SMALL } from "./model.ts";

Deno.test.afterAll(disposeEngines);

Deno.test("compress: e to the x is right to the last digits, and 0 where nothing is left", () => {
  for (let x = 0; x > -40; x -= 0.0371) assertAlmostEquals(exponential(x) / Math.exp(x), 1, 1e-14);
  assertEquals([exponential(0), exponential(-41), exponential(-Infinity)], [1, 0, 0]);
});

Deno.test("compress: the coder gives back any numbers, at their cost", () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = new Random(seed, 1), size = [2, 3, 256, 4096][seed % 4], spread = [0, 1, 8, 60][Math.floor(seed / 4) % 4];
    const drawn = Array.from({ length: 60 }, () => {
      const logits = Float32Array.from({ length: size }, () => spread * random.normal());
      // Also what the model is sure will not come.
      return { logits, token: seed % 3 === 0 ? logits.indexOf(Math.min(...logits)) : random.below(size) };
    });
    const counts = new Counts(size), encoder = new RangeEncoder();
    let cost = 0;
    for (const { logits, token } of drawn) {
      counts.set(logits);
      cost += Math.min(counts.bits(token), 25);
      counts.write(encoder, token);
    }
    const bytes = encoder.end(), decoder = new RangeDecoder(bytes);
    for (const { logits, token } of drawn) {
      counts.set(logits);
      assertEquals(counts.read(decoder), token);
    }
    assert(bytes.length <= cost * (1 + size / TOTAL) / 8 + 2, `${bytes.length} bytes for ${cost / 8}`);
  }
});

Deno.test("compress: the coder carries over any run of 255", () => {
  // Ranges that lie across what a byte ends with: of numbers at the end of the range all bytes are 255 until one is not.
  for (let run = 0; run < 12; run++) {
    const numbers = [...Array(run).fill([TOTAL - 1, 1]), [1, TOTAL - 1], [TOTAL - 3, 3], [0, 5]] as [number, number][];
    for (const list of [numbers, numbers.toReversed()]) {
      const encoder = new RangeEncoder();
      for (const [from, count] of list) encoder.push(from, count);
      const decoder = new RangeDecoder(encoder.end());
      for (const [from, count] of list) {
        const place = decoder.find();
        assert(place >= from && place < from + count, `${place} of ${from} + ${count} in a run of ${run}`);
        decoder.pull(from, count);
      }
    }
  }
});

const N = 7,
  configOf = (more: Partial<ModelConfig> = {}): ModelConfig =>
    checkConfig({ ...SMALL, n_ctx: N, d_model: 8, d_ff: 12, d_qk: 4, attention: { pattern: "fixed", stride: 3, c: 1 }, ...more });

/** A model whose predictions are far from even, and not so far that a token costs more than the coder's 25 bits. */
function place(on: Engine, config = configOf(), seed = 3): { engine: Engine; params: Parameters } {
  const params = new Parameters(config), weights = initialWeights(config, seed), draw = new Random(seed, 9);
  on.allocate(params.all);
  weights.get("out.weight")!.forEach((_, at, all) => all[at] = draw.normal() / 2);
  for (const p of params.all) on.write(p, weights.get(p.name)!);
  return { engine: on, params };
}

const random = new Random(8, 2), binary = Uint8Array.from({ length: 300 }, () => random.below(256));

for (const name of new Set(["reference", ...ENGINES])) {
  engineTest(name, `compress: ${name}: any length comes back whole, at the bits that evaluation reports`, async () => {
    const isGpu = name.startsWith("webgpu"), on = await engine(name);
    const patterns: ModelConfig["attention"][] = [
      { pattern: "fixed", stride: 3, c: 1 },
      { pattern: "strided", stride: 2, integration: "multihead" },
      // What is decoded otherwise than position by position from one cache: rows between, choices, heads that differ.
      { pattern: "fixed", stride: 2, memory: 1 },
      { pattern: "routed", block: 2, top_k: 1, compressed: true },
      { layers: [{ heads: [{ pattern: "strided", stride: [2, 4] }, { pattern: "fixed", stride: [2, 5], c: 1 }] }] },
    ];
    for (const [which, attention] of patterns.entries()) {
      if (isGpu && which !== 2) continue;
      const model = place(on, configOf({ attention })), scorer = await Scorer.create(on, model.params, 2);
      for (const length of isGpu ? [1, 2 * N + 1] : which > 1 ? [2 * N + 3] : [0, 1, N - 1, N, N + 1, 5 * N + 3]) {
        for (const minContext of isGpu ? [0] : which > 1 ? [0, 3] : [0, 3, N - 1]) {
          const data = binary.subarray(0, length), batch = minContext === 0 ? 3 : undefined;
          const { file, header, bits, tokens } = await compress(model, data, { minContext, batch });
          assertEquals(await decompress(model, file), Uint8Array.from(data));
          assertEquals([tokens, compressedHeader(file).bytes], [length, length]);
          if (length === 0) continue;
          // Both are of float32 kernels, but other ones.
          assertAlmostEquals(bits, await scorer.bits(data, { minContext }) * length, 1e-4 * bits);
          assert(Math.abs((file.length - header) * 8 - bits) <= 0.005 * bits + 16, `${file.length - header} bytes for ${bits / 8}`);
        }
      }
      scorer.dispose();
      on.free(model.params.all);
    }
  });
}

/** An engine whose logits from some read on are not quite what they were. */
function drifting(on: Engine, from: number): Engine {
  let reads = 0;
  return {
    ...Object.fromEntries((["allocate", "free", "write", "compile"] as const).map((name) => [name, on[name].bind(on)])),
    name: on.name,
    description: on.description,
    sideBySide: on.sideBySide,
    dispose: () => {},
    read: async (t, range) => {
      const data = await on.read(t, range);
      return t.name === "logits" && ++reads > from ? data.map((x) => Math.fround(x * (1 + 2 ** -22))) : data;
    },
  } as Engine;
}

Deno.test("compress: a drift of the last bits is found before or after, never handed out", async () => {
  const on = await engine("wasm"), model = place(on), data = binary.subarray(0, 60), { file } = await compress(model, data);
  const early = await assertRejects(() => decompress({ ...model, engine: drifting(on, 0) }, file), ConfigError);
  assertEquals(early.message.includes("computes other last bits"), true, early.message);
  // The probe has as many reads as positions; what drifts later decodes to something else, or has the luck to change nothing.
  let found = 0;
  for (let from = N; from < 2 * N; from++) {
    try {
      assertEquals(await decompress({ ...model, engine: drifting(on, from) }, file), Uint8Array.from(data));
    } catch (error) {
      assert(error instanceof DataError && error.message.includes("what came out is not what was compressed"), String(error));
      found++;
    }
  }
  assert(found > 0, "a drift changes something somewhere");
  on.free(model.params.all);
});

Deno.test("compress: threads change nothing", async () => {
  const two = place(await engine("wasm")), one = place(await engine("wasm-1-thread")), data = binary.subarray(0, 100);
  const { file } = await compress(two, data);
  assertEquals((await compress(one, data)).file, file);
  assertEquals(await decompress(one, file), Uint8Array.from(data));
});

Deno.test("compress: another model, engine or vocabulary, damage and missing ends are refused", async () => {
  const on = await engine("wasm"), model = place(on), data = binary.subarray(0, 20), { file } = await compress(model, data);
  const refused = async (what: Promise<unknown>, kind: typeof ConfigError | typeof DataError, says: string) => {
    const { message } = await assertRejects(() => what, kind);
    assert(message.includes(says), message);
  };
  await refused(decompress(place(on, configOf(), 4), file), ConfigError, "the file was made with the model whose SHA-256 begins with");
  await refused(decompress(place(on, configOf({ n_ctx: N + 1 })), file), ConfigError, "give that model");
  await refused(decompress(place(await engine("reference")), file), ConfigError, "made on engine wasm, this is reference");
  const otherGpu = (description: string) => ({ ...drifting(on, 1e9), name: "webgpu", description }) as Engine;
  const there = await compress({ ...model, engine: otherGpu("a") }, data);
  await refused(decompress({ ...model, engine: otherGpu("b") }, there.file), ConfigError, "another GPU than b");
  await refused(compress(place(on, configOf({ vocab_size: 200 })), data), DataError, "the model has tokens for 0 to 199 alone");
  await refused(compress(model, data, { minContext: 2, batch: 2 }), ConfigError, "batch must be 1");
  await refused(compress(model, data, { minContext: N }), ConfigError, "minContext must be a whole number from 0 to 6");
  const both = place(on, configOf({ attention: { pattern: "dense", causal: false } }));
  await refused(compress(both, data), ConfigError, "Cannot compress: the attention of layer 0 is not causal");
  await refused(decompress(both, file), ConfigError, "Cannot decompress: the attention of layer 0 is not causal");
  for (let at = 0; at < file.length; at++) {
    for (const bad of [file.map((byte, i) => i === at ? byte ^ 0x10 : byte), file.subarray(0, at), Uint8Array.of(...file, 0)]) {
      assertThrows(() => compressedHeader(bad), DataError);
    }
  }
  await refused(decompress(model, file.subarray(0, file.length - 1)), DataError, "damaged or cut short");
  const stopped = new AbortController();
  stopped.abort(new Error("enough"));
  await assertRejects(() => compress(model, new Uint8Array(5e4), { signal: stopped.signal }), Error, "enough");
});

Deno.test("compress: tokens of several bytes", async () => {
  const text = new TextEncoder().encode("the best of times, the worst of times ".repeat(4)), tokenizer = await Tokenizer.learn(text, 262);
  const on = await engine("wasm"), model = { ...place(on, configOf({ vocab_size: tokenizer.size })), tokenizer };
  // Bytes that are no text too.
  const data = Uint8Array.of(...text, ...binary), { file, tokens } = await compress(model, data);
  assert(tokens < data.length);
  assertEquals(await decompress(model, file), data);
  await assertRejects(() => decompress({ ...model, tokenizer: undefined }, file), ConfigError);
});

Deno.test("compress: the command line gives the file back, and loses none", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "longstride-compress-" }), at = (name: string) => join(folder, name);
  try {
    const text = new TextEncoder().encode("Climate: temperate; cloudy, mild winters and cool summers\n".repeat(6));
    Deno.writeFileSync(at("a.txt"), text);
    const model = ["--model", "web/models/text", "--backend", "wasm"], made = await answer("compress", at("a.txt"), ...model, "--json");
    assertEquals([made.code, made.err], [0, ""]);
    const { bytes, of, header, modelBits } = made.events.at(-1) as Record<string, number>;
    assertEquals([bytes, of], [Deno.statSync(at("a.txt.lsc")).size, text.length]);
    assert(Math.abs(bytes - header - modelBits / 8) < 4 && bytes < text.length, JSON.stringify(made.events));
    failed(await answer("compress", at("a.txt"), ...model), 2, "it is there already");
    failed(await answer("decompress", at("a.txt.lsc"), ...model), 2, "it is there already");
    failed(await answer("decompress", at("a.txt"), ...model), 1, "this is no file that compress made");
    const pictures = ["--model", "web/models/image"], png = "docs/tutorial/image-data.png";
    failed(await answer("compress", png, ...pictures, "--out", at("p")), 2, "it is a PNG file, and the model knows rows of pixels");
    failed(await answer("compress", at("a.txt")), 2, "give the model, --model RUN");
    failed(await answer("compress", at("a.txt"), ...model, "--out", at("a.txt")), 2, "it is the file that is read");
    // What is no file stays what it is: renaming would put a file in the place of a device.
    Deno.symlinkSync("nowhere", at("link"));
    for (const [out, is] of [["/dev/null", "a pipe or a device"], [at("link"), "a link to nothing"], [folder, "a folder"]]) {
      failed(await answer("compress", at("a.txt"), ...model, "--out", out), 2, `it is ${is}`);
    }
    Deno.removeSync(at("link"));
    // Without --backend the engine is the file's own.
    const back = await answer("decompress", at("a.txt.lsc"), "--model", "web/models/text", "--threads", "1", "--out", at("b.txt"));
    assertEquals([back.code, Deno.readFileSync(at("b.txt"))], [0, text], back.err);
    Deno.writeFileSync(at("c.lsc"), Deno.readFileSync(at("a.txt.lsc")).subarray(0, -3));
    failed(await answer("decompress", at("c.lsc"), ...model), 1, "damaged or cut short");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["a.txt", "a.txt.lsc", "b.txt", "c.lsc"]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
