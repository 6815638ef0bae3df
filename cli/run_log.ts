/**
 * `log.csv`: everything that a run measured, a line per report.
 *
 * @module
 */

import { join } from "node:path";
import type { Progress } from "../mod.ts";
import { append, readIfThere, writeAtomic } from "./disk.ts";

/** The file in a run folder. */
export const LOG_FILE = "log.csv";

const COLUMNS = [
  ...["step", "epoch", "phase", "seconds", "loss", "held_out", "lr", "grad_norm", "skipped", "loss_scale", "tokens_per_second", "time"],
];

/** Numbers at six digits, empty where there is none. */
const number = (value: number | undefined) => value === undefined || !Number.isFinite(value) ? "" : String(Number(value.toPrecision(6)));

/** Writes what a run reports at the end of its file: each line at once, so that of a process that is killed at most one is not whole. */
export class RunLog {
  readonly #file: string;
  #isNew: boolean;
  #last = -1;

  /**
   * Begins the file, or goes on with it: lines of steps that were never saved, and one that is not whole, are taken away.
   *
   * @param path the run's folder
   * @param step updates done
   * @throws {CheckpointError} where it cannot be written
   */
  constructor(path: string, step: number) {
    this.#file = join(path, LOG_FILE);
    const bytes = step > 0 ? readIfThere(this.#file) : undefined, text = bytes && new TextDecoder().decode(bytes);
    this.#isNew = !text;
    if (!text) return;
    const whole = text.slice(0, text.lastIndexOf("\n") + 1), lines = whole.split("\n").slice(0, -1);
    const kept = lines.filter((line, at) => at === 0 || Number(line.slice(0, line.indexOf(","))) <= step).map((line) => line + "\n").join(
      "",
    );
    if (kept !== text) writeAtomic(this.#file, kept);
  }

  /**
   * Adds a report, its losses in bits per byte.
   *
   * @param epoch passes over the data so far
   * @param seconds since the run began, pauses not counted
   */
  report(progress: Progress, epoch: number, seconds: number): void {
    const { step, phase: { index }, loss, heldOut, lr, gradNorm, skipped, lossScale, tokensPerSecond, scored } = progress;
    // What measures nothing anew: a stop, and the whole evaluation under way.
    if (scored !== undefined || step === this.#last && heldOut === undefined) return;
    const rate = step === this.#last ? undefined : Math.round(tokensPerSecond);
    const row = [
      ...[String(step), number(epoch), String(index + 1), seconds.toFixed(1), number(loss), number(heldOut), number(lr), number(gradNorm)],
      ...[String(skipped), number(lossScale), number(rate), new Date().toISOString()],
    ];
    append(this.#file, `${this.#isNew ? COLUMNS.join(",") + "\n" : ""}${row.join(",")}\n`);
    this.#isNew = false;
    this.#last = step;
  }
}
