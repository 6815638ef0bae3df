/**
 * What a run is to be: its flags, and the model and training constants that they make of a preset, a configuration, or the run that goes on.
 *
 * @module
 */

import {
  type AttentionConfig,
  checkConfig,
  checkTrain,
  type ModelConfig,
  type Phase,
  preset,
  presetFor,
  PRESETS,
  type TrainConfig,
} from "../mod.ts";
import type { DataKind, ImageShape } from "../data.ts";
import {
  type Checkpoint,
  checkResume,
  fitPhases,
  fitWarmup,
  INITIALISATIONS,
  MODEL_FIELDS,
  OPTIMIZERS,
  parseRecipe,
  type Recipe,
  type RunConfig,
  SCHEDULES,
  TRAIN_FIELDS,
  WINDOW_ORDERS,
  wrongOf,
} from "../files.ts";
import { mapPatterns, patternsIn } from "../ops.ts";
import { readText } from "./disk.ts";
import { type Args, byFlags, type Flag, group, UsageError } from "./flags.ts";
import { jsonFrom } from "./json_flag.ts";
import { ATTENTION_FLAGS, attentionFrom, wholeAttention } from "./model.ts";
import { loadRun } from "./run_folder.ts";

/** Flags that are fields of {@linkcode TrainConfig} with numbers. */
const CONSTANT_FLAGS: readonly (Flag & { readonly field: keyof TrainConfig })[] = [
  {
    field: "steps",
    name: "steps",
    value: "N",
    alias: ["iterations", "max-steps", "max-iters"],
    about: "updates in all",
  },
  { field: "batch", name: "batch", value: "N", alias: ["batch-size", "bs"], about: "sequences per micro-batch" },
  { field: "accumulate", name: "accumulate", value: "N", about: "micro-batches per update (default: 1)" },
  {
    field: "lr",
    name: "lr",
    value: "X",
    alias: ["learning-rate", "learning_rate"],
    about: "peak learning rate of AdamW; Muon's is --muon-lr",
  },
  { field: "warmup", name: "warmup", value: "N", about: "updates of linear warm-up, at most a tenth of the steps by default" },
  { field: "lr_min", name: "lr-min", value: "F", about: "what the rate falls to, as a fraction of --lr (default: 0)" },
  { field: "muon_lr", name: "muon-lr", value: "X", about: "Muon's peak rate (default: 0.01); it follows the schedule of --lr" },
  { field: "momentum", name: "momentum", value: "X", about: "Muon's momentum (default: 0.95)" },
  { field: "clip", name: "clip", value: "X", about: "largest gradient norm (default: 1; 0 turns clipping off)" },
  { field: "weight_decay", name: "weight-decay", value: "X", about: "decoupled decay of matrices (default: 0.01)" },
  { field: "beta1", name: "beta1", value: "X", about: "decay of Adam's first moment (default: 0.9)" },
  { field: "beta2", name: "beta2", value: "X", about: "decay of Adam's second moment (default: 0.999, 0.95 in small presets)" },
  { field: "eps", name: "eps", value: "X", alias: ["epsilon"], about: "Adam's ε (default: 1e-8)" },
  {
    field: "patience",
    name: "patience",
    value: "N",
    about: "end after N evaluations in a row without a better one (default: 0, never)",
  },
  { field: "seed", name: "seed", value: "N", about: "of weights, batches and dropout (default: 0)" },
];

/** Flags that are fields of {@linkcode TrainConfig} with words. */
const CHOICE_FLAGS: readonly (Flag & { readonly field: keyof TrainConfig })[] = [
  {
    field: "schedule",
    name: "schedule",
    value: "NAME",
    about: `how the rate falls after the warm-up: ${SCHEDULES.join(", ").replace(/, (\w+)$/, " or $1")}`,
  },
  {
    field: "optimizer",
    name: "optimizer",
    value: "NAME",
    about: `${OPTIMIZERS[0]}, for the matrices of the blocks with AdamW for the rest, or ${OPTIMIZERS[1]} for all`,
  },
  {
    field: "precision",
    name: "precision",
    value: "f32|f16",
    about: "what activations and their gradients are stored in (default: f32)",
  },
  {
    field: "windows",
    name: "windows",
    value: "NAME",
    about: `which windows of the data steps see: ${WINDOW_ORDERS[0]} at any place, or ${WINDOW_ORDERS[1]}, each once per epoch (default: ${
      WINDOW_ORDERS[0]
    }; ${WINDOW_ORDERS[1]} with --epochs)`,
  },
];

/** Flags that are fields of {@linkcode ModelConfig}. */
const SIZE_FLAGS: readonly (Flag & { readonly field: keyof ModelConfig })[] = [
  {
    field: "n_ctx",
    name: "n-ctx",
    value: "N",
    alias: ["context", "block-size", "seq-len", "context-length"],
    about: "positions of a sequence",
  },
  { field: "n_layer", name: "layers", value: "N", alias: ["n-layer", "num-layers"], about: "residual blocks" },
  { field: "n_head", name: "heads", value: "N", alias: ["n-head", "num-heads"], about: "attention heads" },
  { field: "d_model", name: "d-model", value: "N", about: "width of the residual stream" },
  { field: "d_ff", name: "d-ff", value: "N", about: "width of the feed-forward layers" },
  { field: "d_qk", name: "d-qk", value: "N", about: "features of queries and keys, over all heads" },
  { field: "dropout", name: "dropout", value: "P", about: "probability of dropping a feature" },
];

