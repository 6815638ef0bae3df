/**
 * Files on the disk: reading one or saying why not, and writing so that a process killed at any moment leaves the old content or the new.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { CheckpointError, ConfigError, DataError, type LongstrideError } from "../mod.ts";

/** What a system call is called that failed; undefined where it was none that failed. Deno gives rarer refusals no code. */
const codeOf = (error: unknown) => (error as { code?: string } | null)?.code;

/** Whether the system refused, rather than a permission flag or a mistake of ours. */
export function isRefused(error: unknown): error is Error {
  return error instanceof Error && (codeOf(error) !== undefined || /\(os error \d+\)/.test(error.message));
}

/** Why something cannot be read, in words. */
export function whyUnread(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return "there is no such file";
    case "ENOTDIR":
      return "part of the path is a file";
    case "EISDIR":
      return "it is a folder";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    default:
      return (error as Error).message;
  }
}

/** Why something cannot be written, and what to do. */
export function whyUnwritten(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOSPC":
      return "the disk is full; free some space or choose another folder";
    case "EACCES":
    case "EPERM":
      return "permission denied; choose a folder that you may write to";
    case "EROFS":
      return "the file system is read-only; choose another folder";
    case "ENOTDIR":
    case "EEXIST":
      return "part of the path is a file; choose another folder";
    case "ENOENT":
      return "the folder does not exist";
    default:
      return `${(error as Error).message}; choose another folder, or see what limits this one`;
  }
}

/** A kind of error. */
type Failure = new (message: string, options?: ErrorOptions) => LongstrideError;

/**
 * Reads a file that may be missing.
 *
 * @param cannot what cannot be done without it
 * @returns undefined where there is none
 * @throws {Failure} where it is there and cannot be read
 */
export function readIfThere(
  path: string,
  Failure: Failure = DataError,
  cannot = `Cannot read ${path}`,
): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (!isRefused(error)) throw error;
    throw new Failure(`${cannot}: ${whyUnread(error)}`, { cause: error });
  }
}

/**
 * Reads a file that a user named.
 *
 * @throws {DataError} where it cannot be read
 */
export function readFile(path: string): Uint8Array<ArrayBuffer> {
  const found = readIfThere(path);
  if (found) return found;
  throw new DataError(`Cannot read ${path}: there is no such file`);
}

/** {@linkcode readFile} of text. */
export const readText = (path: string): string => new TextDecoder().decode(readFile(path));

/** Whether anything is there. */
export function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/**
 * Says now what would come out after an hour of work: whether a file that a user named can be written. Nothing that is there changes.
 *
 * @throws {ConfigError} where it cannot
 */
export function checkWritable(path: string): void {
  try {
    const wasThere = existsSync(path);
    Deno.openSync(path, { write: true, create: !wasThere }).close();
    if (!wasThere) Deno.removeSync(path);
  } catch (error) {
    throw new ConfigError(`Cannot write ${path}: ${whyUnwritten(error)}`, { cause: error });
  }
}

/**
 * Writes a file that a user named.
 *
 * @throws {ConfigError} where it cannot be written
 */
export function writeFile(path: string, content: Uint8Array | string): void {
  try {
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  } catch (error) {
    throw new ConfigError(`Cannot write ${path}: ${whyUnwritten(error)}`, { cause: error });
  }
}

/**
 * Makes a folder that files are to go into, where there is none.
 *
 * @throws {ConfigError} where it cannot be made
 */
export function makeFolder(path: string): void {
  try {
    Deno.mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new ConfigError(`Cannot write into ${path}: ${whyUnwritten(error)}`, { cause: error });
  }
}

/** Ours, and nobody else's: a name that no user gives, so that leftovers can be removed. */
const TEMPORARY = /^\.longstride-[0-9a-f]{16}\.tmp$/;

/** A file that is whole on the disk under a name of its own, not yet under the one it is for. */
export interface Written {
  readonly temporary: string;
  /** SHA-256, hexadecimal. */
  readonly sha256: string;
}

/** Writes a file under a name of its own, through to the disk. */
export function writeTemporary(folder: string, chunks: Iterable<Uint8Array>): Written {
  const hash = createHash("sha256"), temporary = temporaryIn(folder);
  const file = Deno.openSync(temporary, { write: true, createNew: true });
  try {
    try {
      for (const chunk of chunks) {
        hash.update(chunk);
        // A write may be short: one of 2 GiB or more always is.
        for (let at = 0; at < chunk.length;) at += file.writeSync(chunk.subarray(at));
      }
      file.syncSync();
    } finally {
      file.close();
    }
  } catch (error) {
    removeQuietly(temporary);
    throw error;
  }
  return { temporary, sha256: hash.digest("hex") };
}

/** A name in a folder for a file under way. */
export function temporaryIn(folder: string): string {
  const random = crypto.getRandomValues(new Uint8Array(8));
  return join(folder, `.longstride-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}.tmp`);
}

/** Removes what a killed process left of files under way. */
export function removeTemporaries(folder: string): void {
  for (const { name } of Deno.readDirSync(folder)) if (TEMPORARY.test(name)) removeQuietly(join(folder, name));
}

/** For what is in the way at most: the failure that led here is the one to tell. */
export function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch { /* The next start tries again. */ }
}

/** Gives a file that was written its name, and makes that durable. */
export function commit({ temporary }: Pick<Written, "temporary">, path: string): void {
  try {
    Deno.renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    throw error;
  }
  // Windows has no such call, and needs none.
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(dirname(path));
  folder.syncSync();
}

/**
 * Writes a file so that at any moment its name stands for the old content or the new, whole, whatever happens to the
 * process or the machine: a temporary file in the same folder, fsync, rename, fsync of the folder.
 *
 * @throws {CheckpointError} where it cannot be written; what was there before is untouched
 */
export function writeAtomic(path: string, content: Iterable<Uint8Array> | Uint8Array | string): void {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  try {
    commit(writeTemporary(dirname(path), bytes instanceof Uint8Array ? [bytes] : bytes), path);
  } catch (error) {
    throw cannotWrite(path, error, "what was there before is untouched");
  }
}

/**
 * Writes at the end of a file, and makes it where there is none.
 *
 * @throws {CheckpointError} where it cannot be written
 */
export function append(path: string, content: Uint8Array | string): void {
  try {
    Deno.writeFileSync(path, typeof content === "string" ? new TextEncoder().encode(content) : content, { append: true });
  } catch (error) {
    throw cannotWrite(path, error, "what was there before is untouched");
  }
}

/** The error of a write that failed, and what of before is left. Errors of our own, and of the content's making, say what they have to say. */
export function cannotWrite(path: string, error: unknown, remains: string): unknown {
  if (!isRefused(error)) return error;
  return new CheckpointError(`Cannot write ${path}: ${whyUnwritten(error)}; ${remains}`, { cause: error });
}
