/**
 * `train`: a model learns text, images or sound, and the run folder keeps all of it.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { DivergedError, type Picked, type Progress, train as trainModel } from "../../mod.ts";
import { BYTES, checkDataset, checkSameData, type DataKind, type ImageShape } from "../../data.ts";
import {
  checkTrainable,
  CONFIG_FILE,
  encodeParts,
  inBytes,
  LOSS_UNITS,
  MODEL_FILE,
  objectiveOf,
  type PhaseAt,
  phaseAt,
  phasesOf,
  RECIPE_FILE,
  Run,
  stepsFor,
  TOKENIZER_FILE,
} from "../../files.ts";
import { describeAttention } from "../../ops.ts";
import { lossCurveSvg } from "../../pictures.ts";
import { DATA_FLAGS, dataOptions, identityOf, openData, VALID_FLAG } from "../dataset.ts";
import { writeAtomic } from "../disk.ts";
import { ENGINE_FLAGS, engineOf } from "../engine.ts";
import { distributed, DISTRIBUTED_FLAGS, WIRE_FLAGS } from "../distributed.ts";
import { EVERY_FLAGS, everyFrom } from "../every.ts";
import { type Args, byFlags, type Command, group, UsageError } from "../flags.ts";
import { EventLog, hasEvents } from "../event_log.ts";
import type { Ranks } from "../mpi/ranks.ts";
import { bytes, compact, duration, percent, thousands } from "../format.ts";
import { program, quote } from "../program.ts";
import { Report } from "../report.ts";
import { announce, describePhase, type Facts, factsOf, type Prepared } from "../run_facts.ts";
import { BEST_FOLDER, openRunFolder, type RunFolder, runPath } from "../run_folder.ts";
import { LOG_FILE, RunLog } from "../run_log.ts";
import { RunSamples } from "../run_samples.ts";
import { RunSaves } from "../run_saves.ts";
import { MODEL_FLAGS, newRun, recipeOf, resumedRun, TRAINING_FLAGS } from "../run_setup.ts";
import { EXIT_CODES, isHangupIgnored, Stopper } from "../signals.ts";
import { refuseVocabulary, tokenizerFrom, VOCABULARY_FLAGS } from "../vocabulary.ts";

/** Seconds between texts. */
const SHOW_SECONDS = 60;
/** Seconds between texts where the model has just become better. */
const BETTER_SECONDS = 15;

/** The curve, drawn. */
const CURVE_FILE = "loss.svg";

/** The command line that goes on with a run. */
function resumeLine(args: Args, path: string): string {
  const words = ["train", "--resume", path];
  for (const flag of ["data", "valid", "eval-every", "save-every", "backend", "threads", "gpu", "tuning"]) {
    const value = args.text(flag);
    if (value !== undefined) words.push(`--${flag}`, String(value));
  }
  if (args.on("samples") === false) words.push("--no-samples");
  if (args.on("no-tuning")) words.push("--no-tuning");
  return `${program()} ${words.map(quote).join(" ")}`;
}

/**
 * What the flags ask for, checked before an engine is made.
 *
 * @param resumed the run to go on with
 */
async function prepare(args: Args, resumed: { readonly path: string } | undefined, report: Report): Promise<Prepared> {
  const given = args.text("data"), isImplied = given !== undefined && args.given(["preset", "config"]).length === 0;
  const recipe = resumed ? undefined : recipeOf(args), epochs = args.number("epochs");
  if (epochs !== undefined && args.number("steps") !== undefined) {
    throw new UsageError("Cannot use --epochs with --steps: give one of them");
  }
  let setup = resumed ? resumedRun(args, resumed.path, epochs && MANY) : isImplied ? undefined : newRun(args);
  const source = setup?.from?.data.source ?? recipe?.data;
  if (args.text("valid") !== undefined && args.number("held-out") !== undefined) {
    throw new UsageError("Cannot use --held-out with --valid: all of that file is held out");
  }
  // Another file to train on has not the other's file to evaluate on.
  const place = { path: given ?? source?.path, valid: args.text("valid") ?? (given === undefined ? source?.valid : undefined) };
  // The preset follows from the data, and how much is held out from the preset's context.
  const nCtx = (kind: DataKind, shape?: ImageShape) => (setup ??= newRun(args, { kind, shape })).config.n_ctx;
  const options = { ...dataOptions(args, source), nCtx }, dataset = await openData(place, options);
  setup ??= newRun(args, dataset);
  const beside = recipe?.tokenizer === undefined ? undefined : join(dirname(args.text("config")!), recipe.tokenizer);
  const tokenizer = setup.from ? setup.from.tokenizer : await tokenizerFrom(args, dataset, report, beside);
  if (tokenizer) setup = { ...setup, config: { ...setup.config, vocab_size: tokenizer.size } };
  const tokens = await encodeParts(dataset, tokenizer ?? BYTES);
  if (epochs !== undefined) {
    const steps = stepsFor(epochs, setup.config, setup.train, tokens.train.length, dataset.unit), { path, config } = setup;
    const again = resumed ? resumedRun(args, resumed.path, steps) : newRun(args, dataset, steps);
    // A run that goes on keeps its order.
    const isOpen = !resumed && args.text("windows") === undefined;
    setup = { ...again, path, config, train: { ...again.train, ...isOpen ? { windows: "shuffled" as const } : {} } };
  }
  const { config, train, from } = setup;
  checkDataset({ ...dataset, ...tokens }, config);
  for (const phase of phasesOf(config, train)) checkTrainable(phase.config);
  const identity = await identityOf(dataset, place, options);
  if (from) checkSameData(from.data, identity);
  return { setup, dataset, tokenizer, tokens, identity };
}

