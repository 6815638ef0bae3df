/**
 * Runs whose tokens are of several bytes.
 *
 * Plan. The files of a save in memory: what is missing, damaged or another's is refused, what needs none is read as before. Then the command
 * line: killed and gone on with it is the run that was never killed; its figures are bits per byte, by brute force from logits; the library
 * opens it from a server, text in and text out; flags that cannot be meant. What is no run has no state: a folder at an address.
 */

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "node:path";
import { join as together } from "../src/data/reader.ts";
import { CheckpointError, ConfigError, DataError } from "../src/base/errors.ts";
import { sha256 } from "../src/base/digest.ts";
import { BYTES, encodeText, visible } from "../src/data/text.ts";
import { parseTokenizer, Tokenizer } from "../src/data/tokenizer.ts";
import { formatConfig, type ModelConfig } from "../src/files/model_config.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import type { Checkpoint } from "../src/files/run_state.ts";
import { modelChunks } from "../src/files/write_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import { type FileContent, readRun, readTrained, runFiles, type RunReader, statesIn } from "../src/run/folder.ts";
import { openModel } from "../src/run/open.ts";
import { Decoder } from "../src/run/sample.ts";
import { bitsPerByte, encodeParts, inBytes } from "../src/run/tokens.ts";
import { loadRun } from "../cli/run_folder.ts";
import { answer, command, failed, files } from "./commands.ts";
import { disposeEngines, engine } from "./engines.ts";
import { checkpointAt, MODEL, stepOf } from "./files_saver.ts";

const TEXT = Array.from({ length: 400 }, (_, at) => `The ship ${at % 7} came – thé café of the ${at * 31 % 97} seas.\n`).join("");
const tokenizer = await Tokenizer.learn(encodeText(TEXT), 300);

// ---- The folder.

/** Saved with a vocabulary of that many tokens. */
function checkpoint(step: number, vocab_size: number, tokenizer?: Tokenizer): Checkpoint {
  const config: ModelConfig = { ...MODEL, vocab_size }, shapes = [...parameterShapes(config)];
  const fill = (value: number) =>
    new Map(shapes.map(([name, shape]) => [name, new Float32Array(shape.reduce((a, b) => a * b)).fill(value)]));
  return { ...checkpointAt(step), config, weights: fill(step), m: fill(step + 0.25), v: fill(step + 0.5), ...tokenizer && { tokenizer } };
}

async function saved(checkpoint: Checkpoint, into = new Map<string, FileContent>()) {
  const making = runFiles(checkpoint, statesIn([...into.keys()].map((name) => name.split("/")[0])));
  for (let next = making.next(); !next.done;) {
    const bytes = together([...next.value.chunks]), digest = await sha256(bytes);
    into.set(next.value.name, { bytes, sha256: digest });
    next = making.next(digest);
  }
  return into;
}

const readerOf = (files: ReadonlyMap<string, FileContent>): RunReader => ({
  path: "memory",
  locate: (name) => `memory/${name}`,
  folders: () => [...new Set([...files.keys()].filter((name) => name.includes("/")).map((name) => name.split("/")[0]))],
  read: (name) => files.get(name),
});
const contentOf = async (text: string): Promise<FileContent> => ({ bytes: encodeText(text), sha256: await sha256(encodeText(text)) });

Deno.test("tokenizer runs: a save has tokenizer.json before the model counts, and gives it back", async () => {
  const kept = await saved(checkpoint(5, 300, tokenizer)), names = [...kept.keys()];
  assertEquals(names, [
    "model.safetensors",
    "state-5/optimizer.safetensors",
    "state-5/config.json",
    "tokenizer.json",
    "state-5/run.json",
    "config.json",
  ]);
  const read = readRun(readerOf(kept));
  assertEquals([stepOf(read), read.tokenizer!.merges], [5, tokenizer.merges]);
  const { model, damage } = readTrained(readerOf(kept));
  assertEquals([model.tokenizer!.merges, damage], [tokenizer.merges, undefined]);
  // What was read is saved as the same bytes.
  const again = await saved(checkpoint(7, 300, read.tokenizer));
  assertEquals(again.get("tokenizer.json")!.sha256, kept.get("tokenizer.json")!.sha256);
});

