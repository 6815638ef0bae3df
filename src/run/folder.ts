/**
 * The files that a run is kept as, whatever keeps them: a folder, a zip archive.
 *
 *     config.json  model.safetensors  [tokenizer.json]       the model, for any program
 *     state-200/{run.json, optimizer.safetensors, config.json}  what going on takes beside it
 *
 * A save changes several files, and no system changes several at once. So one of them is the save: `model.safetensors` takes its name last.
 * Whatever belongs to it is there before, in a state folder of its own whose run.json has the SHA-256 of the model it belongs to. A process
 * killed at any moment leaves a whole model and exactly one state folder with its digest; one that matches no model is never read. Beside
 * a pointer file and a model per generation this keeps the model where other programs look for it, without links that some file systems
 * lack, and it notices files that were mixed up or damaged.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError } from "../base/errors.ts";
import { parseTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { checkTokenizer } from "../files/codec.ts";
import { formatConfig, type ModelConfig, parseConfig } from "../files/model_config.ts";
import { type Checkpoint, type Digests, formatRunState, parseRunState, type RunState } from "../files/run_state.ts";
import { momentChunks, readMoments } from "../files/moments.ts";
import { type Model, readModel } from "../files/weights.ts";
import { modelChunks, refuseInt8 } from "../files/write_weights.ts";

/** The model's shape. */
export const CONFIG_FILE = "config.json";
/** The model's numbers. */
export const MODEL_FILE = "model.safetensors";
/** What the model's tokens stand for, where they are not bytes. */
export const TOKENIZER_FILE = "tokenizer.json";
const MOMENTS_FILE = "optimizer.safetensors", STATE_FILE = "run.json";

/** A save that was made. */
export interface Saved {
  /** Its state folder. */
  readonly state: string;
  /** Digests of its files. */
  readonly files: Digests;
}

/** One file of a save. */
export interface RunFile {
  /** Its name within the folder: "state-200/run.json". */
  readonly name: string;
  /** What it holds, piece by piece. */
  readonly chunks: Iterable<Uint8Array>;
  /** Whether its name makes the save count: it is written first, to be known by its digest, and takes its name after all others. */
  readonly isLast: boolean;
}

/** The step that a state folder is of, and which of those of that step it is, from 1; undefined where the name is no state folder's. */
export function stateOf(name: string): { step: number; again: number } | undefined {
  const [, step, again] = /^state-(\d+)(?:\.(\d+))?$/.exec(name) ?? [];
  return step === undefined ? undefined : { step: Number(step), again: Number(again ?? 1) };
}

/** A state folder that is not there yet: a step may be saved twice, when a run is stopped right after a save. */
function newState(step: number, taken: readonly string[]): string {
  let name = `state-${step}`;
  for (let again = 2; taken.includes(name); again++) name = `state-${step}.${again}`;
  return name;
}

/**
 * The files of a save, each to be written when it comes. Whoever writes one hands its SHA-256, hexadecimal, to `next`.
 *
 * @param taken state folders that are there already
 * @returns the save, for {@linkcode stateFile}
 * @throws {CheckpointError} where a tensor is missing, or holds a number that is not finite
 * @throws {ShapeError} where one has another length than its shape
 */
export function* runFiles(checkpoint: Checkpoint, taken: readonly string[] = []): Generator<RunFile, Saved, string> {
  expect("Cannot save the run", { checkpoint: [checkpoint, "an object"], taken: [taken, "a list"] });
  const state = newState(checkpoint.step, taken), utf8 = (text: string) => new TextEncoder().encode(text);
  const model = yield { name: MODEL_FILE, chunks: modelChunks(checkpoint), isLast: true };
  const optimizer = yield { name: `${state}/${MOMENTS_FILE}`, chunks: momentChunks(checkpoint), isLast: false };
  // A run may go on as another model that the same weights fit: the state has the configuration that it is of, and the one at the top
  // fits the model before this one too.
  const text = [utf8(formatConfig(checkpoint.config))], config = yield { name: `${state}/${CONFIG_FILE}`, chunks: text, isLast: false };
  const { tokenizer } = checkpoint, digests = { config, model, optimizer, ...tokenizer && { tokenizer: yield tokenizerFile(tokenizer) } };
  yield { name: `${state}/${STATE_FILE}`, chunks: [utf8(formatRunState(checkpoint, digests))], isLast: false };
  yield { name: CONFIG_FILE, chunks: text, isLast: false };
  return { state, files: digests };
}

/**
 * What a save is called in another folder that keeps it too.
 *
 * @param taken state folders that are there already
 * @returns its state folder, and the files beside that, in the order in which they take their names
 */
