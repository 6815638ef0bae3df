/**
 * Flags that several commands have.
 *
 * @module
 */

import { existsSync } from "node:fs";
import {
  type AttentionConfig,
  type BackendName,
  BACKENDS,
  ConfigError,
  DataError,
  type ModelConfig,
  type OpenOptions,
  type PatternName,
  PATTERNS,
  pickBackend,
  type Picked,
} from "../mod.ts";
import { parameterCount, parseConfig } from "../files.ts";
import { factorsOf } from "../ops.ts";
import type { Args, Flag } from "./flags.ts";
import { whole } from "./terminal.ts";
import { TUNING_FLAGS, TuningChoice } from "./tuning.ts";

/** Which engine. */
export const ENGINE_FLAGS: readonly Flag[] = [
  {
    name: "backend",
    value: "NAME",
    kind: BACKENDS,
    about: `${BACKENDS.join(", ")}; auto, the default, takes WebGPU where there is a hardware adapter, else WASM`,
  },
  { name: "threads", value: "N", kind: "whole", low: 1, high: 256, about: "threads of the WASM engine (default: all cores)" },
  ...TUNING_FLAGS,
];

/** What the flags ask of an engine. */
export function engineOptions(args: Args): { options: OpenOptions; tuned: TuningChoice } {
  const tuned = new TuningChoice(args), backend = args.text("backend") as BackendName | undefined;
  return { options: { backend, threads: args.number("threads"), tuning: (device) => tuned.find(device) }, tuned };
}

/** Picks the engine that the flags ask for. */
export async function engineOf(args: Args): Promise<Picked> {
  const { options, tuned } = engineOptions(args), picked = await pickBackend(options.backend, options);
  try {
    return { engine: picked.engine, why: tuned.why(picked) };
  } catch (error) {
    picked.engine.dispose();
    throw error;
  }
}

/** What the attention is. */
export const ATTENTION_FLAGS: readonly Flag[] = [
  { name: "pattern", value: "NAME", kind: PATTERNS, about: `${PATTERNS.join(", ")}` },
  { name: "stride", value: "L", kind: "whole", low: 0, about: "l: stride of strided and fixed, reach of local, window of longformer" },
  { name: "c", value: "C", kind: "whole", low: 1, about: "summary columns a head of fixed" },
  {
    name: "integration",
    value: "HOW",
    kind: ["merged", "interleaved", "multihead"],
    about: "how the two factors are used: merged, interleaved, multihead",
  },
  { name: "causal", negatable: true, about: "whether a query sees no later key (default: it does not)" },
  { name: "block", value: "N", kind: "whole", low: 1, about: "positions a block of bigbird and blocks" },
  { name: "globals", value: "N", kind: "whole", low: 0, about: "global tokens of longformer, global blocks of bigbird" },
  { name: "window", value: "N", kind: "whole", low: 0, about: "blocks to each side of bigbird" },
  { name: "random", value: "N", kind: "whole", low: 0, about: "random blocks a query block of bigbird" },
];

/** Which of a pattern's fields mean something to it. */
const FIELDS: Readonly<Record<PatternName, readonly (keyof AttentionConfig)[]>> = {
  dense: [],
  local: ["stride"],
  strided: ["stride", "integration"],
  fixed: ["stride", "c", "integration"],
  longformer: ["stride", "globals"],
  bigbird: ["block", "globals", "window", "random", "seed"],
  blocks: ["block", "blocks"],
};

/** Sizes for who names a pattern and no more. */
const USUAL: AttentionConfig = { pattern: "fixed", stride: 16, c: 4, block: 16 };

/**
 * The attention that the flags make of another.
 *
 * @throws {ConfigError} where a flag is given that its pattern does not have
 */
export function attentionFrom(args: Args, base: AttentionConfig | undefined): AttentionConfig {
  const pattern = (args.text("pattern") ?? base?.pattern ?? USUAL.pattern) as PatternName, fields = FIELDS[pattern];
  const made: Record<string, unknown> = { pattern };
  for (const field of fields) {
    const value = args.number(field) ?? base?.[field] ?? (field === "integration" ? undefined : USUAL[field]);
    if (value !== undefined) made[field] = value;
  }
  for (const given of args.given(ATTENTION_FLAGS.map(({ name }) => name))) {
    if (given !== "pattern" && given !== "causal" && !fields.includes(given as keyof AttentionConfig)) {
      throw new ConfigError(
        `Cannot use --${given} with pattern ${pattern}: ${
          fields.length ? `it has ${fields.map((name) => `--${name}`).join(", ")}` : "it has no sizes"
        }`,
      );
    }
  }
  const causal = args.on("causal") ?? base?.causal;
  if (causal !== undefined) made.causal = causal;
  return made as unknown as AttentionConfig;
}

/** An attention in a few words. */
export function describeAttention(attention: AttentionConfig | readonly AttentionConfig[]): string {
  const all = [attention].flat();
  if (all.length > 1) {
    const texts = all.map((layer) => describeAttention(layer)), different = texts.filter((text, at) => text !== texts[at - 1]);
    return different.length > 4 ? "a pattern per layer" : different.join(", then ");
  }
  const [{ pattern, integration, stride, c }] = all;
  return [
    pattern,
    factorsOf(all) === 2 && integration !== undefined ? integration : "",
    stride === undefined ? "" : `l ${stride}`,
    c === undefined ? "" : `c ${c}`,
  ]
    .filter(Boolean).join(" ");
}

/** A model in a line. */
export function describeModel(config: ModelConfig): string {
  const { attention, n_ctx, n_layer, d_model, n_head } = config;
  return `${describeAttention(attention)}, n_ctx ${whole(n_ctx)}, ${n_layer} layers of ${d_model}, ${n_head} heads: ${
    whole(parameterCount(config))
  } parameters`;
}

/**
 * Reads a file that a user named.
 *
 * @throws {DataError} where it cannot be read
 */
export function readIn(path: string): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    const found = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new DataError(`Cannot read ${path}: ${found}`, { cause: error });
  }
}

/**
 * Reads a configuration file.
 *
 * @throws {DataError} where it cannot be read
 * @throws {ConfigError} where it is wrong
 */
export function readConfig(path: string): ModelConfig {
  return parseConfig(new TextDecoder().decode(readIn(path)), path);
}

/**
 * Says now what would come out after an hour of work: whether a file that a user named can be written. Nothing that is there changes.
 *
 * @throws {ConfigError} where it cannot
 */
export function checkOut(path: string): void {
  try {
    const isThere = existsSync(path);
    Deno.openSync(path, { write: true, create: !isThere }).close();
    if (!isThere) Deno.removeSync(path);
  } catch (error) {
    throw new ConfigError(`Cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Writes a file that a user named.
 *
 * @throws {ConfigError} where it cannot be written
 */
export function writeOut(path: string, content: Uint8Array | string): void {
  try {
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  } catch (error) {
    throw new ConfigError(`Cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}
