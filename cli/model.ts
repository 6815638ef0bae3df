/**
 * Models: flags that change one, words for one, and reading one that was trained.
 *
 * @module
 */

import { join } from "node:path";
import {
  type AttentionConfig,
  fetchModel,
  INTEGRATIONS,
  type ModelAttention,
  type ModelConfig,
  type PatternName,
  PATTERNS,
} from "../mod.ts";
import { excerpt } from "../data.ts";
import { GENERATION_FILE, parameterCount, parseConfig, parseGenerationConfig, type Trained, whole, wrongOf } from "../files.ts";
import { describeAttention, layersIn, mapPatterns } from "../ops.ts";
import { readIfThere, readText } from "./disk.ts";
import { type Args, byFlags, type Flag, group, NUMBERS, numbersOf, UsageError } from "./flags.ts";
import { thousands } from "./format.ts";
import { jsonFrom } from "./json_flag.ts";
import { loadTrained, runPath } from "./run_folder.ts";
import { Screen } from "./terminal.ts";

/** What the attention is. */
export const ATTENTION_FLAGS: readonly Flag[] = group("Model", [
  { name: "pattern", value: "NAME", allowed: { oneOf: PATTERNS }, about: `${PATTERNS.join(", ")}` },
  {
    name: "stride",
    value: "L",
    allowed: NUMBERS,
    about: "l: stride of strided and fixed and of their factors, reach of local, window of longformer; of strided and fixed also " +
      "several, as 102,10321 for three factors",
  },
  { name: "c", value: "C", allowed: whole(1), about: "summary columns per head of fixed and summary" },
  { name: "memory", value: "M", allowed: whole(0), about: "of fixed: learned tokens after every l, in the place of the last columns" },
  {
    name: "within",
    value: "N",
    allowed: whole(1),
    about: "of column the farthest key; of segment and summary the stride of the windows that theirs lie in",
  },
  {
    name: "integration",
    value: "HOW",
    allowed: { oneOf: INTEGRATIONS },
    about: `how the factors are used: ${INTEGRATIONS.join(", ")} (default: merged)`,
  },
  { name: "causal", negatable: true, about: "whether a query sees no later key (default: it does not)" },
  { name: "block", value: "N", allowed: whole(1), about: "positions per block of bigbird, blocks and routed" },
  { name: "globals", value: "N", allowed: whole(0), about: "global tokens of longformer, global blocks of bigbird" },
  { name: "window", value: "N", allowed: whole(0), about: "blocks to each side of bigbird; the farthest key of routed's window" },
  { name: "top-k", value: "N", allowed: whole(1, 64), about: "past blocks that each block of queries of routed chooses" },
  { name: "compressed", negatable: true, about: "whether routed attends to the means of past blocks too (default: not)" },
  { name: "random", value: "N", allowed: whole(0), about: "random blocks per query block of bigbird" },
  {
    name: "attention",
    value: "JSON",
    about: "all of it as config.json has it, or a file that holds it: a list of one pattern per layer, " +
      '{"layers": [A, B, B]} for a round that repeats, {"heads": [A, B]} for a pattern per head',
  },
]);

/** Which of a pattern's fields mean something to it. */
const FIELDS: Readonly<Record<PatternName, readonly (keyof AttentionConfig)[]>> = {
  dense: [],
  local: ["stride"],
  strided: ["stride", "integration"],
  column: ["stride", "within"],
  fixed: ["stride", "c", "memory", "integration"],
  segment: ["stride", "within"],
  summary: ["stride", "c", "within"],
  longformer: ["stride", "globals"],
  bigbird: ["block", "globals", "window", "random", "seed"],
  blocks: ["block", "blocks"],
  routed: ["block", "top_k", "window", "compressed"],
};

/** The flag of a field. */
const flagOf = (field: string): string => field.replace("_", "-");

/** Sizes for who names a pattern and no more. */
const USUAL: AttentionConfig = { pattern: "fixed", stride: 16, c: 4, block: 16, top_k: 2 };

/** The stride of a flag, or several with commas between. */
function strideOf(args: Args): number | number[] | undefined {
  const strides = numbersOf(args, "stride");
  return strides?.length === 1 ? strides[0] : strides;
}

/**
 * The attention that the flags make of a pattern.
 *
 * @throws {UsageError} where a flag is given that its pattern does not have
 */