Deno.test("tokenizer runs: one that is missing, damaged or another's is refused; one that was changed is told", async () => {
  const kept = await saved(checkpoint(5, 300, tokenizer)), text = new TextDecoder().decode(kept.get("tokenizer.json")!.bytes);
  const other = await Tokenizer.learn(encodeText(TEXT), 290);
  const cases: [string | undefined, string, string?][] = [
    [undefined, "memory/tokenizer.json: there is no such file, and only it says what the model's tokens are; restore it from a copy"],
    [text.slice(0, 999), "Cannot use memory/tokenizer.json: "],
    [other.toJson(), "it has 290 tokens and the model 300"],
  ];
  for (const [content, says] of cases) {
    const now = new Map(kept);
    if (content === undefined) now.delete("tokenizer.json");
    else now.set("tokenizer.json", await contentOf(content));
    for (const read of [readRun, readTrained]) assertThrows(() => read(readerOf(now)), CheckpointError, says);
  }
  const changed = new Map(kept).set("tokenizer.json", await contentOf(text + " "));
  assertThrows(
    () => readRun(readerOf(changed)),
    CheckpointError,
    "tokenizer.json was changed since the run saved it; restore it from a copy",
  );
  const { model, damage } = readTrained(readerOf(changed));
  assertEquals([model.tokenizer!.size, damage], [300, "memory/tokenizer.json was changed since the run saved it."]);
});

Deno.test("tokenizer runs: folders without one are read as before, and one that is not the run's is left alone", async () => {
  for (const vocabulary of [256, 300]) {
    const kept = await saved(checkpoint(5, vocabulary));
    assert(!kept.has("tokenizer.json") && !new TextDecoder().decode(kept.get("state-5/run.json")!.bytes).includes("tokenizer"));
    kept.set("tokenizer.json", await contentOf("left by another program"));
    assertEquals([readRun(readerOf(kept)).tokenizer, readTrained(readerOf(kept)).model.tokenizer], [undefined, undefined]);
  }
  // A model alone, as pages have it: the file is read where its tokens are more than bytes.
  const kept = await saved(checkpoint(5, 300, tokenizer));
  for (const name of [...kept.keys()].filter((name) => name.includes("/"))) kept.delete(name);
  assertEquals(readTrained(readerOf(kept)).model.tokenizer!.size, 300);
  kept.delete("tokenizer.json");
  assertEquals(readTrained(readerOf(kept)).model.tokenizer, undefined);
});

Deno.test("tokenizer runs: bits per token become bits per byte by the tokens and bytes of each part", async () => {
  const bytes = encodeText(TEXT), train = bytes.subarray(0, 9000), heldOut = bytes.subarray(9000);
  const parts = await encodeParts({ train, heldOut }, tokenizer);
  assertEquals(tokenizer.decode(parts.train), train);
  assertEquals(tokenizer.decode(parts.heldOut), heldOut);
  assertEquals(parts.perByte, { train: parts.train.length / 9000, heldOut: parts.heldOut.length / heldOut.length });
  assert(parts.perByte.train < 0.8);
  assertEquals(inBytes({ step: 3, loss: 4 }, { train: 0.5, heldOut: 0.25 }), { step: 3, loss: 2 });
  assertEquals(inBytes({ loss: NaN, heldOut: 8 }, { train: 0.5, heldOut: 0.25 }), { loss: NaN, heldOut: 2 });
  assertEquals(bitsPerByte(6, 100, 300), 2);
  // Where tokens are bytes nothing is another number than before.
  const plain = await encodeParts({ train, heldOut }, BYTES);
  assertEquals([plain.train === train, plain.heldOut === heldOut, plain.perByte], [true, true, { train: 1, heldOut: 1 }]);
});

