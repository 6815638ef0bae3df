/**
 * `sample`: what a trained model makes: text as it comes, images on a sheet, sounds.
 *
 * @module
 */

import { join } from "node:path";
import { encodeText, type GenerationOptions, type ModelConfig, type OpenedModel, openModel } from "../../mod.ts";
import {
  BYTES,
  checkDataset,
  type Codec,
  DATA_KINDS,
  type DataKind,
  type ImageShape,
  type LetThrough,
  SOUND_RATE,
  StopTokens,
  TextStream,
  type TokenArray,
  visible,
} from "../../data.ts";
import { codecOf, GENERATION_FILE, mustBe, type RunState, whole } from "../../files.ts";
import { SAMPLE_FIELDS } from "../../ops.ts";
import { dataFor, dataOptions, READ_FLAGS, readDataset } from "../dataset.ts";
import { checkWritable, writeFile } from "../disk.ts";
import { distributed, DISTRIBUTED_FLAGS } from "../distributed.ts";
import { ENGINE_FLAGS, engineOptions } from "../engine.ts";
import { type Args, type Command, group, UsageError } from "../flags.ts";
import { bytes, compact, duration, percent, soundLength, thousands } from "../format.ts";
import { imagesFile, rowsOf, soundFile } from "../media.ts";
import type { Ranks } from "../mpi/ranks.ts";
import { type NamedModel, readModel } from "../model.ts";
import { Screen, SILENT, write } from "../terminal.ts";

/** Endings of the files that samples of a kind go into. */
const ENDINGS: Readonly<Record<DataKind, string>> = { image: ".png", audio: ".wav", text: ".txt", bytes: ".bin" };

/** What the samples are: what `--kind` says, else what the model was trained on, what the file is to be, what its positions are of. */
function kindOf(args: Args, state: RunState | undefined, { position }: ModelConfig): DataKind {
  const out = args.text("out")?.toLowerCase(), pictured = position.kind === "data" && position.shape.length === 3;
  return args.text("kind") as DataKind | undefined ?? state?.data.source?.kind ??
    (Object.keys(ENDINGS) as DataKind[]).find((kind) => out?.endsWith(ENDINGS[kind])) ?? (pictured ? "image" : "text");
}

/** Tokens that samples go on from, and how many of them each begins with. */
interface Prefix {
  readonly tokens: TokenArray;
  readonly count: number;
}

/**
 * What `--prefix` and `--prefix-tokens` ask for: data that was given, else what training has not seen.
 *
 * @throws {UsageError} where there is not so much, or it leaves no room in the model's context
 */
async function prefixOf(args: Args, { name, model, state }: NamedModel): Promise<Prefix> {
  const file = args.text("prefix"), { n_ctx } = model.config, codec = codecOf(model, "sample");
  const dataset = file === undefined ? undefined : await readDataset(file, { ...dataOptions(args, state?.data.source), heldOut: 0 });
  if (dataset?.shape) checkDataset({ ...dataset, heldOut: dataset.train }, { n_ctx, vocab_size: BYTES.size });
  const tokens = await codec.encode(dataset?.train ?? (await dataFor(args, name, state)).unseen),
    count = args.number("prefix-tokens") ?? Math.floor(n_ctx / 2);
  if (count > tokens.length) {
    throw new UsageError(`Cannot sample: ${mustBe("--prefix-tokens", whole(1, tokens.length), count)}; there are no more`);
  }
  if (count > n_ctx - 1) {
    throw new UsageError(
      `Cannot sample: --prefix-tokens must leave room in a context of ${thousands(n_ctx)}, so it is at most ${
        thousands(n_ctx - 1)
      } tokens, found ${thousands(count)}`,
    );
  }
  return { tokens, count };
}

/**
 * What samples begin with, one per sample, all of the same length: of a prefix the contexts one after another, or the same where there are
 * not enough.
 *
 * @throws {UsageError} where flags contradict each other or the kind of the data
 */