/** A run's model. */
export const MODEL_FLAGS: readonly Flag[] = group("Model", [
  {
    name: "preset",
    value: "NAME",
    allowed: { oneOf: Object.keys(PRESETS) },
    about: `a model with training choices that suit it: ${Object.keys(PRESETS).join(", ")} (default: text, image or sound, as the data is)`,
  },
  {
    name: "config",
    value: "FILE",
    about: "the model of a config.json instead of the preset's, or model, training constants and data of a recipe.json: " +
      "that of a run folder begins the same run again",
  },
  ...SIZE_FLAGS.map((flag) => ({ ...flag, allowed: MODEL_FIELDS[flag.field] })),
  {
    name: "init",
    value: "NAME",
    allowed: { oneOf: INITIALISATIONS },
    about: "the first weights: default, or paper for the paper's letter",
  },
  {
    name: "objective",
    value: "NAME",
    allowed: { oneOf: ["next", "masked"] },
    about: "what it learns to say: next tokens, or masked ones, which looks both ways (default: next)",
  },
  ...ATTENTION_FLAGS,
]);

/** A run's training constants. */
export const TRAINING_FLAGS: readonly Flag[] = group("Training", [
  ...[...CONSTANT_FLAGS, ...CHOICE_FLAGS].map((flag) => ({ ...flag, allowed: TRAIN_FIELDS[flag.field] })),
  {
    name: "phases",
    value: "LIST",
    about: "beginnings in which the model sees less, as JSON or a file of it, for example " +
      '[{"until": 0.3, "n_ctx": 128, "batch": 8}]; none for none',
  },
  {
    name: "recompute",
    negatable: true,
    about: "make activations again in the backward pass instead of keeping them: less memory, a third more time",
  },
  {
    name: "epochs",
    value: "N",
    allowed: { above: 0 },
    alias: ["num-epochs", "max-epochs"],
    about: "instead of --steps: as many as see each window of the data N times",
  },
]);

/** A run, new or gone on with. */
export interface RunSetup extends RunConfig {
  /** Its folder, there or to be made. */
  readonly path: string;
  /** What it goes on from. */
  readonly from?: Checkpoint;
  /** What differs from the run as it was. */
  readonly changes: readonly string[];
}

/** The training constants that the flags make of others. */
function constantsFrom(args: Args, base: Partial<TrainConfig>, steps?: number): Partial<TrainConfig> {
  const made: Record<string, unknown> = { ...base, ...steps === undefined ? {} : { steps } };
  for (const { name, field } of CONSTANT_FLAGS) made[field] = args.number(name) ?? made[field];
  for (const { name, field } of CHOICE_FLAGS) made[field] = args.text(name) ?? made[field];
  made.recompute = args.on("recompute") ?? made.recompute;
  const phases = args.text("phases");
  if (phases !== undefined) made.phases = phases === "none" ? [] : phasesFrom(phases);
  return Object.fromEntries(Object.entries(made).filter(([, value]) => value !== undefined));
}

/**
 * The phases of a `--phases` flag: their list as JSON, or a file that holds it.
 *
 * @throws {UsageError} where they are none
 */
function phasesFrom(text: string): Phase[] {
  const fail = (what: string): never => {
    throw new UsageError(
      `Cannot use --phases: ${what}; it is none, a list such as [{"until": 0.3, "n_ctx": 128, "batch": 8}], or a file that holds one`,
    );
  };
  const phases = jsonFrom(text, fail), wrong = wrongOf("phases", phases, TRAIN_FIELDS.phases);
  return wrong ? fail(wrong) : phases as Phase[];
}

/** Whether flags ask for another attention. */
const asksAttention = (args: Args) => args.given(ATTENTION_FLAGS.map(({ name }) => name)).length > 0;

/** Whether a query sees later keys is asked of all layers, or of none. */
function withCausal(args: Args, pattern: AttentionConfig): AttentionConfig {
  const causal = args.on("causal");
  return causal === undefined ? pattern : { ...pattern, causal };
}

/** The same with attention to what comes after. */
const bothWays = (attention: ModelConfig["attention"]): ModelConfig["attention"] =>
  mapPatterns(attention, (pattern) => ({ ...pattern, causal: false }));

/**
 * The model that the flags make of another. Of several patterns, the flags are for those that are like the last: a list begins
 * with layers that see little, on purpose. `--layers` keeps its head, as far as there is room beside its last, and repeats that.
 */