export function attentionFrom(args: Args, base: AttentionConfig | undefined): AttentionConfig {
  const pattern = (args.text("pattern") ?? base?.pattern ?? USUAL.pattern) as PatternName, fields = FIELDS[pattern];
  const made: Record<string, unknown> = { pattern };
  for (const field of fields) {
    const given = field === "stride"
      ? strideOf(args)
      : field === "integration"
      ? args.text(field)
      : field === "compressed"
      ? args.on(field)
      : args.number(flagOf(field));
    // Of memory tokens all are read where nothing else is said.
    const usual = field === "c" && (args.number("memory") ?? base?.memory) ? undefined : USUAL[field];
    const value = given ?? base?.[field] ?? usual;
    if (value !== undefined) made[field] = value;
  }
  for (const given of args.given(ATTENTION_FLAGS.map(({ name }) => name))) {
    if (!["pattern", "causal", "attention"].includes(given) && !fields.some((field) => flagOf(field) === given)) {
      throw new UsageError(
        `Cannot use --${given} with pattern ${pattern}: ${
          fields.length ? `it has ${fields.map((name) => `--${flagOf(name)}`).join(", ")}` : "it has no sizes"
        }`,
      );
    }
  }
  const causal = args.on("causal") ?? base?.causal;
  if (causal !== undefined) made.causal = causal;
  return made as unknown as AttentionConfig;
}

/**
 * The attention of an `--attention` flag, as JSON or a file of it; undefined where none is given.
 *
 * @throws {UsageError} where it is no JSON of an object or a list, or stands beside flags that would change it
 */
export function wholeAttention(args: Args): ModelAttention | undefined {
  const text = args.text("attention");
  if (text === undefined) return undefined;
  const [beside] = args.given(ATTENTION_FLAGS.map(({ name }) => name).filter((name) => name !== "attention" && name !== "causal"));
  if (beside) throw new UsageError(`Cannot use --attention and --${beside} together: write it into the attention`);
  const fail = (what: string): never => {
    throw new UsageError(
      `Cannot use --attention: ${what}; it is as in config.json, such as {"layers": [{"pattern": "local", "stride": 16}, ` +
        `{"pattern": "column", "stride": 64}]}, or a file that holds one`,
    );
  };
  const made = jsonFrom(text, fail), wrong = wrongOf("it", made, "an object");
  if (wrong) return fail(wrong);
  const causal = args.on("causal"), attention = made as ModelAttention;
  byFlags(() => layersIn(attention));
  return causal === undefined ? attention : mapPatterns(attention, (pattern) => ({ ...pattern, causal }));
}

/** A model in a line. */
export function describeModel(config: ModelConfig): string {
  const { attention, n_ctx, n_layer, d_model, n_head } = config;
  return `${describeAttention(attention)}, n_ctx ${thousands(n_ctx)}, ${n_layer} layers of ${d_model}, ${n_head} heads: ${
    thousands(parameterCount(config))
  } parameters`;
}

/**
 * Reads a configuration file.
 *
 * @throws {DataError} where it cannot be read
 * @throws {ConfigError} where it is wrong
 */
export const readConfig = (path: string): ModelConfig => parseConfig(readText(path), path);

/** A trained model that a command line names. */
export interface NamedModel extends Trained {
  /** Its folder or address, for messages. */
  readonly name: string;
  /** Its run folder; undefined where it is at an address. */
  readonly folder?: string;
}

/** A run's model with what a file beside it says of how it is to be sampled. */
function withGeneration(trained: Trained, folder: string): Trained {
  const path = join(folder, GENERATION_FILE), bytes = readIfThere(path);
  if (!bytes) return trained;
  return { ...trained, model: { ...trained.model, generation: parseGenerationConfig(new TextDecoder().decode(bytes), path) } };
}

/**
 * Reads the model of a run folder with its run's state, or one at an address, and the options of generation beside it. Tensors that are not read are said; so is what is damaged or
 * changed of them, which training alone needs as it was.
 *
 * @param named a folder, a file in one, or the address of a folder of the web
 * @throws {CheckpointError} where a file of the model is missing or damaged
 * @throws {DataError} where it cannot be fetched
 * @throws {ConfigError} where config.json or generation_config.json is wrong
 */
export async function readModel(named: string): Promise<NamedModel> {
  const isAddress = /^https?:\/\//i.test(named), folder = isAddress ? undefined : runPath(named), name = folder ?? named;
  const trained = folder === undefined ? { model: await fetchModel(runPath(named)) } : withGeneration(loadTrained(folder), folder);
  const screen = new Screen(Deno.stderr), { model: { unread }, state, damage } = trained as Trained;
  if (damage) screen.print((state ? "" : "Going on without what the run knew of its data and steps. ") + damage);
  if (unread) {
    const [first, type] = [...unread][0], more = unread.size > 1 ? ` and ${unread.size - 1} more` : "";
    screen.print(
      `Note: of the tensors in ${name} those of types that are not read here were left alone: ${excerpt(first)} (${excerpt(type)})${more}.`,
    );
  }
  return { ...trained, name, folder };
}