// ---- The command line.

const folder = await Deno.makeTempDir(), at = (name: string) => join(folder, name);
await Deno.writeTextFile(at("text.txt"), TEXT.repeat(2));
await Deno.writeFile(at("one.bin"), Uint8Array.from({ length: 256 }, (_, i) => i));
await Deno.writeFile(at("sound.raw"), new Uint8Array(9600).fill(128));
const WASM = ["--backend", "wasm", "--threads", "1"];
const SIZES = ["--n-ctx", "32", "--layers", "1", "--heads", "2", "--d-model", "16", "--d-ff", "32", "--d-qk", "16", "--batch", "4"];
const tiny = (
  name: string,
  ...more: string[]
) => [
  "train",
  "--data",
  at("text.txt"),
  "--out",
  at(name),
  ...SIZES,
  "--pattern",
  "strided",
  "--stride",
  "8",
  ...WASM,
  "--steps",
  "60",
  ...more,
];

Deno.test("tokenizer runs: a run that is killed goes on as the one that was not, in every bit", async () => {
  const straight = await answer(...tiny("straight", "--vocab", "300", "--json"));
  assertEquals([straight.code, straight.err], [0, ""]);
  // Its steps take half a second in all: on a busy machine the kill may come after the last one.
  let step = 60;
  for (let tries = 0; tries < 20 && step === 60; tries++) {
    if (tries > 0) Deno.removeSync(at("killed"), { recursive: true });
    const child = command(tiny("killed", "--vocab", "300", "--json")).spawn();
    let said = "";
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) if ((said += piece).includes('"saved"')) break;
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await Promise.all([child.status, child.stderr.cancel()]);
    step = loadRun(at("killed")).step;
  }
  assert(step > 0 && step < 60, `killed at ${step}`);
  const on = await answer("train", "--resume", at("killed"), "--json", ...WASM);
  assertEquals([on.code, on.err, on.events[0].bitExact], [0, "", true]);
  for (const name of ["model.safetensors", "state-60/optimizer.safetensors", "tokenizer.json", "config.json"]) {
    assert(files(at("killed")).get(name) === files(at("straight")).get(name), name);
  }
  assertEquals(on.events.at(-1)!.heldOut, straight.events.at(-1)!.heldOut);
  const { tokens } = straight.events[0] as { tokens: Record<string, number> };
  assertEquals([tokens.vocabulary, tokens.train], [300, (await encodeParts(splitOf("straight"), tokenizerOf("straight"))).train.length]);
});

interface RunJson {
  readonly step: number;
  readonly data: { readonly bytes: number; readonly heldOut: number; readonly sha256: string };
  readonly history: readonly { readonly heldOut?: number }[];
}
/** What the run's state says. */
function readRunJson(name: string): RunJson {
  const [[, text]] = [...files(at(name))].filter(([file]) => /^state-\d+\/run\.json$/.test(file));
  return JSON.parse(text);
}
const tokenizerOf = (name: string) => parseTokenizer(Deno.readTextFileSync(at(`${name}/tokenizer.json`)), "tokenizer.json");
/** The run's data, cut by bytes. */
function splitOf(name: string) {
  const bytes = Deno.readFileSync(at("text.txt")), border = bytes.length - readRunJson(name).data.heldOut;
  return { train: bytes.subarray(0, border), heldOut: bytes.subarray(border) };
}

