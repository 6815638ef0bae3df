/**
 * Where tunings are kept, and which one a command uses.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import { ConfigError, LongstrideError, type Picked } from "../mod.ts";
import { parseTuning, type Tuning } from "../device.ts";
import { makeFolder, readIfThere, writeAtomic } from "./disk.ts";
import { type Args, type Flag, UsageError } from "./flags.ts";

/** Which measured kernel variants to use. */
export const TUNING_FLAGS: readonly Flag[] = [
  {
    name: "tuning",
    value: "FILE",
    about: "kernel variants that `tune --out FILE` measured (default: those it keeps for this user and device)",
  },
  { name: "no-tuning", about: "choose kernel variants by rule, whatever was measured" },
];

/** A variable of the environment. */
export type Variable = (name: string) => string | undefined;

/** The user's folder for what can be made again; undefined where the system names none. */
export function cacheFolder(variable: Variable): string | undefined {
  const absolute = (name: string) => {
    const path = variable(name);
    return path && isAbsolute(path) ? path : undefined;
  };
  const given = absolute("XDG_CACHE_HOME"), home = absolute("HOME");
  if (given) return join(given, "longstride");
  if (Deno.build.os === "windows") {
    const local = absolute("LOCALAPPDATA");
    return local && join(local, "longstride");
  }
  return home && join(home, ...Deno.build.os === "darwin" ? ["Library", "Caches"] : [".cache"], "longstride");
}

/** The file that is kept for a device; undefined where there is no folder for it. */
export function tuningPath(device: string, variable: Variable = (name) => Deno.env.get(name)): string | undefined {
  const folder = cacheFolder(variable),
    words = device.replace(/^WebGPU on /, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  // Devices whose names agree in their first letters and digits are told apart by the rest.
  const digest = createHash("sha256").update(device).digest("hex").slice(0, 8);
  return folder && join(folder, `tuning-${words.slice(0, 40)}-${digest}.json`);
}

/**
 * The text of a tuning's file; undefined where there is none.
 *
 * @throws {ConfigError} where it cannot be read
 */
export function readTuning(path: string): string | undefined {
  const bytes = readIfThere(path, ConfigError, `Cannot use the tuning ${path}`);
  return bytes && new TextDecoder().decode(bytes);
}

/** What is kept for a device, or why it is not used. */
export function keptTuning(device: string): { path?: string; tuning?: Tuning; ignored?: string } {
  const path = tuningPath(device);
  if (!path) return {};
  try {
    const text = readTuning(path), tuning = text === undefined ? undefined : parseTuning(text, path);
    if (tuning && tuning.device !== device) throw new ConfigError(`Cannot use the tuning ${path}: it was measured on ${tuning.device}`);
    return { path, tuning };
  } catch (error) {
    if (!(error instanceof LongstrideError)) throw error;
    return { path, ignored: error.message };
  }
}

/** Finds the tuning that the flags ask for, once the device is known, and says what came of it. */
export class TuningChoice {
  /** For people: one sentence, empty where there is nothing to say. */
  #said = "";

  constructor(private readonly args: Args) {}

  /**
   * Why an engine was picked, and how its kernels were.
   *
   * @throws {UsageError} where a file was asked for that the engine has no use for
   */
  why({ engine, why }: Picked): string {
    const file = this.args.text("tuning");
    if (file !== undefined && engine.name !== "webgpu") {
      throw new UsageError(
        `Cannot use --tuning ${file} on ${engine.name} (${why}): only webgpu has kernels to choose from; leave it out, or give --backend webgpu`,
      );
    }
    return this.#said ? `${why}; ${this.#said}` : why;
  }

  /**
   * The tuning for a device.
   *
   * @throws {ConfigError} where a file that was asked for cannot be used
   */
  find(device: string): Tuning | undefined {
    const file = this.args.text("tuning");
    if (this.args.on("no-tuning")) {
      if (file !== undefined) throw new UsageError("Cannot use --tuning with --no-tuning: leave one of them out");
      this.#said = "kernels chosen by rule";
      return undefined;
    }
    if (file !== undefined) {
      const text = readTuning(file);
      if (text === undefined) {
        throw new ConfigError(`Cannot use the tuning ${file}: there is no such file; make it with tune --out ${file}`);
      }
      this.#said = `kernels as tuned in ${file}`;
      return parseTuning(text, file);
    }
    const { path, tuning, ignored } = keptTuning(device);
    if (tuning) this.#said = `kernels as tuned in ${path}`;
    if (ignored) this.#said = `kernels chosen by rule. ${ignored}`;
    return tuning;
  }
}

/**
 * Keeps a tuning.
 *
 * @throws {CheckpointError} where it cannot be written; what was there before is untouched
 */
export function writeTuning(path: string, text: string): void {
  makeFolder(dirname(path));
  writeAtomic(path, text);
}
