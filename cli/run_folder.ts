/**
 * Run folders on the disk, each for one process at a time. Which files they have, and in which order those are saved, src/run/folder.ts says.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { copyFileSync, linkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CheckpointError, ConfigError } from "../mod.ts";
import {
  type Checkpoint,
  CONFIG_FILE,
  keptAs,
  MODEL_FILE,
  parseConfig,
  readRun,
  readTrained,
  runFiles,
  type RunReader,
  type RunState,
  type Saved,
  stateFile,
  statesIn,
  TOKENIZER_FILE,
  type Trained,
} from "../files.ts";
import {
  cannotWrite,
  commit,
  isRefused,
  isThere,
  readIfThere,
  readText,
  removeQuietly,
  removeTemporaries,
  temporaryIn,
  whyUnwritten,
  writeAtomic,
  writeTemporary,
  type Written,
} from "./disk.ts";

/** Taken by the process that trains there. */
const LOCK_FILE = ".lock";

/** A run folder that this process alone writes to. */
export interface RunFolder {
  /** Where it is. */
  readonly path: string;
  /**
   * Makes sure that it still is this process's alone. The lock is a file, which may be deleted, and its folder with it; what another
   * process saved there is then not overwritten.
   *
   * @throws {CheckpointError} where another process has the folder, or has saved in it, or it is gone
   */
  check(): void;
  /** Notes what is there as this process's own. */
  own(): void;
  /** Lets others have it. */
  close(): void;
}

