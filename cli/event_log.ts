/**
 * Event files of a run, for TensorBoard: one for each time that it is trained, in its folder.
 *
 * @module
 */

import { join } from "node:path";
import type { Progress } from "../mod.ts";
import { eventFileHeader, eventFileName, type HistoryEntry, scalarEvent, sessionStart } from "../files.ts";
import { append } from "./disk.ts";

/** What TensorBoard calls what a run measures. */
const TAGS = { loss: "loss/train", heldOut: "loss/held out" } as const;

/** Seconds in the names of a folder's event files. */
function begun(path: string): number[] {
  const found = Array.from(Deno.readDirSync(path), ({ name }) => /^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1]);
  return found.filter((seconds) => seconds !== undefined).map(Number);
}

/** Whether a run's folder has event files. */
export const hasEvents = (path: string): boolean => begun(path).length > 0;

/** Writes what a run reports to an event file. */
export class EventLog {
  readonly #file: string;
  #last = -1;

  /**
   * Begins a file after those that are there. Without any, the curve so far is its beginning.
   *
   * @param path the run's folder
   * @param step updates done
   * @throws {CheckpointError} where it cannot be written
   */
  constructor(path: string, step: number, history: readonly HistoryEntry[]) {
    const now = Date.now() / 1000, before = begun(path);
    // TensorBoard reads files in the order of their names.
    this.#file = join(path, eventFileName(Math.max(now, ...before.map((seconds) => seconds + 1)), "longstride"));
    append(this.#file, eventFileHeader(now));
    if (before.length > 0) append(this.#file, sessionStart(now, step + 1));
    else {
      const end = history.at(-1)?.ms ?? 0;
      for (const { step, loss, heldOut, ms = 0 } of history) this.#add(now - (end - ms) / 1000, step, { loss, heldOut });
    }
  }

  /** Adds a report, its losses in bits per byte. */
  report({ step, loss, heldOut, lr, gradNorm, tokensPerSecond, skipped, scored }: Progress): void {
    // While all that is held out is scored nothing else is new. A stop, and its end, may report the step of the report before once more.
    if (scored !== undefined) return;
    if (step === this.#last) {
      if (heldOut !== undefined) this.#add(Date.now() / 1000, step, { heldOut });
      return;
    }
    this.#add(Date.now() / 1000, step, { loss, heldOut }, {
      "update/learning rate": lr,
      "update/gradient norm": gradNorm,
      "update/skipped steps": skipped,
      "speed/tokens per second": tokensPerSecond,
    });
  }

  #add(
    seconds: number,
    step: number,
    losses: Partial<Record<keyof typeof TAGS, number>>,
    others: Readonly<Record<string, number>> = {},
  ): void {
    const values: Record<string, number> = { ...others };
    for (const [name, tag] of Object.entries(TAGS)) {
      const value = losses[name as keyof typeof TAGS];
      if (value !== undefined) values[tag] = value;
    }
    append(this.#file, scalarEvent(seconds, step, values));
    this.#last = step;
  }
}
