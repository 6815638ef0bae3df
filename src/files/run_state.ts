/**
 * `run.json`: where a run is.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError, excerpt } from "../base/errors.ts";
import { parseJson, shown } from "../base/json.ts";
import { DATA_KINDS, type DataIdentity, type DataKind, type DataSource } from "../data/identity.ts";
import type { ModelConfig } from "./model_config.ts";
import { checkTrain, TRAIN_DEFAULTS, type TrainConfig } from "./train_config.ts";

/** One point of a run's curve. */
export interface HistoryEntry {
  /** Updates done. */
  readonly step: number;
  /** Training loss in bits per token; NaN where it was not finite, null on disk. */
  readonly loss: number;
  /** Held-out loss in bits per token. */
  readonly heldOut?: number;
  /** Milliseconds since the run began, pauses not counted. */
  readonly ms?: number;
}

/** Where a run is: what training continues from beside weights and moments. Batches and dropout are drawn by step, so no random state. */
export interface RunState {
  /** Updates done, skipped ones included. */
  readonly step: number;
  /** Steps skipped for non-finite gradients, in all and in a row. */
  readonly skipped: readonly [number, number];
  /** Loss scale and the clean steps since it last changed. */
  readonly lossScale: readonly [number, number];
  /** The engine's name: a resumed run is bit-exact on the same one. */
  readonly engine: string;
  /** Training constants. */
  readonly train: TrainConfig;
  /** What it trains on. */
  readonly data: DataIdentity;
  /** The curve so far, by step. */
  readonly history: readonly HistoryEntry[];
}

/** Everything a run continues from. */
export interface Checkpoint extends RunState {
  /** The model's shape. */
  readonly config: ModelConfig;
  /** Weights by parameter name. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** First moments of AdamW, momentum of Muon. */
  readonly m: ReadonlyMap<string, Float32Array>;
  /** Second moments, of the parameters that AdamW updates. */
  readonly v: ReadonlyMap<string, Float32Array>;
}

/** SHA-256, hexadecimal, of the files that belong to one run state. */
export interface Digests {
  /** Of `config.json`. */
  readonly config: string;
  /** Of `model.safetensors`. */
  readonly model: string;
  /** Of `optimizer.safetensors`. */
  readonly optimizer: string;
}

/** `run.json` with the digests of the files that it belongs to. */
export function formatRunState(state: RunState, files: Digests): string {
  expect("Cannot write the run state", { state: [state, "an object"], history: [state?.history, "a list"], files: [files, "an object"] });
  const { step, skipped, lossScale, engine, train, data, history } = state;
  const lines = history.map((entry) => "    " + JSON.stringify(entry)).join(",\n");
  const head = JSON.stringify({ version: 1, step, skipped, lossScale, engine, train, data, files }, null, 2);
  return `${head.slice(0, -2)},\n  "history": [${lines && `\n${lines}\n  `}]\n}\n`;
}

/** Training constants that runs did not have before there was Muon: those were AdamW's. */
const LATER = ["schedule", "lr_min", "optimizer", "muon_lr", "momentum", "phases"];

/**
 * Reads a `run.json`.
 *
 * @param name of the file, for messages
 * @throws {CheckpointError} naming the first field that is missing, unknown or out of range
 */
