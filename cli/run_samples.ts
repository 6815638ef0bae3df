/**
 * What a run shows of its model while it learns and at its end: samples of its data's kind, text, a contact sheet of images, a sound.
 *
 * @module
 */

import { join } from "node:path";
import { ConfigError, encodeText, type Progress } from "../mod.ts";
import { BYTES, type Dataset, SOUND_RATE, TextStream, type Tokenizer, visible } from "../data.ts";
import { Decoder, type Engine, Parameters, sample, samples } from "../ops.ts";
import { append, writeAtomic } from "./disk.ts";
import { soundLength } from "./format.ts";
import { imagesFile, rowsOf, soundFile } from "./media.ts";
import { program } from "./program.ts";
import type { Report } from "./report.ts";

/** Seconds that images may take: those of the paper's models take minutes each on a CPU. Whether they will is known after {@linkcode TRIED}. */
const PATIENCE = 60;
/** Seconds of decoding that tell how long the rest takes. */
const TRIED = 3;
/**
 * Seconds that a sound may take, at least and at most, and the part of the run that it may in between; what there is of it then is kept. A
 * million samples, one at a time, would take twenty minutes on any GPU, and six steps of a million should not take half as long again to end.
 */
const SOUND_PATIENCE = { least: 2, most: 8, share: 1 / 8 };
/** Seconds of a sound that another goes on from, and of a sound at most: a cache of a million positions takes gigabytes. */
const BEGINNING = 2, LONGEST = 6;
/** Images made of nothing, and as many completed. */
const IMAGES = 4;
/** Tokens of a text while the model learns, and of each at its end. */
const BETWEEN = 160, AT_END = 300;

const secondsSince = (begun: number) => (performance.now() - begun) / 1000;

/** What a run shows of its model. */
export class RunSamples {
  readonly #prompts: readonly string[];
  readonly #begun = performance.now();
  #decoder: Decoder | undefined;
  /** What the decoder was made of: another phase of the run has others. */
  #of: Parameters | undefined;
  #impossible = false;

  constructor(
    readonly engine: Engine,
    readonly dataset: Omit<Dataset, "train">,
    readonly tokenizer: Tokenizer | undefined,
    readonly path: string,
    readonly report: Report,
    readonly signal: AbortSignal,
  ) {
    this.#prompts = promptsFrom(dataset.heldOut);
  }

  /** The file in the run folder that they go into. */
  get file(): string {
    const { kind } = this.dataset;
    return kind === "image" ? "samples.png" : kind === "audio" ? "samples.wav" : "samples.txt";
  }

