/**
 * `run.json`: where a run is.
 *
 * @module
 */

import { type Allowed, expect, mustBe, type NumberRange, type ObjectOf, whole, wrongOf } from "../base/check.ts";
import { CheckpointError } from "../base/errors.ts";
import { jsonOf } from "../base/json.ts";
import { DATASET_FIELDS } from "../data/dataset.ts";
import { DATA_KINDS, type DataIdentity } from "../data/identity.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { ModelConfig } from "./model_config.ts";
import { checkTrain, TRAIN_FIELDS, type TrainConfig } from "./train_config.ts";

/** One point of a run's curve. */
export interface HistoryEntry {
  /** Updates done. */
  readonly step: number;
  /** Training loss in bits per byte, of several in a token too; NaN where it was not finite, null on disk. */
  readonly loss: number;
  /** Held-out loss in bits per byte. */
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
  /** What its tokens stand for, where they are not bytes. */
  readonly tokenizer?: Tokenizer;
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
  /** Of `tokenizer.json`, where the run has one. */
  readonly tokenizer?: string;
}

/** `run.json` with the digests of the files that it belongs to. */
export function formatRunState(state: RunState, files: Digests): string {
  expect("Cannot write the run state", { state: [state, "an object"], history: [state?.history, "a list"], files: [files, "an object"] });
  const { step, skipped, lossScale, engine, train, data, history } = state;
  const lines = history.map((entry) => "    " + JSON.stringify(entry)).join(",\n");
  const head = JSON.stringify({ version: 1, step, skipped, lossScale, engine, train, data, files }, null, 2);
  return `${head.slice(0, -2)},\n  "history": [${lines && `\n${lines}\n  `}]\n}\n`;
}

const COUNT: NumberRange = whole(0), DIGEST: Allowed = { form: /^[0-9a-f]{64}$/, words: "64 hexadecimal digits" };

/** Training constants that earlier runs did not have: before there was Muon they were AdamW's. */
const LATER = ["schedule", "lr_min", "optimizer", "muon_lr", "momentum", "phases", "windows", "patience"];
const isLater = ([name]: readonly [string, unknown]) => LATER.includes(name), CONSTANTS = Object.entries(TRAIN_FIELDS);
const TRAIN: ObjectOf = {
  fields: Object.fromEntries(CONSTANTS.filter((field) => !isLater(field))),
  optional: Object.fromEntries(CONSTANTS.filter(isLater)),
};

/** JSON has no NaN. */
const LOSS: NumberRange = { from: 0, orNull: true };

/** How data was read. */
export const SOURCE: ObjectOf = {
  fields: { kind: { oneOf: DATA_KINDS } },
  optional: { path: "a string", valid: "a string", ...DATASET_FIELDS },
};

const RUN: ObjectOf = {
  fields: {
    version: whole(1, 1),
    step: COUNT,
    skipped: { each: COUNT, count: 2, words: "a list of two numbers" },
    lossScale: { each: { from: 0 }, count: 2, words: "a list of two numbers" },
    engine: "a string",
    train: TRAIN,
    data: {
      fields: { name: "a string", bytes: COUNT, sha256: DIGEST, heldOut: COUNT },
      optional: { source: SOURCE, sampled: "true or false" },
    },
    files: { fields: { config: DIGEST, model: DIGEST, optimizer: DIGEST }, optional: { tokenizer: DIGEST } },
    history: { each: { fields: { step: COUNT, loss: LOSS }, optional: { heldOut: LOSS, ms: { from: 0 } } } },
  },
};

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
  const check = (where: string, value: unknown, allowed: Allowed) => {
    const wrong = wrongOf(where, value, allowed);
    if (wrong) fail(wrong);
  };
  const json = jsonOf(text, fail), version = (json as { version?: unknown } | null)?.version;
  if (version !== 1) fail(`${mustBe("version", whole(1, 1), version)}; a newer Longstride may have written it`);
  check("it", json, RUN);
  const { version: _, files, ...run } = json as RunState & { version: 1; files: Digests };
  const { step, skipped, lossScale, data } = run, constants: Partial<TrainConfig> = run.train;
  // States that no run is ever in.
  check("skipped[0]", skipped[0], whole(0, step));
  check("skipped[1]", skipped[1], whole(0, skipped[0]));
  check("lossScale[0]", lossScale[0], { above: 0 });
  check("lossScale[1]", lossScale[1], whole(0, step));
  check("data.heldOut", data.heldOut, whole(0, data.bytes));
  run.history.forEach((entry, at) => check(`history[${at}].step`, entry.step, whole(run.history[at - 1]?.step ?? 0, step)));
  const number = (value: number | null) => value ?? NaN;
  const history = run.history.map(({ loss, heldOut, ...entry }) => ({
    ...entry,
    loss: number(loss),
    ...heldOut === undefined ? {} : { heldOut: number(heldOut) },
  }));
  try {
    return { state: { ...run, train: checkTrain({ optimizer: "adamw", ...constants }), history }, files };
  } catch (error) {
    return fail((error as Error).message);
  }
}