/** Steps of a run that goes on before it is known how many its epochs have. */
const MANY = 2 ** 31 - 1;

/** Held-out losses of the run before, in the unit of what training reports. */
function heldOutBefore({ setup: { from, config }, tokens: { perByte } }: Facts): number[] {
  const each = objectiveOf(config) === "next" ? perByte.heldOut : 1;
  return (from?.history ?? []).flatMap(({ heldOut }) => heldOut === undefined ? [] : [heldOut / each]);
}

/** Reports, saves and shows samples while a run trains. */
class Follower {
  readonly #run: Run;
  readonly #samples: RunSamples;
  readonly #phases: readonly PhaseAt[];
  readonly #title: string;
  /** For TensorBoard, where that is asked for. */
  readonly #events: EventLog | undefined;
  readonly #saves: RunSaves;
  readonly #log: RunLog;
  /** Whether samples are made. */
  readonly #shows: boolean;
  #phase: number;
  /** Bytes of activations that were told. */
  #scratch = 0;
  #shownAt = performance.now();

  constructor(
    readonly args: Args,
    readonly report: Report,
    readonly facts: Facts,
    readonly folder: RunFolder,
    readonly stopper: Stopper,
  ) {
    const { setup: { config, train, from, path }, engine, dataset, tokenizer, identity } = facts;
    this.#run = new Run({ config, train, engine: engine.name, data: identity, tokenizer }, from?.history);
    this.#samples = new RunSamples(engine, dataset, tokenizer, path, report, stopper.signal);
    this.#shows = this.#isNext && (args.on("samples") ?? true);
    this.#phases = phasesOf(config, train);
    this.#phase = phaseAt(this.#phases, from?.step ?? 0).index;
    if (args.on("tensorboard") ?? hasEvents(folder.path)) this.#events = new EventLog(folder.path, from?.step ?? 0, from?.history ?? []);
    this.#title = `${describeAttention(config.attention)}, ${identity.name}`;
    this.#saves = new RunSaves(folder, this.#run, everyFrom(args, "save-every"));
    this.#log = new RunLog(folder.path, from?.step ?? 0);
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
    const { step, heldOut, last, ended, scored } = progress, before = this.#run.best?.heldOut ?? Infinity;
    this.#run.report(progress);
    this.#events?.report(progress);
    this.#log.report(progress, step / this.facts.epoch, (this.#run.history.at(-1)?.ms ?? 0) / 1000);
    this.#tell(progress);
    const isBetter = heldOut !== undefined && heldOut < before;
    await this.#save(progress);
    if (ended === "signal") this.#stopped(progress);
    else if (last) {
      if (ended === "patience") this.report.say(`No better evaluation in ${this.facts.setup.train.patience}: the run ends here.\n`);
      if (this.#shows) await this.#samples.atEnd(progress);
      this.#finished(step);
    } else if (
      this.#shows && scored === undefined && performance.now() - this.#shownAt > (isBetter ? BETTER_SECONDS : SHOW_SECONDS) * 1000
    ) {
      await this.#samples.between(progress);
      this.#shownAt = performance.now();
    }
  }

  #tell(progress: Progress): void {
    const { step, steps, loss, heldOut, lr, gradNorm, skipped, tokensPerSecond, secondsLeft, phase: { index, of }, scored } = progress;
    const { report } = this, { config } = this.facts.setup, held = this.#run.heldOut;
    if (progress.scratchBytes !== this.#scratch) this.#tellMemory(progress);
    if (index !== this.#phase) report.say(`Phase ${index + 1} of ${of}: ${describePhase(this.#phases[this.#phase = index], config)}`);
    const parts = [
      { text: `step ${String(step).padStart(String(steps).length)}/${steps}` },
      ...of > 1 ? [{ text: `phase ${index + 1}/${of}`, spare: true }] : [],
      { text: `loss ${loss.toFixed(3)}` },
      ...held === undefined ? [] : [{ text: `held-out ${held.toFixed(3)} ${this.#unit}`, short: `held-out ${held.toFixed(3)}` }],
      ...scored === undefined
        ? [{ text: `${thousands(tokensPerSecond)} tokens/s`, short: `${compact(tokensPerSecond)}/s` }]
        : [{ text: `evaluating, ${percent(scored)}`, short: percent(scored) }],
      ...skipped > 0 ? [{ text: `${skipped} skipped` }] : [],
    ];
    // What was measured stays to be looked back at.
    if (heldOut !== undefined) report.keep(parts);
    else if (scored !== 0 || report.screen.live) report.progress([...parts, { text: `${duration(secondsLeft)} left` }]);
    report.event("progress", {
      ...{ step, steps, loss, heldOut, lr, gradNorm, skipped, tokensPerSecond, secondsLeft, scratchBytes: progress.scratchBytes },
      ...of > 1 ? { phase: index + 1, phases: of } : {},
      ...scored === undefined ? {} : { scored },
    });
  }

  /** What activations take, beside what was planned: once per phase. */
  #tellMemory({ scratchBytes, phase: { index } }: Progress): void {
    const { activations } = this.facts.memory;
    this.#scratch = scratchBytes;
    this.report.say(
      `Activations take ${bytes(scratchBytes)} on the device${index === this.#phase ? "" : " now"}; the largest step was planned with ${
        bytes(activations)
      }.`,
    );
  }

  /** Saves the run, then what is for looking at: the model is safe before. */
  async #save(progress: Progress): Promise<void> {
    const { setup: { path, train }, gzip, order0 } = this.facts,
      marks = this.#isNext ? [{ label: "gzip −9", bits: gzip }, { label: "order-0 entropy", bits: order0 }] : [];
    const done = await this.#saves.take(progress);
    if (!done) return;
    writeAtomic(
      join(path, CURVE_FILE),
      lossCurveSvg(this.#title, this.#run.history, train.steps, marks, undefined, this.#isNext ? undefined : this.#unit),
    );
    this.report.event("saved", { run: path, step: progress.step, seconds: done.seconds });
    if (done.news !== undefined) this.report.say(done.news);
  }

  #stopped({ step, steps }: Progress): void {
    const { path } = this.facts.setup, isDone = step >= steps;
    const resume = isDone ? `${program()} ${["evaluate", path].map(quote).join(" ")}` : resumeLine(this.args, path);
    this.report.event("stopped", { signal: this.stopper.came, run: path, step, [isDone ? "evaluate" : "resume"]: resume });
    if (isDone) {
      this.report.say(`Stopped while evaluating; all ${thousands(steps)} steps are done and saved. To evaluate:\n\n  ${resume}\n`);
    } else this.report.say(`Stopped after step ${thousands(step)} of ${thousands(steps)} and saved. To go on:\n\n  ${resume}\n`);
  }