async function promptsOf(args: Args, model: NamedModel, kind: DataKind, batch: number): Promise<TokenArray[]> {
  const text = args.text("prompt"), hasPrefix = args.given(["prefix", "prefix-tokens"]).length > 0, { n_ctx } = model.model.config;
  if (text !== undefined && hasPrefix) {
    throw new UsageError("Cannot use --prompt with --prefix or --prefix-tokens: a sample begins with one of them");
  }
  if (text && (kind === "image" || kind === "audio")) {
    throw new UsageError("Cannot use --prompt: the model makes no text; --prefix FILE goes on from an image or a sound");
  }
  if (args.texts("stop") && (kind === "image" || kind === "audio")) {
    throw new UsageError("Cannot use --stop: the model makes no text");
  }
  // Of a longer text the model goes on from the latter half of what it has, as past its context.
  if (!hasPrefix) return new Array(batch).fill(await codecOf(model.model, "sample").encode(encodeText(text ?? "")));
  const { tokens, count } = await prefixOf(args, model), contexts = Math.max(1, Math.floor(tokens.length / n_ctx));
  return Array.from({ length: batch }, (_, which) => tokens.subarray((which % contexts) * n_ctx).subarray(0, count));
}

/** Height, width and channels of the images that the model makes. */
function shapeOf(args: Args, state: RunState | undefined, { n_ctx, position }: ModelConfig): ImageShape {
  const shape = dataOptions(args, state?.data.source).shape ?? (position.kind === "data" ? position.shape : undefined);
  if (shape?.length !== 3 || shape.reduce((a, b) => a * b) !== n_ctx || (shape[2] !== 1 && shape[2] !== 3)) {
    throw new UsageError(
      `Cannot draw images: their shape must be height, width and 1 or 3 channels that make n_ctx = ${n_ctx}, found ${
        shape?.join(" × ") ?? "none"
      }; give --shape`,
    );
  }
  return shape as unknown as ImageShape;
}

/** How samples are drawn: what flags leave open is as the model's own options say, in {@linkcode OpenedModel.samples}. */
const choice = (args: Args) => ({
  topK: args.number("top-k"),
  topP: args.number("top-p"),
  minP: args.number("min-p"),
  repetitionPenalty: args.number("repetition-penalty"),
  seed: args.number("seed"),
});

/** The temperature, where neither flags nor the model's own options say one. */
function temperatureOf(args: Args, { temperature, doSample }: GenerationOptions, usual: number): number | undefined {
  return args.number("temperature") ?? (temperature === undefined && doSample === undefined ? usual : undefined);
}

/** A text under way, up to the first stop string in it. */
class Written {
  readonly #stop: StopTokens;
  readonly #stream = new TextStream();
  /** All bytes, those given among them. */
  readonly bytes: number[];

  constructor(codec: Codec, given: TokenArray, stops: readonly string[]) {
    this.#stop = new StopTokens(codec, stops);
    this.bytes = [...codec.decode(given)];
  }

  /** Whether nothing follows. */
  get ended(): boolean {
    return this.#stop.stopped;
  }

  /** Takes a token: the text that is known to be before every stop string now, and the tokens that are. */
  take(token: number): { text: string; tokens: readonly number[] } {
    return this.#show(this.#stop.push(token));
  }

