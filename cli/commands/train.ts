/**
 * `train`: a model learns text, images or sound, and the run folder keeps all of it.
 *
 * @module
 */

import { join } from "node:path";
import { DivergedError, type Progress, train as trainModel } from "../../mod.ts";
import { BYTES, checkDataset, checkSameData, type DataKind, type ImageShape } from "../../data.ts";
import {
  checkTrainable,
  encodeParts,
  inBytes,
  LOSS_UNITS,
  objectiveOf,
  type PhaseAt,
  phaseAt,
  phasesOf,
  Run,
  stepsPerEpoch,
} from "../../files.ts";
import { describeAttention } from "../../ops.ts";
import { lossCurveSvg } from "../../pictures.ts";
import { DATA_FLAGS, dataOptions, identityOf, readDataset } from "../dataset.ts";
import { writeAtomic } from "../disk.ts";
import { ENGINE_FLAGS, engineOf } from "../engine.ts";
import { type Args, type Command, group, UsageError } from "../flags.ts";
import { EventLog, hasEvents } from "../event_log.ts";
import { compact, duration, thousands } from "../format.ts";
import { program, quote } from "../program.ts";
import { Report } from "../report.ts";
import { announce, describePhase, type Facts, factsOf, type Prepared } from "../run_facts.ts";
import { openRunFolder, type RunFolder, runPath, saveRun } from "../run_folder.ts";
import { RunSamples } from "../run_samples.ts";
import { MODEL_FLAGS, newRun, resumedRun, TRAINING_FLAGS } from "../run_setup.ts";
import { EXIT_CODES, isHangupIgnored, Stopper } from "../signals.ts";
import { refuseVocabulary, tokenizerFrom, VOCABULARY_FLAGS } from "../vocabulary.ts";

/** Seconds between saves, where no evaluation asks for one, and between texts. */
const SAVE_SECONDS = 60;
/** Seconds between texts where the model has just become better. */
const BETTER_SECONDS = 15;

/** The command line that goes on with a run. */
function resumeLine(args: Args, path: string): string {
  const words = ["train", "--resume", path];
  for (const flag of ["data", "backend", "threads", "gpu", "tuning"]) {
    const value = args.text(flag);
    if (value !== undefined) words.push(`--${flag}`, String(value));
  }
  if (args.on("no-tuning")) words.push("--no-tuning");
  return `${program()} ${words.map(quote).join(" ")}`;
}

/**
 * What the flags ask for, checked before an engine is made.
 *
 * @param resumed the folder of the run to go on with
 */
async function prepare(args: Args, resumed: RunFolder | undefined, report: Report): Promise<Prepared> {
  const given = args.text("data"), isImplied = given !== undefined && args.given(["preset", "config"]).length === 0;
  let setup = resumed ? resumedRun(args, resumed.path) : isImplied ? undefined : newRun(args);
  const source = setup?.from?.data.source, path = given ?? source?.path;
  // The preset follows from the data, and how much is held out from the preset's context.
  const nCtx = (kind: DataKind, shape?: ImageShape) => (setup ??= newRun(args, { kind, shape })).config.n_ctx;
  const options = { ...dataOptions(args, source), nCtx }, dataset = await readDataset(path, options);
  setup ??= newRun(args, dataset);
  const tokenizer = setup.from ? setup.from.tokenizer : await tokenizerFrom(args, dataset, report);
  if (tokenizer) setup = { ...setup, config: { ...setup.config, vocab_size: tokenizer.size } };
  const { config, train, from } = setup, epochs = args.number("epochs"), tokens = await encodeParts(dataset, tokenizer ?? BYTES);
  if (epochs !== undefined) {
    const steps = stepsPerEpoch(config, train, tokens.train.length), asMany = Math.max(1, Math.round(steps * epochs));
    throw new UsageError(
      `Cannot use --epochs ${epochs}: a run counts its steps, and ${thousands(steps)} of them are one epoch of ${dataset.name}; ` +
        `--steps ${asMany} is as many`,
    );
  }
  checkDataset({ ...dataset, ...tokens }, config);
  for (const phase of phasesOf(config, train)) checkTrainable(phase.config);
  const identity = await identityOf(dataset, path, options);
  if (from) checkSameData(from.data, identity);
  return { setup, dataset, tokenizer, tokens, identity };
}

/** Reports, saves and shows samples while a run trains. */
class Follower {
  readonly #run: Run;
  readonly #samples: RunSamples;
  readonly #phases: readonly PhaseAt[];
  readonly #title: string;
  /** For TensorBoard, where that is asked for. */
  readonly #events: EventLog | undefined;
  #phase: number;
  #best = Infinity;
  #savedAt = performance.now();
  #shownAt = performance.now();
  /** How often the run was saved. */
  saves = 0;