/** Which file stands under a name: another one after each rename. */
function fileAt(path: string): string | undefined {
  try {
    const { dev, ino, size, mtime } = Deno.statSync(path);
    return [dev, ino, size, mtime?.getTime()].join();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/** The folder's lock; undefined where another process has it. */
function takeLock(path: string): Deno.FsFile | undefined {
  const lock = Deno.openSync(join(path, LOCK_FILE), { write: true, create: true });
  if (tryLock(lock)) return lock;
  lock.close();
}

function runFolder(path: string, held: Deno.FsFile): RunFolder {
  const name = join(path, LOCK_FILE), model = join(path, MODEL_FILE);
  let lock = held, locked = fileAt(name), last = fileAt(model);
  const lost = (what: string): never => {
    throw new CheckpointError(`Cannot save the run in ${path}: ${what}; nothing there was changed, give another folder with --out`);
  };
  return {
    path,
    check: () => {
      if (fileAt(path) === undefined) lost("the folder was deleted or moved, and the run's saves with it");
      if (fileAt(name) !== locked) {
        // Deleted: whoever came since has a lock of its own.
        const again = takeLock(path);
        if (!again) return lost("its .lock was deleted, and another process is training in it now");
        lock.close();
        lock = again;
        locked = fileAt(name);
      }
      if (fileAt(model) !== last) lost("its model.safetensors is no longer the one that this run left there: another program wrote it");
    },
    own: () => last = fileAt(model),
    close: () => lock.close(),
  };
}

/**
 * Takes a folder for a new run, or for going on with the one in it, and removes what a killed process left behind. The
 * folder is locked until it is closed or the process ends in any way.
 *
 * @param resume whether a run must be there already; otherwise none may
 * @throws {ConfigError} where the folder cannot be written to, holds another run than asked for, or is in use
 */
export function openRunFolder(path: string, resume: boolean): RunFolder {
  const model = join(path, MODEL_FILE), config = join(path, CONFIG_FILE);
  let lock: Deno.FsFile | undefined;
  try {
    if (!isThere(model) && resume) {
      throw new ConfigError(`Cannot resume in ${path}: it holds no model.safetensors; leave out --resume to begin a run there`);
    }
    if (!resume) free(model, path);
    if (!resume && isThere(config)) foreign(config, path);
    Deno.mkdirSync(path, { recursive: true });
    lock = takeLock(path);
  } catch (error) {
    if (!isRefused(error)) throw error;
    throw new ConfigError(`Cannot use ${path} as a run folder: ${whyUnwritten(error)}`, { cause: error });
  }
  if (!lock) {
    throw new ConfigError(`Cannot use ${path} as a run folder: another process is training in it; wait for it, or give another --out`);
  }
  try {
    // Another process may have trained there since the first look.
    if (!resume) free(model, path);
  } catch (error) {
    lock.close();
    throw error;
  }
  removeTemporaries(path);
  return runFolder(path, lock);
}

/** The folder of a run that may be named by a file in it, as other programs do. */
export function runPath(named: string): string {
  return [MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE].includes(basename(named)) ? dirname(named) : named;
}

/** Refuses a folder that holds a run. */
function free(model: string, path: string): void {
  if (!isThere(model)) return;
  throw new ConfigError(
    `Cannot begin a run in ${path}: it holds one already; --resume ${path} in place of --out goes on with it, or give another --out`,
  );
}

function tryLock(file: Deno.FsFile): boolean {
  try {
    return file.tryLockSync(true);
  } catch (error) {
    // Some network file systems have no locks: a run there is as safe, but for two processes in one folder.
    if (["ENOSYS", "EOPNOTSUPP", "ENOTSUP", "ENOLCK"].includes((error as { code?: string }).code ?? "")) return true;
    file.close();
    throw error;
  }
}

/** A config.json without a model is what a run killed before its first save leaves, if it is one of ours. */
function foreign(config: string, path: string): void {
  try {
    parseConfig(readText(config), config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`Cannot begin a run in ${path}: its config.json is not of a Sparse Transformer; give another --out`);
  }
}

/**
 * Saves a run: afterwards {@linkcode loadRun} gives exactly this, before exactly what was there, never a mixture.
 *
 * @throws {CheckpointError} where it cannot be written, and what is there then: where the folder is still there, the last whole save; and
 * where another process has the folder, or has written to it
 */
export function saveRun(folder: RunFolder, checkpoint: Checkpoint): Saved {
  const { path } = folder;
  /** What a failure removes: the model while it has not its name, the state folder while the model before counts. */
  let model: Written | undefined, state: string | undefined;
  try {
    folder.check();
    const before = statesIn(foldersIn(path)), files = runFiles(checkpoint, before);
    let next = files.next();
    while (!next.done) {
      const { name, chunks, isLast } = next.value, place = join(path, name), within = dirname(place);
      if (within !== path && !state) Deno.mkdirSync(state = within);
      const written = writeTemporary(within, chunks);
      if (isLast) model = written;
      else commit(written, place);
      next = files.next(written.sha256);
    }
    folder.check();
    state = undefined;
    try {
      commit(model!, join(path, MODEL_FILE));
    } finally {
      folder.own();
    }
    for (const name of before) removeQuietly(join(path, name));
    return next.value;
  } catch (error) {
    if (model) removeQuietly(model.temporary);
    if (state) removeQuietly(state);
    const remains = isThere(join(path, MODEL_FILE))
      ? "the run there stays at its last whole save"
      : isThere(path)
      ? "no save of the run is there"
      : "the folder was deleted or moved, and the run's saves with it";
    throw cannotWrite(path, error, remains);
  }
}

/**
 * Adds to a save what is known of the run since: its model is as it was.
 *
 * @throws {CheckpointError} where it cannot be written, or another process has the folder; the save is then as it was
 */
export function saveState(folder: RunFolder, saved: Saved, state: RunState): void {
  folder.check();
  const { name, text } = stateFile(saved, state);
  writeAtomic(join(folder.path, name), text);
}

/** Gives a file a second name in another folder, whole at any moment; where the file system has no such names, a copy. */
function linkFile(from: string, to: string): void {
  const temporary = temporaryIn(dirname(to));
  try {
    linkSync(from, temporary);
  } catch {
    copyFileSync(from, temporary);
  }
  commit({ temporary }, to);
}

/**
 * Keeps a save of a run in another folder too. Nothing is written twice: saves are never changed, only replaced, so its files get second
 * names. The order is that of {@linkcode saveRun}, and so is what a stop at any moment leaves.
 *
 * @param to a folder, there or to be made, with a save or without
 * @throws {CheckpointError} where it cannot be written
 */
export function keepSave({ path }: RunFolder, saved: Saved, to: string): void {
  try {
    Deno.mkdirSync(to, { recursive: true });
    removeTemporaries(to);
    const before = statesIn(foldersIn(to)), kept = keptAs(saved, before), own = join(path, saved.state);
    Deno.mkdirSync(join(to, kept.state));
    for (const { name } of Deno.readDirSync(own)) linkFile(join(own, name), join(to, kept.state, name));
    for (const file of kept.files) linkFile(join(path, file), join(to, file));
    for (const name of before) removeQuietly(join(to, name));
  } catch (error) {
    throw cannotWrite(to, error, "the run itself is saved");
  }
}

/** The folder of the best model that a run had, in the run's own. */
export const BEST_FOLDER = "best";

/** {@linkcode saveRun} into a folder within another run folder: who has that has this. */
export function saveWithin(path: string, checkpoint: Checkpoint): void {
  try {
    Deno.mkdirSync(path, { recursive: true });
    removeTemporaries(path);
  } catch (error) {
    throw cannotWrite(path, error, "the run itself is saved");
  }
  saveRun({ path, check() {}, own() {}, close() {} }, checkpoint);
}

const foldersIn = (path: string) => Array.from(Deno.readDirSync(path)).filter(({ isDirectory }) => isDirectory).map(({ name }) => name);

/** A folder as a place to read a run from. */
function readerOf(path: string): RunReader {
  const locate = (name: string) => join(path, name);
  return {
    path,
    locate,
    folders: () => foldersIn(path),
    read(name) {
      const bytes = readIfThere(locate(name), CheckpointError);
      return bytes && {
        bytes,
        get sha256() {
          return createHash("sha256").update(bytes).digest("hex");
        },
      };
    },
  };
}

/** {@linkcode readTrained} from a folder. */
export const loadTrained = (path: string): Trained => readTrained(readerOf(path));

/** {@linkcode readRun} from a folder. */
export const loadRun = (path: string): Checkpoint => readRun(readerOf(path));