  /** What is left when no token comes any more. */
  end(): { text: string; tokens: readonly number[] } {
    const { text, tokens } = this.#show(this.#stop.end());
    return { text: text + this.#stream.end(), tokens };
  }

  #show({ bytes, tokens }: LetThrough): { text: string; tokens: readonly number[] } {
    for (const byte of bytes) this.bytes.push(byte);
    return { text: this.#stream.push(Uint8Array.from(bytes)), tokens };
  }
}

/** Makes texts: one is shown as it comes, several one after another at the end. */
async function texts(args: Args, model: OpenedModel, given: readonly TokenArray[], notes: Screen): Promise<void> {
  const codec = codecOf(model, "sample"),
    { generation } = model,
    batch = given.length,
    out = args.text("out"),
    json = args.on("json") ?? false;
  const stops = args.texts("stop") ?? generation.stopStrings ?? [], texts = given.map((tokens) => new Written(codec, tokens, stops));
  const prompts = given.map((prompt) => visible(new TextDecoder().decode(codec.decode(prompt))));
  const made = texts.map(() => ""), live = batch === 1 && !json && out === undefined, begun = performance.now();
  const put = (which: number, { text, tokens }: { text: string; tokens: readonly number[] }) => {
    if (json) {
      const say = (fields: object) => write(Deno.stdout, JSON.stringify({ ...batch > 1 && { sample: which }, ...fields }) + "\n");
      // What a stop string let through at once is the text of the first of the tokens.
      tokens.forEach((token, at) => say({ token, text: at === 0 ? text : "" }));
      if (text && tokens.length === 0) say({ text });
    } else if (live) write(Deno.stdout, text);
    made[which] += text;
  };
  if (live && prompts[0]) write(Deno.stdout, notes.bold(prompts[0]));
  let count = 0, steps = 0, open = live;
  const samples = model.samples({
    batch,
    prompt: given,
    length: args.number("length") ?? generation.maxNewTokens ?? 500,
    temperature: temperatureOf(args, generation, 0.9),
    ...choice(args),
  });
  try {
    for await (const tokens of samples) {
      tokens.forEach((token, which) => {
        if (texts[which].ended) return;
        put(which, texts[which].take(token));
        count++;
      });
      if (texts.every(({ ended }) => ended)) break;
      if (++steps % 64 === 0) await new Promise((resume) => setTimeout(resume, 0));
    }
    texts.forEach((text, which) => put(which, text.end()));
    if (open) write(Deno.stdout, "\n");
    open = false;
  } finally {
    if (open && Deno.stdout.isTerminal()) write(Deno.stdout, "\n");
  }
  if (out !== undefined) {
    // Bytes as they are; an empty line between texts.
    writeFile(out, Uint8Array.from(texts.flatMap(({ bytes }, which) => [...which === 0 ? [] : [10, 10], ...bytes])));
    notes.print(`Wrote ${out}.`);
  } else if (!live && !json) {
    made.forEach((text, which) => {
      notes.print(notes.faint(`text ${which + 1} of ${batch}`));
      write(Deno.stdout, notes.bold(prompts[which]) + text + "\n");
    });
  }
  const seconds = (performance.now() - begun) / 1000;
  notes.print(
    notes.faint(
      `${thousands(count)} ${model.tokenizer ? "tokens" : "bytes"} in ${seconds.toFixed(1)} s: ${thousands(count / seconds)} per second`,
    ),
  );
}

/** What images or sounds are to be. */
interface Media {
  readonly kind: DataKind;
  readonly shape?: ImageShape;
  readonly rate: number;
  readonly out: string;
}

/** Seeds of ranks are so far apart, each rank's samples being those of a seed of its own. */
const SEEDS_APART = 1_000_003;

/** Makes images or sounds, of several processes each its share, and one file of them. */
async function media(
  args: Args,
  model: OpenedModel,
  all: readonly TokenArray[],
  notes: Screen,
  { kind, shape, rate, out }: Media,
  ranks?: Ranks,
): Promise<void> {
  const begun = performance.now(),
    together = ranks?.together,
    [first, end] = together?.range(all.length) ?? [0, all.length];
  const made = await makeRows(args, model, all, [first, end], notes, shape, together?.rank ?? 0), { length } = made;
  const rows = await together?.gatherRows(made.rows, all[0].length + length) ?? made.rows;
  if (ranks?.isFirst === false) return;
  const batch = all.length, seconds = (performance.now() - begun) / 1000, tokensPerSecond = length * batch / seconds;
  writeFile(out, shape ? imagesFile(rows, shape) : await soundFile(rows, rate));
  if (args.on("json")) {
    const facts = {
      event: "sample",
      kind,
      file: out,
      samples: batch,
      tokens: length * batch,
      prefix: all[0].length,
      seconds,
      tokensPerSecond,
    };
    write(Deno.stdout, JSON.stringify(facts) + "\n");
    return;
  }
  notes.clear();
  const what = shape
    ? batch === 1 ? "an image" : `${batch} images`
    : `${batch === 1 ? "" : `${batch} times `}${soundLength((all[0].length + length) / rate)} of sound`;
  write(Deno.stdout, `${out}: ${what}\n`);
  notes.print(notes.faint(`${thousands(length * batch)} tokens in ${seconds.toFixed(1)} s: ${thousands(tokensPerSecond)} per second`));
}

/** Makes samples [first, end) of all, each [given and `length` tokens]. */
async function makeRows(
  args: Args,
  model: OpenedModel,
  all: readonly TokenArray[],
  [first, end]: readonly [number, number],
  notes: Screen,
  shape: ImageShape | undefined,
  rank: number,
): Promise<{ rows: Uint8Array[]; length: number }> {
  const given = all.slice(first, end), count = all[0].length;
  const { generation } = model, batch = given.length, rest = model.config.n_ctx - count;
  const length = args.number("length") ?? (shape ? rest : generation.maxNewTokens ?? rest);
  if (shape && length !== rest) throw new UsageError(`Cannot make ${length} tokens of an image: it has ${rest} more; leave out --length`);
  if (batch === 0) return { rows: [], length };
  const begun = performance.now(), whole = count + length, chosen = choice(args);
  const seed = rank === 0 ? chosen.seed : ((chosen.seed ?? 0) + rank * SEEDS_APART) % 2 ** 32;
  const stream = model.samples({ batch, prompt: given, length, temperature: temperatureOf(args, generation, 1), ...chosen, seed });
  let told = begun;
  const { rows } = await rowsOf(stream, given, whole, (at) => {
    const now = performance.now(), seconds = (now - begun) / 1000, done = at - count;
    if (notes.live && now - told > 200) {
      told = now;
      const left = duration(seconds / done * (length - done));
      const rate = done * batch / seconds;
      notes.progress([
        { text: `${thousands(at)} of ${thousands(whole)} tokens` },
        { text: `${thousands(rate)} tokens/s`, short: `${compact(rate)}/s` },
        { text: `${left} left` },
      ]);
    }
    return true;
  });
  return { rows: rows!, length };
}

/** The command. */
export const sample: Command = {
  name: "sample",
  about: "make text, images or sounds with a trained model",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    ...group("Samples", [
      { name: "prompt", value: "TEXT", empty: true, about: "text to go on from (default: none)" },
      { name: "prefix", value: "FILE", about: "data to go on from: text, images to complete, a sound (default: none)" },
      {
        name: "prefix-tokens",
        value: "N",
        allowed: whole(1),
        about: "tokens to begin with, of FILE or of what training held out (default: half a context, of images the upper half)",
      },
      {
        name: "length",
        value: "N",
        allowed: SAMPLE_FIELDS.length,
        about: "tokens to make (default: 500 of text; the rest of a context)",
      },
      { name: "batch", value: "N", allowed: SAMPLE_FIELDS.batch, about: "samples to make at once (default: 1; of images 4)" },
      {
        name: "temperature",
        value: "T",
        allowed: SAMPLE_FIELDS.temperature,
        about: "1 draws as the model predicts, less is more careful, 0 takes the likeliest (default: 0.9 for text, 1)",
      },
      { name: "top-k", value: "K", allowed: SAMPLE_FIELDS.topK, about: "only the K likeliest tokens (default: 0, all)" },
      {
        name: "top-p",
        value: "P",
        allowed: SAMPLE_FIELDS.topP,
        about: "only the likeliest tokens that together reach probability P (default: 1, all)",
      },
      {
        name: "min-p",
        value: "P",
        allowed: SAMPLE_FIELDS.minP,
        about: "only tokens at least P times as probable as the likeliest (default: 0, all)",
      },
      {
        name: "repetition-penalty",
        value: "F",
        allowed: SAMPLE_FIELDS.repetitionPenalty,
        about: "makes tokens that were there less likely, by a factor of their logits (default: 1, not)",
      },
      {
        name: "stop",
        value: "TEXT",
        many: true,
        alias: ["stop-string", "stop-strings", "stop-sequence"],
        about: "end a text before this string, whatever tokens it is made of; may be given several times",
      },
      { name: "seed", value: "N", allowed: SAMPLE_FIELDS.seed, about: "same seed, same samples on one engine (default: 0)" },
    ]),
    ...group("Data", [
      {
        name: "kind",
        value: "NAME",
        allowed: { oneOf: DATA_KINDS },
        about: `what tokens are: ${DATA_KINDS.join(", ")} (default: as those trained on)`,
      },
    ]),
    ...READ_FLAGS,
    ...group("Output", [
      {
        name: "out",
        value: "FILE",
        about: "where to: PNG of images, WAV of sounds, else text (default: text to the terminal, RUN/sample.png, RUN/sample.wav)",
      },
      {
        name: "json",
        about: "one JSON object per token on stdout: its number, and the text that it completes; of images and sounds one at the end",
      },
    ]),
    ...ENGINE_FLAGS,
    ...DISTRIBUTED_FLAGS,
  ],
  examples: [
    "sample runs/my-run",
    `sample runs/my-run --prompt "The climate is " --length 1000 --temperature 0.7 --seed 4`,
    `sample runs/my-run --prompt "Climate: " --stop Terrain: --stop "Natural resources:"`,
    "sample runs/cifar --batch 16 --out sheet.png",
    "sample runs/cifar --prefix-tokens 1536 --batch 8",
    "sample runs/piano --prefix tune.wav --length 24000 --out more.wav",
    "sample https://example.org/model/ --prompt Once",
  ],
  execute: (args) => distributed(args, (ranks) => execute(args, ranks)),
};