  constructor(
    readonly args: Args,
    readonly report: Report,
    readonly facts: Facts,
    readonly folder: RunFolder,
    readonly stopper: Stopper,
  ) {
    const { setup: { config, train, from, path }, engine, dataset, tokenizer, identity } = facts;
    this.#run = new Run({ config, train, engine: engine.name, data: identity, tokenizer }, from?.history);
    this.#samples = new RunSamples(engine, dataset, tokenizer, path, report);
    this.#phases = phasesOf(config, train);
    this.#phase = phaseAt(this.#phases, from?.step ?? 0).index;
    if (args.on("tensorboard") ?? hasEvents(folder.path)) this.#events = new EventLog(folder.path, from?.step ?? 0, from?.history ?? []);
    this.#title = `${describeAttention(config.attention)}, ${identity.name}`;
  }

  /** Whether the losses are bits per byte, which others are never put beside. */
  get #isNext(): boolean {
    return objectiveOf(this.facts.setup.config) === "next";
  }

  get #unit(): string {
    return this.#isNext ? "bits/byte" : LOSS_UNITS[objectiveOf(this.facts.setup.config)];
  }

  /** Takes what training reports. */
  async take(reported: Progress): Promise<void> {
    const progress = this.#isNext ? inBytes(reported, this.facts.tokens.perByte) : reported;
    const { step, steps, heldOut, last } = progress, now = performance.now();
    this.#run.report(progress);
    this.#events?.report(progress);
    this.#tell(progress);
    const isBetter = heldOut !== undefined && heldOut < this.#best, isStopped = last && step < steps;
    if (isBetter) this.#best = heldOut;
    if (last || heldOut !== undefined || now - this.#savedAt > SAVE_SECONDS * 1000) await this.#save(progress);
    if (isStopped) this.#stopped(progress);
    else if (last) {
      if (this.#isNext) await this.#samples.atEnd(progress);
      this.#finished(step);
    } else if (performance.now() - this.#shownAt > (isBetter ? BETTER_SECONDS : SAVE_SECONDS) * 1000) {
      if (this.#isNext) await this.#samples.between(progress);
      this.#shownAt = performance.now();
    }
  }

  #tell({ step, steps, loss, heldOut, lr, gradNorm, skipped, tokensPerSecond, secondsLeft, phase: { index, of } }: Progress): void {
    const { report } = this, { config } = this.facts.setup, held = this.#run.heldOut;
    if (index !== this.#phase) report.say(`Phase ${index + 1} of ${of}: ${describePhase(this.#phases[this.#phase = index], config)}`);
    const parts = [
      { text: `step ${String(step).padStart(String(steps).length)}/${steps}` },
      ...of > 1 ? [{ text: `phase ${index + 1}/${of}`, spare: true }] : [],
      { text: `loss ${loss.toFixed(3)}` },
      ...held === undefined ? [] : [{ text: `held-out ${held.toFixed(3)} ${this.#unit}`, short: `held-out ${held.toFixed(3)}` }],
      { text: `${thousands(tokensPerSecond)} tokens/s`, short: `${compact(tokensPerSecond)}/s` },
      ...skipped > 0 ? [{ text: `${skipped} skipped` }] : [],
    ];
    // What was measured stays to be looked back at.
    if (heldOut !== undefined) report.keep(parts);
    else report.progress([...parts, { text: `${duration(secondsLeft)} left` }]);
    report.event("progress", {
      ...{ step, steps, loss, heldOut, lr, gradNorm, skipped, tokensPerSecond, secondsLeft },
      ...of > 1 ? { phase: index + 1, phases: of } : {},
    });
  }

  /** Saves the run, then what is for looking at: the model is safe before. */
  async #save(progress: Progress): Promise<void> {
    const { setup: { path, train }, gzip, order0 } = this.facts,
      marks = this.#isNext ? [{ label: "gzip −9", bits: gzip }, { label: "order-0 entropy", bits: order0 }] : [];
    saveRun(this.folder, await this.#run.checkpoint(progress));
    writeAtomic(
      join(path, "loss.svg"),
      lossCurveSvg(this.#title, this.#run.history, train.steps, marks, undefined, this.#isNext ? undefined : this.#unit),
    );
    this.saves++;
    this.#savedAt = performance.now();
    this.report.event("saved", { run: path, step: progress.step });
  }

  #stopped({ step, steps }: Progress): void {
    const { path } = this.facts.setup, resume = resumeLine(this.args, path);
    this.report.event("stopped", { signal: this.stopper.came, run: path, step, resume });
    this.report.say(`Stopped after step ${thousands(step)} of ${thousands(steps)} and saved. To go on:\n\n  ${resume}\n`);
  }

  #finished(step: number): void {
    const { report, facts: { order0, gzip, setup: { path } } } = this, { screen } = report, heldOut = this.#run.heldOut!;
    report.event("end", { run: path, step, heldOut, ...this.#isNext ? { order0, gzip } : { unit: this.#unit } });
    const line = (name: string, bits: number) => `  ${name.padEnd(18)}${bits.toFixed(3).padStart(7)}`;
    report.show(screen.bold(this.#isNext ? "Held-out bits/byte" : `Held out, ${this.#unit}`));
    report.show(screen.bold(line("this model", heldOut)));
    const made = ["config.json", "model.safetensors", ...this.facts.tokenizer ? ["tokenizer.json"] : [], "loss.svg"].join(", ");
    if (!this.#isNext) return report.say(`\nIn ${path}: ${made}. openEncoder reads with it.\n`);
    report.show(line("gzip −9", gzip));
    report.show(line("order-0 entropy", order0));
    const sample = `${program()} ${["sample", path].map(quote).join(" ")}`;
    report.say(`\nIn ${path}: ${made}, ${this.#samples.file}. To write with it:\n\n  ${sample}\n`);
  }

  /** The error of a run whose gradients are not finite, with what to do. */
  diverged(error: DivergedError): DivergedError {
    const { train, path, from } = this.facts.setup;
    const lower = `--lr ${train.lr / 4}${train.optimizer === "muon" ? ` --muon-lr ${train.muon_lr / 4}` : ""}`;
    const what = this.saves > 0
      ? `:\n\n  ${resumeLine(this.args, path)} ${lower}\n`
      : from
      ? `; nothing was saved since it was resumed, so give that command again with ${lower}`
      : `; nothing was saved yet, so begin again with ${lower}`;
    return new DivergedError(error.message + what, { cause: error });
  }

  dispose(): void {
    this.report.screen.clear();
    this.#samples.dispose();
  }
}

/** Trains to the end, or to the first signal. */
async function follow(args: Args, report: Report, facts: Facts, folder: RunFolder, stopper: Stopper): Promise<void> {
  const { setup: { config, train, from }, dataset, tokens, engine } = facts, isLive = report.screen.live && !report.json;
  announce(report, facts);
  const follower = new Follower(args, report, facts, folder, stopper);
  try {
    // Drawing 95 million weights takes 10 s and more.
    if (isLive) report.progress([{ text: "preparing weights and kernels …" }]);
    const reports = trainModel({
      engine,
      config,
      train,
      data: tokens.train,
      unit: dataset.unit,
      heldOut: tokens.heldOut,
      from,
      signal: stopper.signal,
      reportSeconds: isLive ? 0.5 : 2,
    });
    for await (const progress of reports) await follower.take(progress);
  } catch (error) {
    throw error instanceof DivergedError ? follower.diverged(error) : error;
  } finally {
    follower.dispose();
  }
}

/** @param resumed the folder of the run to go on with */
async function begin(args: Args, resumed?: RunFolder): Promise<number> {
  // Asked first of all: once anything listens to a signal Deno takes all that end a process. Asked after the engine was there, one of six runs
  // that began under nohup on a busy machine was ended by a hang-up.
  const isDeaf = isHangupIgnored(), report = new Report(args.on("json") ?? false, "the run goes on and saves as before");
  const prepared = await prepare(args, resumed, report), { path } = prepared.setup, picked = await engineOf(args);
  try {
    // Taken before training, so that a folder that cannot be written is known now.
    const folder = resumed ?? openRunFolder(path, false);
    const stopper = new Stopper(isDeaf, () => report.say("Stopping after this step; once more to quit at once without saving."));
    try {
      await follow(args, report, await factsOf(prepared, picked), folder, stopper);
    } finally {
      stopper.close();
      if (!resumed) folder.close();
    }
    const code = report.code(`The run is ${stopper.came ? `stopped by ${stopper.came}` : "done"} and saved in ${path}`);
    return stopper.came ? EXIT_CODES[stopper.came] : code;
  } finally {
    picked.engine.dispose();
  }
}

/** The command. */
export const train: Command = {
  name: "train",
  about: "train a model on text, images or sound; without flags, a small one on the World Factbook, in minutes",
  flags: [
    ...group("Data", [{
      name: "data",
      value: "FILE",
      about:
        "what to train on: text, images (PNG, CIFAR, MNIST) or sound (WAV), a file, archive or folder (default: The World Factbook, from npm)",
    }]),
    ...DATA_FLAGS,
    ...MODEL_FLAGS,
    ...VOCABULARY_FLAGS,
    ...TRAINING_FLAGS,
    ...group("Output", [
      { name: "out", value: "DIR", about: "the run folder (default: runs/<date>-<preset>)" },
      { name: "resume", value: "RUN", about: "go on with a run, bit for bit where it is the same engine" },
      {
        name: "tensorboard",
        negatable: true,
        about: "write an event file for TensorBoard into the run folder (default: where the run has one)",
      },
      { name: "json", about: "one JSON object per line on stdout instead of text" },
    ]),
    ...ENGINE_FLAGS,
  ],
  examples: [
    "train",
    "train --data enwik8.zip --steps 2000 --out runs/enwik8",
    "train --pattern strided --stride 32 --integration interleaved --steps 600",
    "train --resume runs/enwik8 --tensorboard",
  ],
  async execute(args) {
    const resumed = args.text("resume");
    if (resumed === undefined) return await begin(args);
    if (args.text("out")) throw new UsageError("Cannot use --out with --resume: a run goes on in its own folder");
    refuseVocabulary(args);
    // Before the run is read: a process that is still training there would save later steps than those read.
    const folder = openRunFolder(runPath(resumed), true);
    try {
      return await begin(args, folder);
    } finally {
      folder.close();
    }
  },
};
