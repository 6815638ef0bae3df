/**
 * Mutated files against everything that reads files: what comes out is a value or a typed error, soon, in bounded memory.
 *
 *     deno run -A tools/fuzz.ts --count 1000000 --seed 1 [--from N] [--only NAME]
 *
 * Case N of a seed is always the same, so one that fails is run again by `--from N --count 1`. Cases go by turns through safetensors, WAV,
 * PNG, zip, gzip, tar and each kind of JSON, each changed in one to four places: bits, bytes, fields of 2, 4 and 8 bytes set to 0, all
 * ones or one more, pieces cut out, put in, repeated, the end cut off. Checksums of PNG and tar are made right again in half of the cases,
 * since otherwise nothing behind them would be reached.
 *
 * Exits 1 where an error has no type of ours, a case takes longer than {@linkcode SECONDS}, or memory grows beyond {@linkcode MEMORY}.
 *
 * @module
 */

import { gzipSync, zipSync } from "fflate";
import { packTar } from "modern-tar";
import { checkConfig, checkTrain, LongstrideError, type ModelConfig } from "../mod.ts";
import { decodePng, decodeWav, encodePng, encodeWav, loadDataset, parseTokenizer, Tokenizer } from "../data.ts";
import { formatTuning, parseTuning, TUNING_VERSION } from "../device.ts";
import {
  formatConfig,
  formatGenerationConfig,
  formatRecipe,
  formatRunState,
  modelChunks,
  parameterShapes,
  parseConfig,
  parseGenerationConfig,
  parseRecipe,
  parseRunState,
  readModel,
  type SavedWeights,
} from "../files.ts";
import { crc32 } from "../src/data/crc32.ts";
import { join } from "../src/data/reader.ts";
import { LINEAR_VARIANTS } from "../src/engines/webgpu/tuning/trials.ts";
import { Random } from "../src/base/random.ts";

/** A case that takes longer is a hang. The slowest that is meant, a filter between two rates without a common divisor, takes 4 s. */
export const SECONDS = 20;

/** Most bytes of memory: the filter's 128 MiB, twice over for what is not collected yet, and what Deno itself takes. */
export const MEMORY = 2 ** 30;

interface Target {
  readonly name: string;
  readonly files: readonly Uint8Array[];
  /** Makes checksums right again. */
  readonly mend?: (bytes: Uint8Array) => void;
  readonly read: (bytes: Uint8Array<ArrayBuffer>) => unknown;
}

const MODEL: ModelConfig = checkConfig({
  model_type: "sparse_transformer",
  n_ctx: 16,
  n_layer: 1,
  n_head: 2,
  d_model: 8,
  d_ff: 8,
  d_qk: 4,
  vocab_size: 16,
  dropout: 0.1,
  attention: { pattern: "fixed", stride: 4, c: 2 },
  position: { kind: "attention", stride: 4 },
});

const utf8 = (text: string) => new TextEncoder().encode(text);
const fromUtf8 = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Chunks with lengths inside the file get their own CRC-32. */
function mendPng(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 12 + view.getUint32(at);
    if (end > bytes.length) return;
    view.setUint32(end - 4, crc32(bytes.subarray(at + 4, end - 4)));
    at = end;
  }
}

/** Every block that says ustar gets its own sum. */
function mendTar(bytes: Uint8Array): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const header = bytes.subarray(at, at + 512);
    if (fromUtf8(header.subarray(257, 262)) !== "ustar") continue;
    header.fill(32, 148, 156);
    header.set(utf8(header.reduce((a, b) => a + b, 0).toString(8).padStart(6, "0") + "\0"), 148);
  }
}