export function keptAs(saved: Saved, taken: readonly string[]): { readonly state: string; readonly files: readonly string[] } {
  expect("Cannot keep the save", { save: [saved, "an object"], taken: [taken, "a list"] });
  const { state, files } = saved;
  expect("Cannot keep the save", { "state folder": [state, "a string"], files: [files, "an object"] });
  return {
    state: newState(stateOf(state)?.step ?? 0, taken),
    files: [...files.tokenizer ? [TOKENIZER_FILE] : [], CONFIG_FILE, MODEL_FILE],
  };
}

/** The state file of a save whose model is as it was, and of which more is known since: an evaluation. */
export function stateFile(saved: Saved, run: RunState): { readonly name: string; readonly text: string } {
  expect("Cannot write the run state", { save: [saved, "an object"] });
  const { state, files } = saved;
  expect("Cannot write the run state", { "state folder": [state, "a string"] });
  return { name: `${state}/${STATE_FILE}`, text: formatRunState(run, files) };
}

/** The same in every save of a run: whichever model is there, it is this one's. */
function tokenizerFile(tokenizer: Tokenizer): RunFile {
  return { name: TOKENIZER_FILE, chunks: [new TextEncoder().encode(tokenizer.toJson())], isLast: false };
}

/** What a file holds. */
export interface FileContent {
  /** All of it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Its SHA-256, hexadecimal. */
  readonly sha256: string;
}

/** A place that a run is read from. */
export interface RunReader {
  /** Where it is, for messages. */
  readonly path: string;
  /** Where a file of it is, for messages. */
  locate(name: string): string;
  /** The names of folders in it. */
  folders(): readonly string[];
  /**
   * A file by its name within the folder; undefined where there is none.
   *
   * @throws {CheckpointError} where it is there and cannot be read
   */
  read(name: string): FileContent | undefined;
}

function need(from: RunReader, name: string): FileContent {
  const found = from.read(name);
  if (found) return found;
  throw new CheckpointError(
    `Cannot read ${from.locate(name)}: there is no such file; a run folder has ${CONFIG_FILE} and ${MODEL_FILE}`,
  );
}

const textOf = ({ bytes }: FileContent) => new TextDecoder().decode(bytes);

/** The two files of a model, read once. */
function readFiles(from: RunReader): { model: Model; config: FileContent; weights: FileContent } {
  const config = need(from, CONFIG_FILE), weights = need(from, MODEL_FILE);
  const names = { config: from.locate(CONFIG_FILE), weights: from.locate(MODEL_FILE) };
  return { model: readModel(textOf(config), weights.bytes, names), config, weights };
}

/** What state folders say. */
interface States {
  /** The one that belongs to the model. */
  readonly found?: { readonly folder: string; readonly state: RunState; readonly files: Digests };
  /** The steps of all that were read. */
  readonly seen: readonly string[];
  /** What is wrong with one that cannot be read, where none belongs to the model. */
  readonly damage?: CheckpointError;
}

/** State folders, latest first. */
export function statesIn(folders: readonly string[]): string[] {
  expect("Cannot look for states", { folders: [folders, { each: "a string" }] });
  const found = folders.map((name) => ({ name, ...stateOf(name) })).filter(({ step }) => step !== undefined);
  return found.sort((a, b) => b.step! - a.step! || b.again! - a.again!).map(({ name }) => name);
}

/** The state folder that belongs to a model of that digest. */
function findState(from: RunReader, digest: string): States {
  const seen: string[] = [];
  let damage: CheckpointError | undefined;
  for (const folder of statesIn(from.folders())) {
    try {
      const file = from.read(`${folder}/${STATE_FILE}`);
      // A process killed while saving leaves a folder without one.
      if (!file) continue;
      const { state, files } = parseRunState(textOf(file), from.locate(`${folder}/${STATE_FILE}`));
      seen.push(`step ${state.step}`);
      if (files.model === digest) return { found: { folder, state, files }, seen };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      damage ??= error;
    }
  }
  return { seen, damage };
}

/**
 * The configuration that a state is of: what is at the top of the folder, or, where a save was cut off between the two files and the top is
 * a step ahead, the state's own.
 */
function fittingConfig(from: RunReader, { folder, files }: NonNullable<States["found"]>, top: FileContent): FileContent | undefined {
  if (top.sha256 === files.config) return top;
  const own = from.read(`${folder}/${CONFIG_FILE}`);
  return own?.sha256 === files.config ? own : undefined;
}

/**
 * What a model's tokens stand for, and whether that was changed since the run saved it: read where the state says so, and of a model without
 * a state where its tokens are no bytes and the file is there.
 *
 * @throws {CheckpointError} where the run's is missing, or it cannot be read, or is another model's
 */