async function execute(args: Args, ranks?: Ranks): Promise<number> {
  const notes = ranks?.isFirst === false ? new Screen(SILENT) : new Screen(Deno.stderr),
    named = await readModel(args.operands[0]),
    { model: loaded, state, folder = "" } = named;
  const kind = kindOf(args, state, loaded.config), { generation } = loaded;
  const batch = args.number("batch") ?? generation?.numReturnSequences ?? (kind === "image" ? 4 : 1);
  const { n_ctx } = loaded.config, out = args.text("out");
  if (loaded.tokenizer && (kind === "image" || kind === "audio")) {
    throw new UsageError(`Cannot make ${kind} with ${args.operands[0]}: its tokens are those of text, by its tokenizer.json`);
  }
  if (out !== undefined) checkWritable(out);
  const given = await promptsOf(args, named, kind, batch), shape = kind === "image" ? shapeOf(args, state, loaded.config) : undefined;
  const { options, tuned } = engineOptions(args), model = await openModel(loaded, options);
  try {
    const { kept, dense } = model.cacheBytes, share = percent(kept / dense);
    notes.print(notes.faint(`${model.engine.name}: ${model.engine.description} (${tuned.why(model)})`));
    notes.print(
      notes.faint(`keys and values kept: ${bytes(kept)}, ${share} of the ${bytes(dense)} of all ${thousands(n_ctx)} positions`),
    );
    if (generation) {
      const said = Object.entries(generation).map(([name, value]) => `${name} ${visible(JSON.stringify(value)).slice(0, 60)}`).join(", ");
      notes.print(notes.faint(`as its ${GENERATION_FILE} says, where no flag does: ${said || "nothing"}`));
    }
    if (kind === "text" || kind === "bytes") {
      // One is shown as it comes.
      if (ranks?.isFirst !== false) await texts(args, model, given, notes);
    } else {
      const rate = args.number("rate") ?? state?.data.source?.rate ?? SOUND_RATE;
      await media(args, model, given, notes, { kind, shape, rate, out: out ?? join(folder, `sample${ENDINGS[kind]}`) }, ranks);
    }
  } finally {
    notes.clear();
    model.dispose();
  }
  return 0;
}