Deno.test("tokenizer runs: every bits/byte is the sum of −log₂ p over tokens, by brute force, per byte", async () => {
  const model = await openModel(new URL(`file://${at("straight")}/`), { backend: "wasm", threads: 1 }),
    { n_ctx, vocab_size } = model.config;
  const { heldOut } = splitOf("straight"), tokens = await model.tokenizer!.encode(heldOut);
  const on = await engine("wasm"), params = new Parameters(model.config), [weights] = [readWeights("straight")];
  on.allocate(params.all);
  for (const t of params.all) on.write(t, weights.get(t.name)!);
  // Each window's tokens go through the decoder one by one: another way than the scorer's.
  const decoder = await Decoder.create(on, params, 1, Infinity);
  let bits = 0;
  for (let from = 0; from < tokens.length; from += n_ctx) {
    const window = tokens.subarray(from, from + n_ctx);
    await decoder.begin(window);
    for (const token of window) {
      await decoder.run();
      const logits = Float64Array.from(await decoder.logits()), most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
      assertEquals(logits.length, vocab_size);
      bits += Math.log2(logits.reduce((sum, x) => sum + Math.exp(x - most), 0)) - (logits[token] - most) / Math.LN2;
    }
  }
  decoder.dispose();
  on.free(params.all);
  model.dispose();
  const want = bits / heldOut.length, { history, data } = readRunJson("straight");
  assertAlmostEquals(history.at(-1)!.heldOut!, want, 1e-5 * want);
  // The data is known by its bytes.
  assertEquals([data.bytes, data.sha256], [
    TEXT.repeat(2).length + (encodeText(TEXT).length - TEXT.length) * 2,
    await sha256(encodeText(TEXT.repeat(2))),
  ]);
  const { code, err, events } = await answer("evaluate", at("straight"), "--json", "--min-context", "0,16", ...WASM);
  assertEquals([code, err], [0, ""]);
  const { results, tokens: scored, bytes, order0 } = events.at(-1)! as unknown as { results: { bits: number }[] } & Record<string, number>;
  assertAlmostEquals(results[0].bits, want, 1e-5 * want);
  assert(results[1].bits !== results[0].bits && results[1].bits < 1.2 * want);
  assertEquals([scored, bytes], [tokens.length, heldOut.length]);
  const plain = await answer("evaluate", at("straight"), "--limit", "40", ...WASM);
  const part = tokenizerOf("straight").decode(tokens.subarray(0, 40));
  assertStringIncludes(plain.out, `${part.length} bytes, 40 tokens`);
  assert(order0 > want, `the model learnt nothing: ${want} of ${order0}`);
});

function readWeights(name: string) {
  const content = (file: string) => ({ bytes: Deno.readFileSync(at(`${name}/${file}`)), sha256: "" });
  return readTrained({
    path: name,
    locate: (file) => file,
    folders: () => [],
    read: (file) => content(file),
  }).model.weights;
}

Deno.test("tokenizer runs: sample and openModel take text and give text, of tokens decoded", async () => {
  const options = { length: 60, temperature: 0.8, seed: 3 }, prompt = "The café ";
  const model = await openModel(new URL(`file://${at("straight")}/`), { backend: "wasm", threads: 1 });
  const pieces = await Array.fromAsync(model.text({ ...options, prompt })), given = await model.tokenizer!.encode(encodeText(prompt));
  assert(given.length < encodeText(prompt).length);
  const tokens = await Array.fromAsync(model.tokens({ ...options, prompt: given })),
    text = visible(new TextDecoder().decode(model.tokenizer!.decode(tokens)));
  assertEquals([tokens.length, pieces.join("")], [60, text]);
  assert(tokens.some((token) => token > 255), "no token of several bytes");
  // A stop string is looked for in the bytes, wherever tokens end: one in the middle, and what is before it.
  const middle = text.search(/[a-z]{3}/) + 1, stopStrings = [text.slice(middle, middle + 2)], end = text.indexOf(stopStrings[0]);
  const stopped = await Array.fromAsync(model.text({ ...options, prompt, stopStrings }));
  assertEquals(stopped.join(""), text.slice(0, end));
  const { logProbabilities, bits } = await model.score(text);
  assertEquals(logProbabilities.length, (await model.tokenizer!.encode(encodeText(text))).length);
  assert(bits > 0);
  model.dispose();
  const flags = ["--prompt", prompt, "--length", "60", "--temperature", "0.8", "--seed", "3", ...WASM];
  const { code, out, err } = await answer("sample", at("straight"), ...flags);
  assertEquals([code, out], [0, `${prompt}${text}\n`]);
  assertMatch(err, /60 tokens in /);
  const json = await answer("sample", at("straight"), "--json", ...flags), of = (name: string) => json.events.map((event) => event[name]);
  assertEquals([of("token").filter((token) => token !== undefined), of("text").join("")], [tokens, text]);
  const prefix = await answer("sample", at("straight"), "--prefix-tokens", "12", "--length", "5", "--out", at("made.txt"), ...WASM);
  assertEquals(prefix.code, 0, prefix.err);
  const begun = tokenizerOf("straight").decode((await tokenizerOf("straight").encode(splitOf("straight").heldOut)).subarray(0, 12));
  assertEquals(Deno.readFileSync(at("made.txt")).subarray(0, begun.length), begun);
  const drawn = await answer("maps", at("straight"), "--prompt", prompt, "--out", at("maps"), "--json", ...WASM);
  assertEquals([drawn.code, drawn.events[0].n], [0, given.length], drawn.err);
  const written = Deno.readTextFileSync(at("straight/samples.txt"));
  assertStringIncludes(written, "=== step 60, prompt");
  failed(await answer("sample", at("straight"), "--kind", "image", ...WASM), 2, "its tokens are those of text, by its tokenizer.json");
});