function readTokenizer(from: RunReader, { vocab_size }: ModelConfig, found: States["found"]): { tokenizer?: Tokenizer; changed?: string } {
  const digest = found?.files.tokenizer, name = from.locate(TOKENIZER_FILE);
  if (digest === undefined && (found || vocab_size <= 256)) return {};
  const file = from.read(TOKENIZER_FILE);
  if (!file && digest === undefined) return {};
  if (!file) {
    throw new CheckpointError(
      `Cannot read ${name}: there is no such file, and only it says what the model's tokens are; restore it from a copy`,
    );
  }
  const tokenizer = parseTokenizer(textOf(file), name), isChanged = digest !== undefined && digest !== file.sha256;
  checkTokenizer(tokenizer, vocab_size, name);
  return { tokenizer, ...isChanged && { changed: `${name} was changed since the run saved it` } };
}

/** A model, and the run that it was saved with. */
export interface Trained {
  /** The model. */
  readonly model: Model;
  /** What the run was at, where its state is there. */
  readonly state?: RunState;
  /** What is wrong with the state that is there, or with the model, which the state knows: a sentence. */
  readonly damage?: string;
}

/**
 * Reads a model, and what the run knows that made it.
 *
 * @throws {CheckpointError} where a file of the model is missing or damaged
 * @throws {ConfigError} where config.json is wrong
 */
export function readTrained(from: RunReader): Trained {
  expect("Cannot read the model", { "the place that it is read from": [from, "an object"] });
  for (let before: string | undefined;;) {
    const { model, config, weights } = readFiles(from), digest = weights.sha256, { found, seen, damage } = findState(from, digest);
    // A process that trains there may save in between: then the model is another one when it is read again.
    if (!found && seen.length > 0 && digest !== before) {
      before = digest;
      continue;
    }
    const own = found && fittingConfig(from, found, config);
    const changed = found
      ? own === config
        ? undefined
        : `${from.locate(CONFIG_FILE)} was changed since the run saved it${own === undefined ? "" : "; what it saved is used"}.`
      : seen.length > 0
      ? `${from.locate(MODEL_FILE)} is not the one that the run saved (its state is of ${seen.join(", ")}): it was changed or exchanged.`
      : undefined;
    const fit = own === undefined || own === config
      ? model
      : { ...model, config: parseConfig(textOf(own), from.locate(`${found!.folder}/${CONFIG_FILE}`)) };
    const { tokenizer, changed: other } = readTokenizer(from, fit.config, found);
    return {
      model: tokenizer ? { ...fit, tokenizer } : fit,
      state: found?.state,
      damage: changed ?? (other && `${other}.`) ?? damage?.message,
    };
  }
}

/**
 * Reads everything that a run continues from.
 *
 * @throws {CheckpointError} where a file is missing or damaged, or the files are not of one save
 * @throws {ConfigError} where config.json is wrong
 */
export function readRun(from: RunReader): Checkpoint {
  expect("Cannot read the run", { "the place that it is read from": [from, "an object"] });
  const { model, config, weights } = readFiles(from), { found, seen, damage } = findState(from, weights.sha256);
  const fail = (what: string): never => {
    throw new CheckpointError(`Cannot resume from ${from.path}: ${what}`);
  };
  refuseInt8(`Cannot resume from ${from.path}`, model.weights);
  const ASIDE = "sampling works, resuming needs the folder as it was saved";
  if (damage) fail(`${damage.message}; ${ASIDE}`);
  if (!found) {
    const known = seen.length ? `found state of ${seen.join(", ")}` : `found no state-*/${STATE_FILE}`;
    return fail(`its ${MODEL_FILE} is not the one that was saved with its run state (${known}); ${ASIDE}`);
  }
  const { folder, state, files } = found, name = `${folder}/${MOMENTS_FILE}`;
  const moments = need(from, name), fitting = fittingConfig(from, found, config);
  if (moments.sha256 !== files.optimizer) fail(`${from.locate(name)} was changed or damaged since it was saved; restore it from a copy`);
  if (!fitting) return fail(`${from.locate(CONFIG_FILE)} was changed since it was saved; restore it, or begin a new run`);
  const fit = parseConfig(textOf(fitting), from.locate(`${folder}/${CONFIG_FILE}`));
  const { tokenizer, changed } = readTokenizer(from, fit, found);
  if (changed) fail(`${changed}; restore it from a copy`);
  return {
    config: fit,
    ...tokenizer && { tokenizer },
    weights: model.weights as Checkpoint["weights"],
    ...readMoments(fit, moments.bytes, from.locate(name), state.train.optimizer),
    ...state,
  };
}