function modelFrom(args: Args, base: ModelConfig, isResumed = false): ModelConfig {
  const made: Record<string, unknown> = { ...base, init: args.text("init") ?? base.init }, layers = args.number("layers");
  for (const { name, field } of SIZE_FLAGS) made[field] = args.number(name) ?? made[field];
  const whole = wholeAttention(args);
  let attention = whole ?? base.attention;
  if (!whole && layers !== undefined && Array.isArray(attention)) {
    const list = attention;
    attention = Array.from({ length: layers }, (_, layer) => list.at(layer === layers - 1 ? -1 : Math.min(layer, list.length - 1))!);
  }
  if (!whole && asksAttention(args)) {
    const { position } = base, all = patternsIn(attention), last = all.at(-1)!, isOne = !Array.isArray(attention) && "pattern" in attention;
    const follows = position.kind === "attention" && all.some(({ stride }) => stride === position.stride);
    attention = mapPatterns(
      attention,
      (one) => isOne || one.pattern === last.pattern ? attentionFrom(args, one) : withCausal(args, one),
    );
    // The position table follows the stride, where it did; in a run that goes on it is what it is.
    const [stride] = [attentionFrom(args, last).stride].flat();
    if (follows && stride && !isResumed) made.position = { kind: "attention", stride };
  }
  const objective = args.text("objective");
  if (objective !== undefined) made.objective = objective === "next" ? undefined : objective;
  // Gaps are filled from both sides, unless that is asked for otherwise.
  if (made.objective === "masked" && args.on("causal") === undefined) attention = bothWays(attention);
  return byFlags(() => checkConfig({ ...made, attention }));
}

/** Phases that were not asked for are made to fit, and all to look both ways where the model fills gaps. */
function phasesFitted(args: Args, train: Partial<TrainConfig>, config: ModelConfig, before?: number): Partial<TrainConfig> {
  const fitted = args.text("phases") === undefined ? fitPhases(train, config, before) : train;
  if (config.objective !== "masked" || !fitted.phases) return fitted;
  const phases = fitted.phases.map((phase) => phase.attention ? { ...phase, attention: bothWays(phase.attention) } : phase);
  return { ...fitted, phases };
}

/** Local time as "2026-03-01-120000". */
function timeInName(): string {
  const local = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString();
  return local.slice(0, 19).replace("T", "-").replaceAll(":", "");
}

/** What a `--config` file says; undefined without the flag. */
export function recipeOf(args: Args): Recipe | undefined {
  const file = args.text("config");
  return file === undefined ? undefined : parseRecipe(readText(file), file);
}

/**
 * A new run.
 *
 * @param data what it is for, where the preset follows from it
 * @param steps in place of those that recipe and preset say
 * @throws {ConfigError} where a field is out of range or does not fit the others
 */
export function newRun(args: Args, data?: { kind: DataKind; shape?: ImageShape }, steps?: number): RunSetup {
  const recipe = recipeOf(args), asked = args.text("preset"), suits = presetFor(data?.kind ?? "text", data?.shape);
  const chosen = asked !== undefined ? preset(asked) : recipe?.model ? undefined : suits.preset;
  const name = asked ?? (recipe?.model ? "config" : suits.name), base = { ...chosen?.train, ...recipe?.train };
  const config = modelFrom(args, recipe?.model ?? chosen!.model), made = constantsFrom(args, base, steps);
  // A recipe's phases and warm-up are as they were asked for.
  const fitted = recipe?.train?.phases ? made : phasesFitted(args, made, config, chosen?.train.batch);
  const isAsked = args.number("warmup") !== undefined || recipe?.train?.warmup !== undefined;
  const train = byFlags(() => checkTrain(isAsked ? fitted : fitWarmup(fitted)));
  return { config, train, path: args.text("out") ?? `runs/${timeInName()}-${name}`, changes: [] };
}

/**
 * A run that goes on.
 *
 * @param steps in place of those that recipe and the run itself say
 * @throws {CheckpointError} where its files are damaged, or do not fit what the flags ask for
 * @throws {ConfigError} where a field is out of range, or no steps are left to do
 */
export function resumedRun(args: Args, path: string, steps?: number): RunSetup {
  const from = loadRun(path), { config: before } = from, recipe = recipeOf(args), name = args.text("preset");
  for (const [flag, why] of [["init", "first weights are drawn once"], ["objective", "a run learns one thing"]]) {
    if (args.text(flag) !== undefined) throw new UsageError(`Cannot use --${flag} with --resume: ${why}`);
  }
  const base = recipe?.model ?? (name ? preset(name).model : before);
  // A run keeps what its tokens stand for.
  const kept = from.tokenizer
    ? { init: before.init, objective: before.objective, vocab_size: before.vocab_size }
    : { init: before.init, objective: before.objective };
  const config = modelFrom(args, { ...base, ...kept }, true);
  const train = byFlags(() =>
    checkTrain(phasesFitted(args, constantsFrom(args, { ...from.train, ...recipe?.train }, steps), config, from.train.batch))
  );
  return { config, train, path, from, changes: checkResume(from, { config, train }, path) };
}