async function targets(): Promise<Target[]> {
  const text = utf8("so it goes. ".repeat(60)),
    rgb = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => i * 5),
    png = encodePng({ width: 7, height: 5, rgb });
  const weights = new Map([...parameterShapes(MODEL)].map(([name, shape]) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]));
  const model = (dtype: SavedWeights) => join([...modelChunks({ config: MODEL, weights }, dtype)]), config = formatConfig(MODEL);
  const tone = Float32Array.from({ length: 300 }, (_, i) => 0.5 * Math.sin(i / 5)), wav = await encodeWav(tone, 12000);
  const float = new Uint8Array(44 + 1200), view = new DataView(float.buffer);
  float.set(wav.subarray(0, 44));
  for (const [field, value] of [[4, 1236], [40, 1200]]) view.setUint32(field, value, true);
  for (const [field, value] of [[20, 3], [32, 4], [34, 32]]) view.setUint16(field, value, true);
  float.set(new Uint8Array(tone.buffer), 44);
  const file = (name: string, body: Uint8Array) => ({ header: { name, size: body.length, type: "file" as const }, body });
  const tar = new Uint8Array(
    await packTar([file("./a.txt", text), file("d/".repeat(60) + "ü.txt", text), {
      header: { name: "l", size: 0, type: "symlink", linkname: "a" },
    }]),
  );
  const digest = "0123456789abcdef".repeat(4),
    run = formatRunState({
      step: 40,
      skipped: [1, 0],
      lossScale: [1, 40],
      engine: "wasm",
      train: checkTrain({}),
      data: { name: "a", bytes: 999, sha256: digest, heldOut: 99, source: { kind: "image", path: "a", shape: [4, 4, 3], heldOut: 3 } },
      history: [{ step: 10, loss: 3.2, ms: 5 }, { step: 40, loss: 2.1, heldOut: 2.2, ms: 9 }],
    }, { config: digest, model: digest, optimizer: digest });
  const data = (bytes: Uint8Array) => loadDataset([{ name: "f", data: bytes }], { heldOut: 0 });
  const json = (name: string, text: string, read: (text: string, name: string) => unknown): Target => ({
    name,
    files: [utf8(text)],
    read: (bytes) => read(fromUtf8(bytes), "f"),
  });
  const recipe = formatRecipe({ model: MODEL, train: { steps: 4, phases: [{ until: 0.5, n_ctx: 8 }] }, data: { kind: "text", path: "a" } });
  const generation = formatGenerationConfig({ maxNewTokens: 9, temperature: 0.8, topK: 5, stopStrings: ["\n"] });
  const choice = { kernel: "linear", kind: "f32", sizes: [64, 64, 64], variant: { ...LINEAR_VARIANTS[0] }, ms: 0.5 };
  return [
    { name: "safetensors", files: [model("F32"), model("F16"), model("I8")], read: (bytes) => readModel(config, bytes) },
    { name: "wav", files: [wav, float, await encodeWav(tone, 8000)], read: (bytes) => decodeWav(bytes, "f") },
    { name: "png", files: [png], mend: mendPng, read: (bytes) => decodePng(bytes, "f") },
    { name: "zip", files: [zipSync({ "a.txt": text, "b/c.png": png }), zipSync({ "./a": text, "b": text }, { level: 0 })], read: data },
    { name: "gzip", files: [gzipSync(text), join([gzipSync(text, { filename: "a" }), gzipSync(text)])], read: data },
    { name: "tar", files: [tar, gzipSync(tar)], mend: mendTar, read: data },
    json("config.json", config, parseConfig),
    json("run.json", run, parseRunState),
    json("recipe.json", recipe, parseRecipe),
    json("generation_config.json", generation, parseGenerationConfig),
    json("tokenizer.json", (await Tokenizer.learn(text, 262)).toJson(), parseTokenizer),
    json("tuning.json", formatTuning({ version: TUNING_VERSION, device: "a GPU", choices: [choice] }), parseTuning),
  ];
}

/** Words that JSON may have in other places. */
const WORDS = ["null", "-1", "1e400", "0.5", "9007199254740993", '""', "[]", "{}", "true", '"\\ud800"', ",", "[[[[", '"__proto__":'].map(
  utf8,
);