Deno.test("tokenizer runs: a tokenizer of another run is taken, and a resumed run keeps it whatever its preset", async () => {
  const other = await answer(...tiny("other", "--tokenizer", at("straight/tokenizer.json"), "--steps", "2", "--json"));
  assertEquals([other.code, other.err, (other.events[0].config as ModelConfig).vocab_size], [0, "", 300]);
  assertEquals(Deno.readFileSync(at("other/tokenizer.json")), Deno.readFileSync(at("straight/tokenizer.json")));
  const config = JSON.parse(Deno.readTextFileSync(at("other/config.json")));
  Deno.writeTextFileSync(at("bytes.json"), formatConfig({ ...config, vocab_size: 256 }));
  const on = await answer("train", "--resume", at("other"), "--config", at("bytes.json"), "--steps", "3", "--json", ...WASM);
  assertEquals([on.code, on.err, (on.events[0].config as ModelConfig).vocab_size], [0, "", 300]);
});

Deno.test("tokenizer runs: what flags and files cannot mean is said before anything is written", async () => {
  Deno.mkdirSync(at("cut"));
  for (const [name, text] of files(at("other"))) {
    if (!name.includes("/")) Deno.writeFileSync(at(`cut/${name}`), Uint8Array.from(text, (c) => c.charCodeAt(0)));
  }
  Deno.removeSync(at("cut/tokenizer.json"));
  const data = (name: string, ...more: string[]) => ["train", "--data", at(name), "--out", at("never"), ...SIZES, ...WASM, ...more];
  for (
    const [args, code, ...says] of [
      [
        data("sound.raw", "--codes", "mulaw", "--vocab", "300"),
        2,
        "Cannot use --vocab: tokens of several bytes are of text or bytes",
        "is audio",
      ],
      [data("sound.raw", "--shape", "4x8x1", "--tokenizer", "x"), 2, "Cannot use --tokenizer:", "is image"],
      [data("text.txt", "--vocab", "256"), 2, "Cannot use --vocab: it must be a whole number from 257 to 4096, found 256"],
      [data("text.txt", "--vocab", "5000"), 2, "from 257 to 4096, found 5000"],
      [data("text.txt", "--vocab-size", "300"), 2, "it is --vocab here"],
      [data("text.txt", "--vocab", "300", "--tokenizer", "x"), 2, "Cannot use --vocab with --tokenizer"],
      [data("text.txt", "--tokenizer", at("nowhere")), 1, "nowhere"],
      [data("text.txt", "--tokenizer", at("text.txt")), 1, "Cannot use", "text.txt"],
      [data("one.bin", "--vocab", "300"), 1, "no two bytes occur together twice"],
      [data("text.txt", "--vocab", "600", "--held-out", "40"), 1, "its heldOut part has", "one context of n_ctx = 32"],
      [
        ["train", "--resume", at("other"), "--vocab", "300", "--steps", "9"],
        2,
        "Cannot use --vocab with --resume: the run keeps its tokens",
      ],
      [["train", "--resume", at("other"), "--tokenizer", "x", "--steps", "9"], 2, "Cannot use --tokenizer with --resume"],
      [["sample", at("cut"), ...WASM], 1, "Cannot sample: the model has 300 tokens and no tokenizer.json beside it"],
      [["maps", at("cut"), "--prompt", "a", ...WASM], 1, "no tokenizer.json beside it"],
      [["evaluate", at("cut"), "--data", at("text.txt"), ...WASM], 1, "no tokenizer.json beside it"],
    ] as [string[], number, ...string[]][]
  ) failed(await answer(...args), code, ...says);
  assertThrows(() => Deno.statSync(at("never")), Deno.errors.NotFound);
});

