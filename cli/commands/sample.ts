/**
 * `sample`: what a trained model makes: text as it comes, images on a sheet, sounds.
 *
 * @module
 */

import { join } from "node:path";
import { ConfigError, encodeText, type ModelConfig, type OpenedModel, openModel } from "../../mod.ts";
import { checkDataset, DATA_KINDS, type DataKind, type ImageShape, SOUND_RATE, TextStream, visible } from "../../data.ts";
import type { RunState } from "../../files.ts";
import { checkOut, ENGINE_FLAGS, engineOptions, writeOut } from "../common.ts";
import { dataFor, dataOptions, READ_FLAGS, readDataset, readTrained } from "./data.ts";
import { runPath } from "../files.ts";
import { type Args, type Command, UsageError } from "../flags.ts";
import { imagesFile, rowsOf, soundFile } from "../samples.ts";
import { bytes, duration, percent, Screen, soundLength, whole, write } from "../terminal.ts";

/** Endings of the files that samples of a kind go into. */
const ENDINGS: Readonly<Record<DataKind, string>> = { image: ".png", audio: ".wav", text: ".txt", bytes: ".bin" };

/** What the samples are: what `--kind` says, else what the model was trained on, what the file is to be, what its positions are of. */
function kindOf(args: Args, state: RunState | undefined, { position }: ModelConfig): DataKind {
  const out = args.text("out")?.toLowerCase(), pictured = position.kind === "data" && position.shape.length === 3;
  return args.text("kind") as DataKind | undefined ?? state?.data.source?.kind ??
    (Object.keys(ENDINGS) as DataKind[]).find((kind) => out?.endsWith(ENDINGS[kind])) ?? (pictured ? "image" : "text");
}

/**
 * What samples begin with, one a sample, all of the same length: of `--prefix` or of what training held out the contexts one
 * after another, or the same where there are not enough.
 */
async function prompts(
  args: Args,
  run: string,
  state: RunState | undefined,
  { kind, nCtx, batch }: { kind: DataKind; nCtx: number; batch: number },
): Promise<Uint8Array[]> {
  const text = args.text("prompt"), file = args.text("prefix"), asked = args.number("prefix-tokens");
  if (text !== undefined && (file !== undefined || asked !== undefined)) {
    throw new UsageError("Cannot use --prompt with --prefix or --prefix-tokens: a sample begins with one of them");
  }
  if (text && (kind === "image" || kind === "audio")) {
    throw new UsageError("Cannot use --prompt: the model makes no text; --prefix FILE goes on from an image or a sound");
  }
  let tokens = encodeText(text ?? ""), count = tokens.length, whose = "the prefix";
  if (file !== undefined || asked !== undefined) {
    const dataset = file === undefined ? undefined : await readDataset(file, { ...dataOptions(args, state?.data.source), heldOut: 0 });
    if (dataset?.shape) checkDataset({ ...dataset, heldOut: dataset.train }, { n_ctx: nCtx, vocab_size: 256 });
    tokens = (dataset?.train ?? (await dataFor(args, run, state)).unseen) as Uint8Array<ArrayBuffer>;
    count = asked ?? Math.floor(nCtx / 2);
    whose = "--prefix-tokens";
    if (count > tokens.length) {
      throw new ConfigError(
        `Cannot sample: --prefix-tokens must be at most the ${whole(tokens.length)} that there are, current value is ${count}`,
      );
    }
  }
  // The model goes on from the latter half of what it has, as past its context.
  if (file === undefined && asked === undefined) return Array.from({ length: batch }, () => tokens);
  if (count > nCtx - 1) {
    throw new ConfigError(
      `Cannot sample: ${whose} must leave room in a context of ${whole(nCtx)}, so it is at most ${
        whole(nCtx - 1)
      } tokens, current value is ${whole(count)}`,
    );
  }
  const contexts = Math.max(1, Math.floor(tokens.length / nCtx));
  return Array.from({ length: batch }, (_, which) => tokens.subarray((which % contexts) * nCtx).subarray(0, count));
}

