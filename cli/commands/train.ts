/**
 * `train`: a model learns text, images or sound, and the run folder keeps all of it.
 *
 * @module
 */

import { join } from "node:path";
import {
  type AttentionConfig,
  checkConfig,
  CheckpointError,
  checkTrain,
  ConfigError,
  DivergedError,
  type ModelConfig,
  type Phase,
  preset,
  presetFor,
  PRESETS,
  type Progress,
  train as trainModel,
  TRAIN_DEFAULTS,
  type TrainConfig,
} from "../../mod.ts";
import {
  checkDataset,
  checkSameData,
  type DataIdentity,
  type DataKind,
  type Dataset,
  entropy0,
  excerpt,
  type ImageShape,
} from "../../data.ts";
import { memoryPlan } from "../../device.ts";
import {
  checkCausal,
  type Checkpoint,
  type HistoryEntry,
  INITIALISATIONS,
  OPTIMIZERS,
  parameterShapes,
  type PhaseAt,
  phaseAt,
  phasesOf,
  SCHEDULES,
} from "../../files.ts";
import { checkReach, type Engine, factorsOf, scheduleOf } from "../../ops.ts";
import { lossCurveSvg } from "../../pictures.ts";
import { ATTENTION_FLAGS, attentionFrom, describeAttention, describeModel, ENGINE_FLAGS, engineOf, readConfig, readIn } from "../common.ts";
import { DATA_FLAGS, dataOptions, describeData, identityOf, readDataset } from "./data.ts";
import { gzipBits, loadRun, openRunFolder, type RunFolder, runPath, saveRun, writeAtomic } from "../files.ts";
import { type Args, type Command, UsageError } from "../flags.ts";
import { program, quote } from "../program.ts";
import { Report } from "../report.ts";
import { Samples } from "../samples.ts";
import { bytes, duration, whole } from "../terminal.ts";

/** Flags that are fields of {@linkcode TrainConfig} under another spelling or the same. */
const CONSTANTS = {
  "muon-lr": "muon_lr",
  momentum: "momentum",
  "lr-min": "lr_min",
  steps: "steps",
  batch: "batch",
  accumulate: "accumulate",
  lr: "lr",
  warmup: "warmup",
  clip: "clip",
  "weight-decay": "weight_decay",
  seed: "seed",
} as const;

/** Flags that are fields of {@linkcode ModelConfig}. */
const SIZES = {
  "n-ctx": "n_ctx",
  layers: "n_layer",
  heads: "n_head",
  "d-model": "d_model",
  "d-ff": "d_ff",
  "d-qk": "d_qk",
  dropout: "dropout",
} as const;

/** Seconds between saves, where no evaluation asks for one, and between texts. */
const SAVE_SECONDS = 60;
/** Seconds between texts where the model has just become better. */
const BETTER_SECONDS = 15;
/** Points of the curve that are kept: beyond, every second one goes. */
const HISTORY = 2000;
/** Exit codes of a process that a signal ended. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
/** Milliseconds in which signals are one stop: `deno task` passes on a Ctrl-C that the terminal has sent to all, service managers send two. */
const ONE_STOP = 500;

/** A run, new or gone on with. */
interface Plan {
  readonly config: ModelConfig;
  readonly train: TrainConfig;
  /** Where it is, or will be. */
  readonly path: string;
  /** What it goes on from. */
  readonly from?: Checkpoint;
  /** What differs from the run as it was. */
  readonly changes: readonly string[];
}

function changedConstants(args: Args, base: Partial<TrainConfig>): Partial<TrainConfig> {
  const made: Record<string, unknown> = { ...base };
  for (const [flag, field] of Object.entries(CONSTANTS)) {
    const value = args.number(flag);
    if (value !== undefined) made[field] = value;
  }
  const recompute = args.on("recompute");
  if (recompute !== undefined) made.recompute = recompute;
  for (const name of ["precision", "optimizer", "schedule"] as const) {
    const value = args.text(name);
    if (value !== undefined) made[name] = value;
  }
  const phases = args.text("phases");
  if (phases !== undefined) made.phases = phases === "none" ? [] : phasesFrom(phases);
  return made;
}