Deno.test("tokenizer runs: a model at an address has the tokenizer beside it, or says what it lacks", async () => {
  const config: ModelConfig = { ...MODEL, vocab_size: 300 }, weights = checkpoint(0.01, 300).weights, asked: string[] = [];
  const content: Record<string, Uint8Array<ArrayBuffer> | string> = {
    "config.json": formatConfig(config),
    "model.safetensors": together([...modelChunks({ config, weights })]),
    "tokenizer.json": tokenizer.toJson(),
  };
  const server = Deno.serve({ port: 0, onListen() {} }, ({ url }) => {
    const name = new URL(url).pathname.split("/").at(-1)!;
    asked.push(name);
    return new Response(content[name], { status: content[name] === undefined ? 404 : content[name] === "broken" ? 500 : 200 });
  });
  const open = (integrity?: Record<string, string>) =>
    openModel(`http://localhost:${server.addr.port}/model`, { backend: "wasm", threads: 1, integrity });
  try {
    const model = await open({
      "tokenizer.json": `sha256-${btoa(String.fromCharCode(...await digest(content["tokenizer.json"] as string)))}`,
    });
    assertEquals((await Array.fromAsync(model.text({ prompt: "The", length: 3 }))).length > 0, true);
    model.dispose();
    content["tokenizer.json"] = (await Tokenizer.learn(encodeText(TEXT), 280)).toJson();
    await assertRejects(() => open(), CheckpointError, "tokenizer.json: it has 280 tokens and the model 300");
    content["tokenizer.json"] = "<html>";
    await assertRejects(() => open(), CheckpointError, "restore it");
    content["tokenizer.json"] = "broken";
    await assertRejects(() => open(), DataError, "the server answered 500");
    delete content["tokenizer.json"];
    await assertRejects(() => open({ "tokenizer.json": "sha256-AAAA" }), DataError, "the server answered 404");
    const bare = await open();
    assertEquals((await Array.fromAsync(bare.tokens({ length: 2 }))).length, 2);
    await assertRejects(() => bare.text({ length: 2 }).next(), ConfigError, "300 tokens and no tokenizer.json beside it");
    bare.dispose();
    // Where tokens are bytes it is not asked for.
    asked.length = 0;
    const bytes = checkpointAt(0.01);
    Object.assign(content, { "config.json": formatConfig(bytes.config), "model.safetensors": together([...modelChunks(bytes)]) });
    (await open()).dispose();
    assertEquals(asked.sort(), ["config.json", "generation_config.json", "model.safetensors"]);
  } finally {
    await server.shutdown();
  }
  await assertRejects(
    () => openModel({ config, weights, tokenizer: new Tokenizer(new Uint16Array()) }),
    CheckpointError,
    "it has 256 tokens",
  );
});

const digest = async (text: string) => new Uint8Array(await crypto.subtle.digest("SHA-256", encodeText(text)));

Deno.test("tokenizer runs: end", async () => {
  await Deno.remove(folder, { recursive: true });
  await disposeEngines();
});