/** The command. */
export const sample: Command = {
  name: "sample",
  about: "make text, images or sounds with a trained model",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    { name: "prompt", value: "TEXT", empty: true, about: "text to go on from (default: none)" },
    { name: "prefix", value: "FILE", about: "data to go on from: text, images to complete, a sound (default: none)" },
    {
      name: "prefix-tokens",
      value: "N",
      kind: "whole",
      low: 1,
      about: "tokens to begin with, of FILE or of what training held out (default: half a context, of images the upper half)",
    },
    ...READ_FLAGS,
    { name: "length", value: "N", kind: "whole", low: 0, about: "tokens to make (default: 500 bytes of text; the rest of a context)" },
    { name: "batch", value: "N", kind: "whole", low: 1, high: 65536, about: "samples to make at once (default: 1; of images 4)" },
    {
      name: "temperature",
      value: "T",
      kind: "number",
      low: 0,
      about: "1 draws as the model predicts, less is more careful, 0 takes the likeliest (default: 0.9 for text, 1)",
    },
    { name: "top-k", value: "K", kind: "whole", low: 0, about: "only the K likeliest tokens (default: 0, all)" },
    {
      name: "top-p",
      value: "P",
      kind: "number",
      low: 0,
      high: 1,
      about: "only the likeliest tokens that together reach probability P (default: 1, all)",
    },
    { name: "seed", value: "N", kind: "whole", low: 0, high: 2 ** 32 - 1, about: "same seed, same samples on one engine (default: 0)" },
    { name: "kind", value: "NAME", kind: DATA_KINDS, about: `what tokens are: ${DATA_KINDS.join(", ")} (default: as those trained on)` },
    {
      name: "out",
      value: "FILE",
      about: "where to: PNG of images, WAV of sounds, else text (default: text to the terminal, RUN/sample.png, RUN/sample.wav)",
    },
    ...ENGINE_FLAGS,
    {
      name: "json",
      about: "one JSON object a byte on stdout: its value, and the text that it completes; of images and sounds one at the end",
    },
  ],
  examples: [
    "sample runs/my-run",
    `sample runs/my-run --prompt "The climate is " --length 1000 --temperature 0.7 --seed 4`,
    "sample runs/cifar --batch 16 --out sheet.png",
    "sample runs/cifar --prefix-tokens 1536 --batch 8",
    "sample runs/piano --prefix tune.wav --length 24000 --out more.wav",
  ],
  async run(args) {
    const run = runPath(args.operands[0]),
      notes = new Screen(Deno.stderr),
      { model: loaded, state } = readTrained(run),
      kind = kindOf(args, state, loaded.config);
    const { n_ctx, vocab_size } = loaded.config, batch = args.number("batch") ?? (kind === "image" ? 4 : 1);
    if (vocab_size > 256) {
      throw new ConfigError(`Cannot sample: tokens are bytes only with a vocab_size of at most 256, it is ${vocab_size}`);
    }
    const out = args.text("out");
    if (out !== undefined) checkOut(out);
    const given = await prompts(args, run, state, { kind, nCtx: n_ctx, batch }),
      shape = kind === "image" ? shapeOf(args, state, loaded.config) : undefined;
    const { options, tuned } = engineOptions(args), model = await openModel(loaded, options);
    try {
      const { kept, dense } = model.cacheBytes;
      notes.print(notes.faint(`${model.engine.name}: ${model.engine.description} (${tuned.why(model)})`));
      notes.print(
        notes.faint(
          `keys and values kept: ${bytes(kept)}, ${percent(kept / dense)} of the ${bytes(dense)} of all ${whole(n_ctx)} positions`,
        ),
      );
      if (kind === "text" || kind === "bytes") await texts(args, model, given, notes);
      else {await files(args, model, given, notes, {
          run,
          kind,
          shape,
          rate: args.number("rate") ?? state?.data.source?.rate ?? SOUND_RATE,
        });}
    } finally {
      notes.clear();
      model.dispose();
    }
    return 0;
  },
};

/** Height, width and channels of the images that the model makes. */
function shapeOf(args: Args, state: RunState | undefined, { n_ctx, position }: ModelConfig): ImageShape {
  const shape = dataOptions(args, state?.data.source).shape ?? (position.kind === "data" ? position.shape : undefined);
  if (shape?.length !== 3 || shape.reduce((a, b) => a * b) !== n_ctx || (shape[2] !== 1 && shape[2] !== 3)) {
    throw new ConfigError(
      `Cannot draw images: their shape must be height, width and 1 or 3 channels that make n_ctx = ${n_ctx}, current value is ${
        shape?.join(" × ") ?? "none"
      }; give --shape`,
    );
  }
  return shape as unknown as ImageShape;
}

const choice = (args: Args) => ({ topK: args.number("top-k"), topP: args.number("top-p"), seed: args.number("seed") });