export function parseRunState(text: string, name: string): { state: RunState; files: Digests } {
  expect("Cannot read the run state", { text: [text, "a string"], name: [name, "a string"] });
  const fail = (what: string): never => {
    throw new CheckpointError(`Cannot read ${name}: ${what}`);
  };
  const fields = (value: unknown, where: string, names: string[], optional: string[] = []): Record<string, unknown> => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return fail(`${where} must be an object, found ${shown(value)}`);
    }
    for (const key of Object.keys(value)) {
      if (!names.includes(key) && !optional.includes(key)) fail(`${where} has an unknown field ${excerpt(key)}`);
    }
    for (const key of names) if (!Object.hasOwn(value, key)) fail(`${where} lacks ${key}`);
    return value as Record<string, unknown>;
  };
  const whole = (value: unknown, where: string): number =>
    Number.isSafeInteger(value) && value as number >= 0
      ? value as number
      : fail(`${where} must be a whole number from 0, found ${shown(value)}`);
  const finite = (value: unknown, where: string): number =>
    Number.isFinite(value) ? value as number : fail(`${where} must be a number, found ${shown(value)}`);
  const digest = (value: unknown, where: string): string =>
    typeof value === "string" && /^[0-9a-f]{64}$/.test(value)
      ? value
      : fail(`${where} must be 64 hexadecimal digits, found ${shown(value)}`);
  const string = (value: unknown, where: string): string =>
    typeof value === "string" ? value : fail(`${where} must be a string, found ${shown(value)}`);

  const source = (value: unknown): DataSource => {
    const made = fields(value, "data.source", ["kind"], ["path", "shape", "rate", "codes", "as", "heldOut"]),
      { kind, path, shape, codes } = made;
    const list = (value: unknown, where: string): unknown[] =>
      Array.isArray(value) ? value : fail(`${where} must be a list, found ${shown(value)}`);
    const one = <T extends string>(value: unknown, where: string, known: readonly T[]): T =>
      known.find((name) => name === value) ?? fail(`${where} must be one of ${known.join(", ")}, found ${shown(value)}`);
    const sizes = shape === undefined ? undefined : list(shape, "data.source.shape").map((size) => whole(size, "data.source.shape"));
    if (sizes && sizes.length !== 3) fail(`data.source.shape must be three numbers, found ${shown(shape)}`);
    return {
      kind: one<DataKind>(kind, "data.source.kind", DATA_KINDS),
      ...path === undefined ? {} : { path: string(path, "data.source.path") },
      ...sizes ? { shape: sizes as unknown as DataSource["shape"] } : {},
      ...made.rate === undefined ? {} : { rate: whole(made.rate, "data.source.rate") },
      ...codes === undefined ? {} : { codes: one<"mulaw" | "g711">(codes, "data.source.codes", ["mulaw", "g711"]) },
      ...made.as === undefined ? {} : { as: one(made.as, "data.source.as", ["bytes"] as const) },
      ...made.heldOut === undefined ? {} : { heldOut: whole(made.heldOut, "data.source.heldOut") },
    };
  };

  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    fail((error as SyntaxError).message);
  }
  const version = (json as { version?: unknown } | null)?.version;
  if (version !== 1) fail(`version must be 1, found ${shown(version)}; a newer Longstride may have written it`);
  const run = fields(json, "it", ["version", "step", "skipped", "lossScale", "engine", "train", "data", "files", "history"]);
  const step = whole(run.step, "step"), data = fields(run.data, "data", ["name", "bytes", "sha256", "heldOut"], ["source"]);
  const files = fields(run.files, "files", ["config", "model", "optimizer"]), { skipped, lossScale } = run;
  if (!Array.isArray(skipped) || skipped.length !== 2) return fail(`skipped must be two numbers, found ${shown(skipped)}`);
  if (!Array.isArray(lossScale) || lossScale.length !== 2) return fail(`lossScale must be two numbers, found ${shown(lossScale)}`);
  if (!Array.isArray(run.history)) return fail(`history must be a list, found ${shown(run.history)}`);
  const constants = fields(run.train, "train", Object.keys(TRAIN_DEFAULTS).filter((name) => !LATER.includes(name)), LATER);
  let train: TrainConfig;
  try {
    train = checkTrain({ optimizer: "adamw", ...constants });
  } catch (error) {
    return fail((error as Error).message);
  }
  const few = (value: unknown, where: string, most: number): number => {
    const found = whole(value, where);
    return found <= most ? found : fail(`${where} must be at most ${most}, found ${found}`);
  };
  const positive = (value: unknown, where: string): number => {
    const found = finite(value, where);
    return found > 0 ? found : fail(`${where} must be above 0, found ${found}`);
  };
  const natural = (value: unknown, where: string): number => {
    const found = finite(value, where);
    return found >= 0 ? found : fail(`${where} must be at least 0, found ${found}`);
  };
  const skips = few(skipped[0], "skipped[0]", step), bytes = whole(data.bytes, "data.bytes");
  let before = 0;
  const history = run.history.map((value: unknown, at: number): HistoryEntry => {
    const where = `history[${at}]`,
      entry = fields(value, where, ["step", "loss"], ["heldOut", "ms"]),
      now = whole(entry.step, `${where}.step`);
    if (now < before || now > step) fail(`${where}.step must be from ${before} to ${step}, found ${now}`);
    before = now;
    const made: { -readonly [K in keyof HistoryEntry]: HistoryEntry[K] } = {
      step: now,
      loss: entry.loss === null ? NaN : natural(entry.loss, `${where}.loss`),
    };
    if (entry.heldOut !== undefined) made.heldOut = entry.heldOut === null ? NaN : natural(entry.heldOut, `${where}.heldOut`);
    if (entry.ms !== undefined) made.ms = natural(entry.ms, `${where}.ms`);
    return made;
  });
  return {
    state: {
      step,
      skipped: [skips, few(skipped[1], "skipped[1]", skips)],
      lossScale: [positive(lossScale[0], "lossScale[0]"), few(lossScale[1], "lossScale[1]", step)],
      engine: string(run.engine, "engine"),
      train,
      data: {
        name: string(data.name, "data.name"),
        bytes,
        sha256: digest(data.sha256, "data.sha256"),
        heldOut: few(data.heldOut, "data.heldOut", bytes),
        ...data.source === undefined ? {} : { source: source(data.source) },
      },
      history,
    },
    files: {
      config: digest(files.config, "files.config"),
      model: digest(files.model, "files.model"),
      optimizer: digest(files.optimizer, "files.optimizer"),
    },
  };
}