/** Where a change begins: mostly in headers, which are in front, at the end or, of zip, before it. */
function place(random: Random, length: number): number {
  if (length === 0) return 0;
  const which = random.below(8);
  return which < 4
    ? random.below(Math.min(length, 128))
    : which < 6
    ? length - 1 - random.below(Math.min(length, 160))
    : random.below(length);
}

function mutate(file: Uint8Array, random: Random): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(file);
  for (let changes = [1, 1, 2, 4][random.below(4)]; changes > 0; changes--) {
    const at = place(random, bytes.length),
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      piece = 1 + random.below(40);
    const splice = (remove: number, insert: Uint8Array) => bytes = join([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
    const how = random.below(14);
    if (bytes.length === 0) break;
    if (how < 2) bytes[at] ^= 1 << random.below(8);
    else if (how === 2) bytes[at] = random.below(256);
    else if (how < 7) {
      const width = [2, 4, 4, 8][how - 3], little = random.below(2) === 0;
      if (at + width > bytes.length) continue;
      const value = [() =>
        0n, (_: bigint) =>
        -1n, (x: bigint) =>
        x + 1n, (x: bigint) =>
        x - 1n, () =>
        0x7fffffffn, () =>
        BigInt(random.below(2 ** 20))][random.below(6)];
      if (width === 2) {
        view.setUint16(at, Number(BigInt.asUintN(16, value(BigInt(view.getUint16(at, little))))), little);
      } else if (width === 4) {
        view.setUint32(at, Number(BigInt.asUintN(32, value(BigInt(view.getUint32(at, little))))), little);
      } else view.setBigUint64(at, BigInt.asUintN(64, value(view.getBigUint64(at, little))), little);
    } else if (how === 7) splice(piece, new Uint8Array());
    else if (how === 8) splice(0, Uint8Array.from({ length: piece }, () => random.below(256)));
    else if (how === 9) splice(0, bytes.slice(at, at + piece * 4));
    else if (how === 10) splice(random.below(4), WORDS[random.below(WORDS.length)]);
    else if (how > 11) {
      // The next number in digits, in JSON and in tar.
      const isDigit = (byte: number) => byte >= 48 && byte < 58, first = bytes.findIndex((byte, i) => i >= at && isDigit(byte));
      if (first < 0) continue;
      let end = first;
      while (isDigit(bytes[end])) end++;
      const number = Number(fromUtf8(bytes.subarray(first, end))), numbers = [0, number + 1, number - 1, number * 2, 2 ** 31, 2 ** 53];
      const word = random.below(3) === 0 ? WORDS[random.below(WORDS.length)] : utf8(String(numbers[random.below(numbers.length)]));
      bytes = join([bytes.subarray(0, first), word, bytes.subarray(end)]);
    } else bytes = bytes.slice(0, at);
  }
  return bytes;
}

/** What came of some cases. */
export interface Outcome {
  readonly cases: number;
  /** Cases that gave a value, and typed errors, by target. */
  readonly values: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  /** Cases that went wrong: which, and how. */
  readonly wrong: readonly string[];
  /** Seconds of the slowest. */
  readonly slowest: number;
  readonly slowestCase: string;
  /** Most bytes of memory that the process had. */
  readonly memory: number;
}

/** Runs cases `from` to `from + count` of a seed. */
export async function fuzz(
  count: number,
  seed: number,
  { from = 0, only, began }: { from?: number; only?: string; began?: (index: number) => void } = {},
): Promise<Outcome> {
  const all = (await targets()).filter(({ name }) => only === undefined || name === only);
  const values: Record<string, number> = {}, errors: Record<string, number> = {}, wrong: string[] = [];
  let slowest = 0, slowestCase = "", memory = Deno.memoryUsage().rss;
  for (let index = from; index < from + count; index++) {
    const random = new Random(seed, 0, index),
      target = all[index % all.length],
      bytes = mutate(target.files[random.below(target.files.length)], random);
    if (random.below(2) === 0) target.mend?.(bytes);
    began?.(index);
    const begin = performance.now();
    try {
      await target.read(bytes);
      values[target.name] = (values[target.name] ?? 0) + 1;
    } catch (error) {
      if (error instanceof LongstrideError) errors[target.name] = (errors[target.name] ?? 0) + 1;
      else wrong.push(`case ${index}, ${target.name}: ${(error as Error)?.stack ?? error}`);
    }
    const seconds = (performance.now() - begin) / 1000;
    if (seconds > slowest) [slowest, slowestCase] = [seconds, `case ${index}, ${target.name}`];
    if (seconds > SECONDS) wrong.push(`case ${index}, ${target.name}: took ${seconds.toFixed(1)} s`);
    if (index % 500 === 0) memory = Math.max(memory, Deno.memoryUsage().rss);
  }
  if (memory > MEMORY) wrong.push(`memory grew to ${(memory / 2 ** 20).toFixed(0)} MiB, at most ${MEMORY / 2 ** 20} are allowed`);
  return { cases: count, values, errors, wrong, slowest, slowestCase, memory };
}

/** Runs cases in a thread of their own, so that one that never ends is told all the same. */
function watched(count: number, seed: number, from: number, only: string | undefined): Promise<Outcome | string> {
  const worker = new Worker(import.meta.url, { type: "module", name: JSON.stringify({ count, seed, from, only }) });
  return new Promise((resolve) => {
    let index = from, since = performance.now();
    const done = (what: Outcome | string) => {
      clearInterval(timer);
      worker.terminate();
      resolve(what);
    };
    const timer = setInterval(() => {
      // Twice: a case that ends by itself after its time is told by its thread.
      if (performance.now() - since > 2000 * SECONDS) done(`case ${index} or one of the 100 behind it does not end`);
    }, 1000);
    worker.onmessage = ({ data }) => {
      since = performance.now();
      if (typeof data === "number") index = data;
      else done(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      done(`behind case ${index}: ${event.message}`);
    };
  });
}

const scope = globalThis as unknown as { WorkerGlobalScope?: unknown; postMessage: (message: unknown) => void; name: string };
if (scope.WorkerGlobalScope !== undefined) {
  const { count, seed, from, only } = JSON.parse(scope.name);
  scope.postMessage(await fuzz(count, seed, { from, only, began: (index) => index % 100 === 0 && scope.postMessage(index) }));
} else if (import.meta.main) {
  const value = (flag: string) => Deno.args[Deno.args.indexOf(flag) + 1], given = (flag: string) => Deno.args.includes(flag);
  const [count, seed, from] = [["--count", 10_000], ["--seed", 1], ["--from", 0]].map(([flag, usual]) =>
    given(flag as string) ? Number(value(flag as string)) : usual as number
  );
  if (![count, seed, from].every((number) => Number.isSafeInteger(number) && number >= 0)) {
    console.error("Cannot run: --count, --seed and --from must be whole numbers from 0");
    Deno.exit(2);
  }
  const begin = performance.now(), outcome = await watched(count, seed, from, given("--only") ? value("--only") : undefined);
  if (typeof outcome === "string") {
    console.error(outcome);
    Deno.exit(1);
  }
  const { values, errors, wrong, slowest, slowestCase, memory } = outcome;
  for (const name of Object.keys({ ...values, ...errors })) {
    console.log(`${name.padEnd(22)} ${values[name] ?? 0} values, ${errors[name] ?? 0} typed errors`);
  }
  console.log(
    `${count} cases in ${((performance.now() - begin) / 1000).toFixed(0)} s; the slowest took ${slowest.toFixed(2)} s (${slowestCase}); ` +
      `memory at most ${(memory / 2 ** 20).toFixed(0)} MiB; ${wrong.length} went wrong`,
  );
  for (const one of wrong.slice(0, 20)) console.error(one);
  Deno.exit(wrong.length > 0 ? 1 : 0);
}