async function texts(args: Args, model: OpenedModel, given: readonly Uint8Array[], notes: Screen): Promise<void> {
  const json = args.on("json") ?? false, batch = given.length, streams = given.map(() => new TextStream()), out = args.text("out");
  const prompts = given.map((prompt) => visible(new TextDecoder().decode(prompt)));
  // One text is shown as it comes, several one after another at the end.
  const made = streams.map(() => ""),
    raw = given.map((prompt) => [...prompt]),
    live = batch === 1 && !json && out === undefined,
    begun = performance.now();
  const put = (which: number, text: string, token?: number) => {
    if (json) {
      if (token !== undefined || text) write(Deno.stdout, JSON.stringify({ ...batch > 1 && { sample: which }, token, text }) + "\n");
    } else if (live) write(Deno.stdout, text);
    made[which] += text;
  };
  if (live && prompts[0]) write(Deno.stdout, notes.bold(prompts[0]));
  let count = 0, open = live;
  const samples = model.samples({
    batch,
    prompt: given,
    length: args.number("length") ?? 500,
    temperature: args.number("temperature") ?? 0.9,
    ...choice(args),
  });
  try {
    for await (const tokens of samples) {
      tokens.forEach((token, which) => {
        raw[which].push(token);
        put(which, streams[which].push(Uint8Array.of(token)), token);
      });
      count += batch;
      if (count % (64 * batch) === 0) await new Promise((resume) => setTimeout(resume, 0));
    }
    streams.forEach((stream, which) => put(which, stream.end()));
    if (open) write(Deno.stdout, "\n");
    open = false;
  } finally {
    if (open && Deno.stdout.isTerminal()) write(Deno.stdout, "\n");
  }
  if (out !== undefined) {
    // Bytes as they are; an empty line between texts.
    writeOut(out, Uint8Array.from(raw.flatMap((text, which) => which === 0 ? text : [10, 10, ...text])));
    notes.print(`Wrote ${out}.`);
  } else if (!live && !json) {
    made.forEach((text, which) => {
      notes.print(notes.faint(`text ${which + 1} of ${batch}`));
      write(Deno.stdout, notes.bold(prompts[which]) + text + "\n");
    });
  }
  const seconds = (performance.now() - begun) / 1000;
  notes.print(notes.faint(`${whole(count)} bytes in ${seconds.toFixed(1)} s: ${whole(count / seconds)} a second`));
}

async function files(
  args: Args,
  model: OpenedModel,
  given: readonly Uint8Array[],
  notes: Screen,
  { run, kind, shape, rate }: { run: string; kind: DataKind; shape?: ImageShape; rate: number },
): Promise<void> {
  const batch = given.length, rest = model.config.n_ctx - given[0].length, length = args.number("length") ?? rest;
  if (shape && length !== rest) throw new ConfigError(`Cannot make ${length} tokens of an image: it has ${rest} more; leave out --length`);
  const out = args.text("out") ?? join(run, `sample${ENDINGS[kind]}`), begun = performance.now(), all = given[0].length + length;
  const stream = model.samples({ batch, prompt: given, length, temperature: args.number("temperature") ?? 1, ...choice(args) });
  let told = begun;
  const rows = await rowsOf(stream, given, all, (at) => {
    const now = performance.now(), seconds = (now - begun) / 1000, done = at - given[0].length;
    if (notes.terminal && now - told > 200) {
      told = now;
      const left = duration(seconds / done * (length - done));
      notes.progress(`${whole(at)} of ${whole(all)} tokens  ${whole(done * batch / seconds)} tokens/s  ${left} left`);
    }
    return true;
  });
  const seconds = (performance.now() - begun) / 1000, tokensPerSecond = length * batch / seconds;
  writeOut(out, shape ? imagesFile(rows!, shape) : await soundFile(rows!, rate));
  if (args.on("json")) {
    const facts = {
      event: "sample",
      kind,
      file: out,
      samples: batch,
      tokens: length * batch,
      prefix: given[0].length,
      seconds,
      tokensPerSecond,
    };
    write(Deno.stdout, JSON.stringify(facts) + "\n");
    return;
  }
  notes.clear();
  const what = shape
    ? batch === 1 ? "an image" : `${batch} images`
    : `${batch === 1 ? "" : `${batch} times `}${soundLength(all / rate)} of sound`;
  write(Deno.stdout, `${out}: ${what}\n`);
  notes.print(notes.faint(`${whole(length * batch)} tokens in ${seconds.toFixed(1)} s: ${whole(tokensPerSecond)} a second`));
}