  get #isText(): boolean {
    return this.dataset.kind === "text" || this.dataset.kind === "bytes";
  }

  /** One short text; images and sounds take too long. */
  async between(progress: Progress): Promise<void> {
    if (this.#isText) await this.#texts(progress, [this.#prompts[progress.step % this.#prompts.length]], BETWEEN);
  }

  /** What shows the model best. */
  async atEnd(progress: Progress): Promise<void> {
    if (this.#isText) await this.#texts(progress, this.#prompts, AT_END);
    else if (this.dataset.kind === "image") await this.#images(progress);
    else await this.#sounds(progress);
  }

  /** Images from nothing, and as many completed from held-out upper halves. */
  async #images(progress: Progress): Promise<void> {
    const { kind, heldOut, unit, shape } = this.dataset, file = join(this.path, this.file);
    if (shape![2] !== 1 && shape![2] !== 3) return;
    const halves = Array.from(
      { length: IMAGES },
      (_, n) => heldOut.subarray((n % (heldOut.length / unit)) * unit).subarray(0, Math.floor(unit / 2)),
    );
    const whole = async (prompts: readonly Uint8Array[]) => {
      const begun = performance.now(), least = prompts[0].length;
      const { rows, made } = await this.#rows(progress, prompts, unit, (at) => {
        const seconds = secondsSince(begun);
        return seconds < TRIED || seconds / Math.max(1, at - least) * (unit - least) < PATIENCE;
      }) ?? {};
      if (rows && made! < unit && !this.signal.aborted) {
        this.report.say(`Images would take longer than ${PATIENCE} s here and were left out; ${program()} sample makes them.\n`);
      }
      return made === unit ? rows : undefined;
    };
    const none = await whole(halves.map(() => new Uint8Array()));
    if (!none) return;
    const half = await whole(halves), made = [...none, ...half ?? []];
    writeAtomic(file, imagesFile(made, shape!, IMAGES));
    this.report.event("sample", { kind, step: progress.step, file, images: made.length });
    this.report.say(`${file}: ${half ? "images from nothing above, completed from a held-out upper half below" : "images"}\n`);
  }

  /** A sound from nothing, and one that goes on from what is held out. */
  async #sounds(progress: Progress): Promise<void> {
    const { kind, heldOut, rate = SOUND_RATE } = this.dataset, { phase } = progress, file = join(this.path, this.file);
    const n_ctx = Math.min(phase.config.n_ctx, LONGEST * rate);
    const params = n_ctx < phase.config.n_ctx ? new Parameters({ ...phase.config, n_ctx }, phase.params) : phase.params;
    const { least, most, share } = SOUND_PATIENCE, patience = Math.min(most, Math.max(least, secondsSince(this.#begun) * share));
    const some = async (prompt: Uint8Array) => {
      const begun = performance.now();
      const { rows, made } = await this.#rows(
        { ...progress, phase: { ...phase, params } },
        [prompt],
        n_ctx,
        () => secondsSince(begun) < patience,
      ) ?? {};
      return rows?.[0].subarray(0, made);
    };
    const begun = heldOut.subarray(0, Math.min(Math.floor(n_ctx / 4), BEGINNING * rate)), none = await some(new Uint8Array());
    if (!none || this.signal.aborted) return;
    const more = await some(begun), made = more ? [none, more] : [none], length = (tokens: number) => soundLength(tokens / rate);
    writeAtomic(file, await soundFile(made, rate));
    this.report.event("sample", { kind, step: progress.step, file, sounds: made.length, seconds: none.length / rate });
    const second = more ? `, then ${length(more.length)}, of which the first ${length(begun.length)} are held out` : "";
    this.report.say(`${file}: ${length(none.length)} from nothing${second}\n`);
  }

  /**
   * What the model makes of prompts of one length, at most `length` tokens together; undefined where it cannot.
   *
   * @param goesOn asked after each position, how many there are
   */
  async #rows(
    { phase: { params }, step }: Progress,
    prompts: readonly Uint8Array[],
    length: number,
    goesOn: (positions: number) => boolean,
  ): Promise<Awaited<ReturnType<typeof rowsOf>> | undefined> {
    const decoder = await this.#decode(params, prompts.length);
    if (!decoder) return undefined;
    const made = samples(decoder, { prompt: prompts, length: length - prompts[0].length, seed: step });
    return await rowsOf(made, prompts, length, (at) => !this.signal.aborted && goesOn(at));
  }

  async #texts({ phase: { params }, step }: Progress, prompts: readonly string[], length: number): Promise<void> {
    const decoder = await this.#decode(params), { report, tokenizer: codec = BYTES } = this, { screen } = report;
    if (!decoder) return;
    let book = "";
    for (const [at, given] of prompts.entries()) {
      const stream = new TextStream(), seed = step + at, prompt = visible(given);
      let text = "";
      for await (const token of sample(decoder, { prompt: await codec.encode(encodeText(given)), length, temperature: 0.8, seed })) {
        text += stream.push(codec.decode([token]));
        if (this.signal.aborted) return;
      }
      text += stream.end();
      book += `=== step ${step}, prompt ${JSON.stringify(prompt)}, seed ${seed}\n${prompt}${text}\n\n`;
      report.event("sample", { step, prompt, seed, text });
      report.show(`${screen.faint(`── step ${step} `.padEnd(48, "─"))}\n${screen.bold(prompt)}${text.trimEnd()}\n`);
    }
    append(join(this.path, this.file), book);
  }

  /** None where the model cannot write. */
  async #decode(params: Parameters, batch = 1): Promise<Decoder | undefined> {
    if (this.#impossible || params.config.vocab_size > (this.tokenizer ?? BYTES).size) return undefined;
    try {
      if (this.#decoder?.batch !== batch || this.#of !== params) this.dispose();
      this.#of = params;
      return this.#decoder ??= await Decoder.create(this.engine, params, batch);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#impossible = true;
    }
  }

  dispose(): void {
    this.#decoder?.dispose();
    this.#decoder = undefined;
  }
}

/** The beginnings of two lines of the held-out text, for a model to go on from. */
function promptsFrom(heldOut: Uint8Array): string[] {
  const text = new TextDecoder().decode(heldOut.subarray(0, 4096)), lines = text.split("\n").slice(1).map((line) => line.trim());
  const found = lines.filter((line) => line.length >= 12).slice(0, 2).map((line) =>
    line.slice(0, line.indexOf(" ", 8) > 0 ? line.indexOf(" ", 8) : 12)
  );
  return ["", ...found];
}