/** The phases of a `--phases` flag: their list as JSON, or a file that holds it. */
function phasesFrom(text: string): Phase[] {
  const json = /^\s*[\[{]/.test(text) ? text : new TextDecoder().decode(readIn(text));
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new UsageError(
      `Cannot use --phases ${excerpt(text)}: ${(error as Error).message}; it is none, a list such as ` +
        `[{"until": 0.3, "n_ctx": 128, "batch": 8}], or a file that holds one`,
    );
  }
}

/**
 * The model that the flags make of another. Of a list of patterns, the flags are for those layers that are like the last: a list begins
 * with layers that see little, on purpose. `--layers` keeps its head, as far as there is room beside its last, and repeats that.
 */
function changedModel(args: Args, base: ModelConfig, resumed = false): ModelConfig {
  const made: Record<string, unknown> = { ...base }, init = args.text("init");
  for (const [flag, field] of Object.entries(SIZES)) {
    const value = args.number(flag);
    if (value !== undefined) made[field] = value;
  }
  if (init !== undefined) made.init = init;
  const layers = args.number("layers");
  let { attention } = base;
  if (layers !== undefined && Array.isArray(attention)) {
    const list = attention;
    attention = Array.from({ length: layers }, (_, layer) => list.at(layer === layers - 1 ? -1 : Math.min(layer, list.length - 1))!);
  }
  if (args.given(ATTENTION_FLAGS.map(({ name }) => name)).length > 0) {
    const last = [attention].flat().at(-1)!, { pattern } = last, changed = attentionFrom(args, last);
    const { position } = base,
      follows = position.kind === "attention" && [attention].flat().some(({ stride }) => stride === position.stride);
    attention = Array.isArray(attention)
      ? attention.map((layer) => layer.pattern === pattern ? attentionFrom(args, layer) : withCausal(args, layer))
      : changed;
    // The position table follows the stride, where it did; in a run that goes on it is what it is.
    if (follows && changed.stride && !resumed) made.position = { kind: "attention", stride: changed.stride };
  }
  made.attention = attention;
  return checkConfig(made);
}

/** Whether a query sees later keys is asked of all layers, or of none. */
function withCausal(args: Args, layer: AttentionConfig): AttentionConfig {
  const causal = args.on("causal");
  return causal === undefined ? layer : { ...layer, causal };
}

/** What a token is called. */
const UNITS: Readonly<Record<DataKind, string>> = { text: "bytes", bytes: "bytes", image: "bytes of pixels", audio: "samples" };

/**
 * Where phases were not asked for: of those that there were the ones that are shorter than the context, with their share of the batch.
 *
 * @param before the batch that they were made for
 */
function fittingPhases(
  args: Args,
  train: Partial<TrainConfig>,
  { n_ctx }: ModelConfig,
  before: number = TRAIN_DEFAULTS.batch,
): Partial<TrainConfig> {
  if (args.text("phases") !== undefined || !train.phases) return train;
  const share = (train.batch ?? TRAIN_DEFAULTS.batch) / before;
  const phases = train.phases.filter((phase) => (phase.n_ctx ?? 0) < n_ctx)
    .map((phase) => phase.batch ? { ...phase, batch: Math.max(1, Math.round(phase.batch * share)) } : phase);
  return { ...train, phases };
}

/** @param data what the run is for, where the preset follows from it */
function planNew(args: Args, data?: { kind: DataKind; shape?: ImageShape }): Plan {
  const file = args.text("config"), suits = presetFor(data?.kind ?? "text", data?.shape);
  const name = args.text("preset") ?? (file ? undefined : suits.name);
  const chosen = args.text("preset") ? preset(args.text("preset")!) : file ? undefined : suits.preset;
  const config = changedModel(args, file ? readConfig(file) : chosen!.model);
  const base = fittingPhases(args, changedConstants(args, chosen?.train ?? {}), config, chosen?.train.batch),
    steps = base.steps ?? TRAIN_DEFAULTS.steps;
  // A warm-up made for a longer run would never end in a shorter one.
  if (args.number("warmup") === undefined) base.warmup = Math.min(base.warmup ?? TRAIN_DEFAULTS.warmup, Math.ceil(steps / 10));
  const time = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace("T", "-").replaceAll(
    ":",
    "",
  );
  return { config, train: checkTrain(base), path: args.text("out") ?? `runs/${time}-${name ?? "config"}`, changes: [] };
}

/** What differs between two of a kind, as "field before → after". */
function differing<T extends object>(before: T, after: T): string[] {
  return (Object.keys({ ...before, ...after }) as (keyof T & string)[]).filter((field) => shown(after[field]) !== shown(before[field]))
    .map((field) => `${field} ${shown(before[field], field)} → ${shown(after[field], field)}`);
}

const shown = (value: unknown, field?: string) =>
  field === "attention" ? describeAttention(value as AttentionConfig) : typeof value === "object" ? JSON.stringify(value) : String(value);

function planResumed(args: Args, path: string): Plan {
  const from = loadRun(path), { config } = from;
  const file = args.text("config"), name = args.text("preset");
  if (args.text("init") !== undefined) throw new UsageError("Cannot use --init with --resume: first weights are drawn once");
  const asked = changedModel(args, { ...file ? readConfig(file) : name ? preset(name).model : config, init: config.init }, true);
  const shapes = parameterShapes(config), wanted = parameterShapes(asked);
  const misfits = [...new Set([...shapes.keys(), ...wanted.keys()])].filter((name) => shown(shapes.get(name)) !== shown(wanted.get(name)));
  const changes = differing(config, asked);
  if (misfits.length > 0) {
    throw new CheckpointError(
      `Cannot resume ${path} with another model: ${changes.join(", ")} would change ${misfits.length} of its weights, ${misfits[0]} from [${
        shapes.get(misfits[0])?.join(", ") ?? "none"
      }] to [${wanted.get(misfits[0])?.join(", ") ?? "none"}] first; leave those flags out, or begin a new run with --out`,
    );
  }
  const train = checkTrain(fittingPhases(args, changedConstants(args, from.train), asked, from.train.batch));
  if (train.optimizer !== from.train.optimizer) {
    throw new CheckpointError(
      `Cannot resume ${path} with the optimizer ${train.optimizer}: the run has the moments of ${from.train.optimizer}; ` +
        `leave --optimizer out, or begin a new run with --out`,
    );
  }
  changes.push(...differing(from.train, train));
  if (from.step >= train.steps) {
    throw new ConfigError(
      `Cannot resume ${path}: all ${whole(train.steps)} of its steps are done; give more, for example --steps ${train.steps * 2}`,
    );
  }
  return { config: asked, train, path, from, changes };
}

/** Writes what is for looking at; the model is safe before. */
class Keeper {
  history: HistoryEntry[];
  readonly #begun: number;

  constructor(
    readonly folder: RunFolder,
    readonly plan: Plan,
    readonly identity: DataIdentity,
    readonly engine: Engine,
    readonly marks: readonly { label: string; bits: number }[],
  ) {
    this.history = [...plan.from?.history ?? []];
    this.#begun = performance.now() - (this.history.at(-1)?.ms ?? 0);
  }

  add({ step, loss, heldOut }: Progress): void {
    if (this.history.at(-1)?.step === step) this.history.pop();
    this.history.push({ step, loss, heldOut, ms: Math.round(performance.now() - this.#begun) });
    if (this.history.length > HISTORY) this.history = this.history.filter(({ heldOut }, at) => heldOut !== undefined || at % 2 === 0);
  }

  async save(progress: Progress): Promise<void> {
    const { config, train, path } = this.plan;
    saveRun(this.folder, {
      ...await progress.snapshot(),
      config,
      train,
      engine: this.engine.name,
      data: this.identity,
      history: this.history,
    });
    const title = `${describeAttention(config.attention)}, ${this.identity.name}`;
    writeAtomic(join(path, "loss.svg"), lossCurveSvg(title, this.history, train.steps, this.marks));
  }
}

/** Turns the first signal into an abort, a later one into the end. */
class Stopper {
  readonly #controller = new AbortController();
  readonly #handlers: (readonly [Deno.Signal, () => void])[];
  /** Which signal came. */
  came: keyof typeof SIGNALS | undefined;

  /** @param isDeaf whether a hang-up is to end nothing */
  constructor(isDeaf: boolean, onStop: () => void) {
    // Windows has no SIGTERM.
    const names = (Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]).filter((name) => name === "SIGINT" || Deno.build.os !== "windows");
    let first = -Infinity;
    this.#handlers = names.map((name) => {
      const handler = () => {
        if (performance.now() - first < ONE_STOP || (name === "SIGHUP" && isDeaf)) return;
        if (this.came) Deno.exit(SIGNALS[name]);
        first = performance.now();
        this.came = name;
        onStop();
        this.#controller.abort();
      };
      return [name, handler] as const;
    });
    // Where a file would grow over the system's limit a write then fails, and what was begun is removed; without a listener the process
    // would end there and leave it.
    if (Deno.build.os !== "windows") this.#handlers.push(["SIGXFSZ", () => {}]);
    for (const [name, handler] of this.#handlers) Deno.addSignalListener(name, handler);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  close(): void {
    for (const [name, handler] of this.#handlers) Deno.removeSignalListener(name, handler);
  }
}

/** Whether a closed terminal is to end nothing, as `nohup` asks by ignoring its signal: a listener would take that back. */
function isHangupIgnored(): boolean {
  try {
    const [, mask] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))!;
    return (BigInt(`0x${mask}`) & 1n) === 1n;
  } catch {
    // Systems that do not tell: `nohup` leaves no terminal.
    return ![Deno.stdin, Deno.stdout, Deno.stderr].some((stream) => stream.isTerminal());
  }
}

/** The command line that goes on with a run. */
function resumeLine(args: Args, path: string): string {
  const words = ["train", "--resume", path];
  for (const flag of ["data", "backend", "threads", "tuning"]) {
    const value = args.text(flag);
    if (value !== undefined) words.push(`--${flag}`, String(value));
  }
  if (args.on("no-tuning")) words.push("--no-tuning");
  return `${program()} ${words.map(quote).join(" ")}`;
}

function announce(report: Report, plan: Plan, facts: Record<string, string>): void {
  const { screen } = report, { changes, from } = plan;
  if (from) report.say(screen.bold(`Resuming ${plan.path} after step ${whole(from.step)} of ${whole(plan.train.steps)}`));
  for (const [name, fact] of Object.entries(facts)) report.say(`${screen.faint(name.padEnd(10))}${fact}`);
  if (changes.length > 0) report.say(`Changed since: ${changes.join(", ")}; from here on this is another run than the one that began.`);
  report.say("");
}

/** What a phase of a run sees. */
function describePhase({ config, batch, end, index, of }: PhaseAt, model: ModelConfig): string {
  const attention = config.attention === model.attention ? "" : `, ${describeAttention(config.attention)}`;
  const until = index === of - 1 ? "to the end" : `until step ${whole(end)}`;
  return `${batch} × ${whole(config.n_ctx)}${attention} ${until}`;
}

/** A sentence where some positions never reach others, as `layout` finds it; undefined where all do. */
async function describeReach({ attention, n_ctx, n_layer, n_head }: ModelConfig): Promise<string | undefined> {
  const reach = await checkReach(scheduleOf(attention, { n: n_ctx, layers: n_layer, heads: n_head }), n_ctx, factorsOf(attention));
  if (reach.layersNeeded !== undefined) return undefined;
  const [i, j] = reach.starts.find(({ examples }) => examples.length > 0)!.examples[0];
  return `these layers together never bring some positions to others (such as ${j} to ${i}); layout shows which`;
}

function progressLine(progress: Progress, held: number | undefined): string {
  const { step, steps, loss, skipped, tokensPerSecond, secondsLeft, phase: { index, of } } = progress;
  return [
    `step ${String(step).padStart(String(steps).length)}/${steps}`,
    ...of > 1 ? [`phase ${index + 1}/${of}`] : [],
    `loss ${loss.toFixed(3)}`,
    ...held === undefined ? [] : [`held-out ${held.toFixed(3)} bits/byte`],
    `${whole(tokensPerSecond)} tokens/s`,
    ...skipped > 0 ? [`${skipped} skipped`] : [],
    `${duration(secondsLeft)} left`,
  ].join("  ");
}

/** The command. */
export const train: Command = {
  name: "train",
  about: "train a model on text, images or sound; without flags, a small one on the World Factbook, in minutes",
  flags: [
    {
      name: "data",
      value: "FILE",
      about:
        "what to train on: text, images (PNG, CIFAR, MNIST) or sound (WAV), a file, archive or folder (default: The World Factbook, from npm)",
    },
    {
      name: "preset",
      value: "NAME",
      kind: Object.keys(PRESETS),
      about: `a model with training choices that suit it: ${
        Object.keys(PRESETS).join(", ")
      } (default: text, image or sound, as the data is)`,
    },
    { name: "config", value: "FILE", about: "the model of a config.json instead of the preset's" },
    { name: "out", value: "DIR", about: "the run folder (default: runs/<date>-<preset>)" },
    { name: "resume", value: "RUN", about: "go on with a run, bit for bit where it is the same engine" },
    {
      name: "steps",
      value: "N",
      alias: ["epochs", "iterations", "max-steps", "max-iters"],
      kind: "whole",
      low: 1,
      about: "updates in all",
    },
    { name: "batch", value: "N", alias: ["batch-size", "bs"], kind: "whole", low: 1, high: 65536, about: "sequences a micro-batch" },
    { name: "accumulate", value: "N", kind: "whole", low: 1, high: 65536, about: "micro-batches an update (default: 1)" },
    {
      name: "lr",
      value: "X",
      alias: ["learning-rate", "learning_rate"],
      kind: "number",
      low: 0,
      about: "peak learning rate of AdamW; Muon's is --muon-lr",
    },
    { name: "warmup", value: "N", kind: "whole", low: 0, about: "updates of linear warm-up, at most a tenth of the steps by default" },
    { name: "lr-min", value: "F", kind: "number", low: 0, high: 1, about: "what the rate falls to, as a fraction of --lr (default: 0)" },
    { name: "schedule", value: "NAME", kind: SCHEDULES, about: "how the rate falls after the warm-up: cosine, linear or constant" },
    {
      name: "optimizer",
      value: "NAME",
      kind: OPTIMIZERS,
      about: "muon, for the matrices of the blocks with AdamW for the rest, or adamw for all",
    },
    { name: "muon-lr", value: "X", kind: "number", low: 0, about: "Muon's peak rate (default: 0.01); it follows the schedule of --lr" },
    { name: "momentum", value: "X", kind: "number", low: 0, high: 1, about: "Muon's momentum (default: 0.95)" },
    {
      name: "phases",
      value: "LIST",
      about: "beginnings in which the model sees less, as JSON or a file of it, for example " +
        '[{"until": 0.3, "n_ctx": 128, "batch": 8}]; none for none',
    },
    { name: "init", value: "NAME", kind: INITIALISATIONS, about: "the first weights: default, or paper for the paper's letter" },
    { name: "clip", value: "X", kind: "number", low: 0, about: "largest gradient norm (default: 1; 0 turns clipping off)" },
    { name: "weight-decay", value: "X", kind: "number", low: 0, high: 1, about: "decoupled decay of matrices (default: 0.01)" },
    { name: "seed", value: "N", kind: "whole", low: 0, high: 2 ** 32 - 1, about: "of weights, batches and dropout (default: 0)" },
    {
      name: "recompute",
      negatable: true,
      about: "make activations again in the backward pass instead of keeping them: less memory, a third more time",
    },
    { name: "precision", value: "f32|f16", about: "what activations and their gradients are stored in (default: f32)" },
    {
      name: "n-ctx",
      value: "N",
      alias: ["context", "block-size", "seq-len", "context-length"],
      kind: "whole",
      low: 1,
      about: "positions of a sequence",
    },
    { name: "layers", value: "N", alias: ["n-layer", "num-layers"], kind: "whole", low: 1, about: "residual blocks" },
    { name: "heads", value: "N", alias: ["n-head", "num-heads"], kind: "whole", low: 1, about: "attention heads" },
    { name: "d-model", value: "N", kind: "whole", low: 1, about: "width of the residual stream" },
    { name: "d-ff", value: "N", kind: "whole", low: 1, about: "width of the feed-forward layers" },
    { name: "d-qk", value: "N", kind: "whole", low: 1, about: "features of queries and keys, over all heads" },
    { name: "dropout", value: "P", kind: "number", low: 0, high: 1, about: "probability of dropping a feature" },
    ...ATTENTION_FLAGS,
    ...DATA_FLAGS,
    ...ENGINE_FLAGS,
    { name: "json", about: "one JSON object a line on stdout instead of text" },
  ],
  examples: [
    "train",
    "train --data enwik8.zip --steps 2000 --out runs/enwik8",
    "train --pattern strided --stride 32 --integration interleaved --steps 600",
    "train --resume runs/enwik8",
  ],
  async run(args) {
    const resumed = args.text("resume");
    if (resumed === undefined) return await begin(args);
    if (args.text("out")) throw new UsageError("Cannot use --out with --resume: a run goes on in its own folder");
    // Before the run is read: a process that is still training there would save later steps than those read.
    const folder = openRunFolder(runPath(resumed), true);
    try {
      return await begin(args, folder);
    } finally {
      folder.close();
    }
  },
};

/** @param taken the folder of the run to go on with */
async function begin(args: Args, taken?: RunFolder): Promise<number> {
  // Asked first of all: once anything listens to a signal Deno takes all that end a process. Asked after the engine was there, one of six runs
  // that began under nohup on a busy machine was ended by a hang-up.
  const isDeaf = isHangupIgnored(),
    report = new Report(args.on("json") ?? false, "the run goes on and saves as before"),
    path = args.text("data"),
    implied = path !== undefined && args.given(["preset", "config"]).length === 0;
  let plan = taken ? planResumed(args, taken.path) : implied ? undefined : planNew(args);
  const source = plan?.from?.data.source, from = path ?? source?.path;
  // The preset follows from the data, and how much is held out from the preset's context.
  const nCtx = (kind: DataKind, shape?: ImageShape) => (plan ??= planNew(args, { kind, shape })).config.n_ctx;
  const options = { ...dataOptions(args, source), nCtx };
  const dataset = await readDataset(from, options);
  plan ??= planNew(args, dataset);
  checkDataset(dataset, plan.config);
  for (const { config } of phasesOf(plan.config, plan.train)) checkCausal(config, "train");
  const identity = await identityOf(dataset, from, options);
  if (plan.from) checkSameData(plan.from.data, identity);
  const { engine, why } = await engineOf(args);
  try {
    // Taken before training, so that a folder that cannot be written is known now.
    const folder = taken ?? openRunFolder(plan.path, false);
    const stopper = new Stopper(isDeaf, () => {
      report.say("Stopping after this step; once more to quit at once without saving.");
    });
    try {
      await follow(args, report, plan, { engine, why, dataset, identity, folder, stopper });
    } finally {
      stopper.close();
      if (!taken) folder.close();
    }
    const code = report.code(`The run is ${stopper.came ? `stopped by ${stopper.came}` : "done"} and saved in ${plan.path}`);
    return stopper.came ? SIGNALS[stopper.came] : code;
  } finally {
    engine.dispose();
  }
}

interface Ready {
  readonly engine: Engine;
  readonly why: string;
  readonly dataset: Dataset;
  readonly identity: DataIdentity;
  readonly folder: RunFolder;
  readonly stopper: Stopper;
}

async function follow(args: Args, report: Report, plan: Plan, { engine, why, dataset, identity, folder, stopper }: Ready): Promise<void> {
  const { config, train, path, from } = plan, { screen } = report, order0 = entropy0(dataset.heldOut), gzip = gzipBits(dataset.heldOut);
  const phases = phasesOf(config, train), unreached = await describeReach(config);
  const memory = memoryPlan(config, train), other = memoryPlan(config, { ...train, recompute: !train.recompute });
  announce(report, plan, {
    Data: describeData(dataset),
    "Held out": `order-0 entropy ${order0.toFixed(3)}, gzip −9 ${gzip.toFixed(3)} bits/byte`,
    Model: describeModel(config),
    ...unreached === undefined ? {} : { Reach: unreached },
    Training: `${whole(train.steps)} steps of ${whole(train.batch * train.accumulate * config.n_ctx)} ${UNITS[dataset.kind]}, ${
      train.optimizer === "muon" ? `muon ${train.muon_lr}, adamw` : "adamw"
    } ${train.lr} after ${whole(train.warmup)} steps, ${train.schedule}, seed ${train.seed}`,
    ...phases.length > 1 ? { Phases: phases.map((phase) => describePhase(phase, config)).join("; ") } : {},
    Memory: `${bytes(memory.state)} weights, gradients and moments; ${bytes(memory.activations)} activations (${
      bytes(other.activations)
    } with --${train.recompute ? "no-" : ""}recompute)`,
    Engine: `${engine.name}: ${engine.description} (${why})`,
    Run: path,
  });
  if (from && from.engine !== engine.name) {
    report.say(`The run was trained on ${from.engine} so far; on ${engine.name} it goes on, but not bit for bit.\n`);
  } else if (from && engine.name === "reference") {
    report.say(`The reference engine computes in 64 bits and a checkpoint has 32: the run goes on, but not bit for bit.\n`);
  }
  report.event("start", {
    run: path,
    step: from?.step ?? 0,
    config,
    train,
    data: identity,
    levels: dataset.levels,
    notices: dataset.notices,
    order0,
    gzip,
    memory,
    engine: engine.name,
    device: engine.description,
    why,
    ...from
      ? {
        before: from.engine,
        bitExact: from.engine === engine.name && engine.name !== "reference" && plan.changes.length === 0,
        changes: plan.changes,
      }
      : {},
  });

  const keeper = new Keeper(folder, plan, identity, engine, [{ label: "gzip −9", bits: gzip }, { label: "order-0 entropy", bits: order0 }]);
  const samples = new Samples(engine, dataset, path, report);
  let phase = phaseAt(phases, from?.step ?? 0).index;
  let held = keeper.history.findLast(({ heldOut }) => heldOut !== undefined)?.heldOut,
    best = Infinity,
    saved = performance.now(),
    told = saved,
    saves = 0;
  try {
    // Drawing 95 million weights takes 10 s and more.
    if (screen.terminal && !report.json) screen.progress("preparing weights and kernels …");
    const reports = trainModel({
      engine,
      config,
      train,
      data: dataset.train,
      unit: dataset.unit,
      heldOut: dataset.heldOut,
      from,
      signal: stopper.signal,
      reportSeconds: screen.terminal && !report.json ? 0.5 : 2,
    });
    for await (const progress of reports) {
      const { step, steps, loss, heldOut, lr, gradNorm, skipped, tokensPerSecond, secondsLeft, last } = progress;
      held = heldOut ?? held;
      keeper.add(progress);
      if (progress.phase.index !== phase) {
        phase = progress.phase.index;
        report.say(`Phase ${phase + 1} of ${phases.length}: ${describePhase(phases[phase], config)}`);
      }
      if (!report.json) screen.progress(progressLine(progress, held));
      report.event("progress", {
        ...{ step, steps, loss, heldOut, lr, gradNorm, skipped, tokensPerSecond, secondsLeft },
        ...phases.length > 1 ? { phase: phase + 1, phases: phases.length } : {},
      });
      const stopped = last && step < steps, better = heldOut !== undefined && heldOut < best;
      const seconds = (since: number) => (performance.now() - since) / 1000;
      if (better) best = heldOut;
      if (last || heldOut !== undefined || seconds(saved) > SAVE_SECONDS) {
        await keeper.save(progress);
        saves++;
        saved = performance.now();
        report.event("saved", { run: path, step });
      }
      if (last && !stopped) await samples.atEnd(progress);
      else if (!stopped && seconds(told) > (better ? BETTER_SECONDS : SAVE_SECONDS)) {
        await samples.between(progress);
        told = performance.now();
      }
      if (stopped) {
        const resume = resumeLine(args, path);
        report.event("stopped", { signal: stopper.came, run: path, step, resume });
        report.say(`Stopped after step ${whole(step)} of ${whole(steps)} and saved. To go on:\n\n  ${resume}\n`);
      } else if (last) finish(report, path, { heldOut: held!, order0, gzip, step, samples: samples.file });
    }
  } catch (error) {
    if (!(error instanceof DivergedError)) throw error;
    const lower = `--lr ${train.lr / 4}${train.optimizer === "muon" ? ` --muon-lr ${train.muon_lr / 4}` : ""}`;
    const what = saves > 0
      ? `:\n\n  ${resumeLine(args, path)} ${lower}\n`
      : from
      ? `; nothing was saved since it was resumed, so give that command again with ${lower}`
      : `; nothing was saved yet, so begin again with ${lower}`;
    throw new DivergedError(error.message + what, { cause: error });
  } finally {
    screen.clear();
    samples.dispose();
  }
}

function finish(
  report: Report,
  path: string,
  { heldOut, order0, gzip, step, samples }: { heldOut: number; order0: number; gzip: number; step: number; samples: string },
): void {
  report.event("end", { run: path, step, heldOut, order0, gzip });
  const { screen } = report, line = (name: string, bits: number) => `  ${name.padEnd(18)}${bits.toFixed(3).padStart(7)}`;
  report.say(screen.bold("Held-out bits/byte"));
  report.say(screen.bold(line("this model", heldOut)));
  report.say(line("gzip −9", gzip));
  report.say(line("order-0 entropy", order0));
  report.say(
    `\nIn ${path}: config.json, model.safetensors, loss.svg, ${samples}. To write with it:\n\n  ${program()} ${
      ["sample", path].map(quote).join(" ")
    }\n`,
  );
}