  #finished(step: number): void {
    const { report, facts: { order0, gzip, setup: { path } } } = this, { screen } = report, heldOut = this.#run.heldOut!;
    const best = this.#run.best!;
    report.event("end", { run: path, step, heldOut, ...this.#isNext ? { order0, gzip } : { unit: this.#unit }, best });
    const line = (name: string, bits: number) => `  ${name.padEnd(18)}${bits.toFixed(3).padStart(7)}`;
    report.show(screen.bold(this.#isNext ? "Held-out bits/byte" : `Held out, ${this.#unit}`));
    report.show(screen.bold(line("this model", heldOut)));
    if (best.step !== step) report.show(`${line(`at step ${best.step}`, best.heldOut)}, at a glance: ${join(path, BEST_FOLDER)}`);
    const tokenizer = this.facts.tokenizer ? [TOKENIZER_FILE] : [];
    const files = [CONFIG_FILE, MODEL_FILE, ...tokenizer, CURVE_FILE, LOG_FILE, RECIPE_FILE];
    if (!this.#isNext) return report.say(`\nIn ${path}: ${files.join(", ")}. openEncoder reads with it.\n`);
    report.show(line("gzip −9", gzip));
    report.show(line("order-0 entropy", order0));
    const sample = `${program()} ${["sample", path].map(quote).join(" ")}`;
    report.say(`\nIn ${path}: ${[...files, ...this.#shows ? [this.#samples.file] : []].join(", ")}. To write with it:\n\n  ${sample}\n`);
  }

  /** The error of a run whose gradients are not finite, with what to do. */
  diverged(error: DivergedError): DivergedError {
    const { train, path, from } = this.facts.setup;
    const lower = `--lr ${train.lr / 4}${train.optimizer === "muon" ? ` --muon-lr ${train.muon_lr / 4}` : ""}`;
    const what = this.#saves.count > 0
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
async function follow(
  args: Args,
  report: Report,
  facts: Facts,
  folder: RunFolder | undefined,
  stopper: Stopper,
  ranks?: Ranks,
): Promise<void> {
  const { setup: { config, train, from }, dataset, tokens, engine } = facts, isLive = report.screen.live && !report.json;
  announce(report, facts, ranks);
  const follower = folder && new Follower(args, report, facts, folder, stopper);
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
      together: ranks?.together,
      reportSeconds: isLive ? 0.5 : 2,
      evaluateEvery: everyFrom(args, "eval-every"),
      heldOutBefore: heldOutBefore(facts),
    });
    for await (const progress of reports) await follower?.take(progress);
  } catch (error) {
    throw error instanceof DivergedError && follower ? follower.diverged(error) : error;
  } finally {
    follower?.dispose();
  }
}

/** What all processes must have the same of. */
const sameness = ({ setup: { config, train, from }, identity }: Prepared, { engine }: Picked) => ({
  configuration: config,
  "set of training constants": train,
  data: identity,
  "step to resume at": from && [from.step, from.skipped, from.lossScale],
  engine: engine.name,
});

/** A run to go on with: where it is, and its folder where it is this process that writes there. */
interface Resumed {
  readonly path: string;
  readonly folder: RunFolder | undefined;
}

/** @param ranks the processes that train together */
async function begin(args: Args, resumed?: Resumed, ranks?: Ranks): Promise<number> {
  // Asked first of all: once anything listens to a signal Deno takes all that end a process. Asked after the engine was there, one of six runs
  // that began under nohup on a busy machine was ended by a hang-up.
  const isDeaf = isHangupIgnored(), goesOn = "the run goes on and saves as before";
  const report = ranks?.report(args.on("json") ?? false, goesOn) ?? new Report(args.on("json") ?? false, goesOn);
  const prepared = await prepare(args, resumed, report), { path } = prepared.setup, picked = await engineOf(args);
  try {
    if (ranks) {
      const { config, train } = prepared.setup;
      for (const { batch } of phasesOf(config, train)) byFlags(() => ranks.together.share(batch, train.accumulate));
      await ranks.agree(sameness(prepared, picked));
    }
    // Taken before training, so that a folder that cannot be written is known now.
    const folder = resumed ? resumed.folder : ranks?.isFirst === false ? undefined : openRunFolder(path, false);
    const stopper = new Stopper(isDeaf, () => report.say("Stopping after this step; once more to quit at once without saving."));
    try {
      await follow(args, report, await factsOf(prepared, picked), folder, stopper, ranks);
      ranks?.tellTimes(report);
    } finally {
      stopper.close();
      if (!resumed) folder?.close();
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
    ...VALID_FLAG,
    ...MODEL_FLAGS,
    ...VOCABULARY_FLAGS,
    ...TRAINING_FLAGS,
    ...EVERY_FLAGS,
    ...group("Output", [
      { name: "out", value: "DIR", about: "the run folder (default: runs/<date>-<preset>)" },
      { name: "resume", value: "RUN", about: "go on with a run, bit for bit where it is the same engine" },
      { name: "samples", negatable: true, about: "make samples while it learns and at the end (default: it does)" },
      {
        name: "tensorboard",
        negatable: true,
        about: "write an event file for TensorBoard into the run folder (default: where the run has one)",
      },
      { name: "json", about: "one JSON object per line on stdout instead of text" },
    ]),
    ...ENGINE_FLAGS,
    ...DISTRIBUTED_FLAGS,
    ...WIRE_FLAGS,
  ],
  examples: [
    "train",
    "train --data enwik8.zip --steps 2000 --out runs/enwik8",
    "train --pattern strided --stride 32 --integration interleaved --steps 600",
    "train --resume runs/enwik8 --tensorboard",
  ],
  execute: (args) => distributed(args, (ranks) => execute(args, ranks)),
};

async function execute(args: Args, ranks?: Ranks): Promise<number> {
  const resumed = args.text("resume");
  if (resumed === undefined) return await begin(args, undefined, ranks);
  if (args.text("out")) throw new UsageError("Cannot use --out with --resume: a run goes on in its own folder");
  refuseVocabulary(args);
  // Before the run is read: a process that is still training there would save later steps than those read.
  const path = runPath(resumed), folder = ranks?.isFirst === false ? undefined : openRunFolder(path, true);
  try {
    return await begin(args, { path, folder }, ranks);
  } finally {
    folder?.close();
  }
}
