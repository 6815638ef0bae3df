/**
 * When a run is saved: as often as was asked for, or by what a save takes.
 *
 * @module
 */

import { Cadence, type Every } from "../files.ts";
import { duration } from "./format.ts";

/** Seconds between saves that cost little. */
const USUAL = 60;
/** A save is waited for this many times as long as it takes: 2 % of the time. */
const TIMES = 50;

/** Decides when to save, and tells what that takes. */
export class SavePlan {
  readonly #asked: Cadence | undefined;
  #at = performance.now();
  /** Seconds that the last save took. */
  #cost = 0;
  #told = USUAL;

  /** @param every what was asked for; otherwise as its cost allows */
  constructor(every?: Every) {
    this.#asked = every && new Cadence(every);
  }

  /** Seconds between saves, where none were asked for. */
  get #interval(): number {
    return Math.max(USUAL, TIMES * this.#cost);
  }

  /**
   * Whether to save.
   *
   * @param evaluated whether the model was just evaluated: the best time to save, where the cost allows it
   */
  isDue(step: number, evaluated: boolean): boolean {
    const since = (performance.now() - this.#at) / 1000;
    return this.#asked?.isDue(step) ?? since >= (evaluated ? TIMES * this.#cost : this.#interval);
  }

  /**
   * A save was made.
   *
   * @param seconds it took
   * @returns what there is to say of it, where that is news
   */
  took(seconds: number): string | undefined {
    const since = (performance.now() - this.#at) / 1000, share = seconds / Math.max(since, 1e-9);
    this.#cost = seconds;
    this.#at = performance.now();
    this.#asked?.done();
    if (this.#asked) {
      if (share <= 1 / TIMES || seconds < 1 || this.#told !== USUAL) return undefined;
      this.#told = 0;
      return `A save takes ${seconds.toFixed(1)} s, ${Math.round(share * 100)} % of the time at this interval.`;
    }
    const interval = this.#interval;
    if (interval <= this.#told * 1.5 && interval >= this.#told / 1.5) return undefined;
    this.#told = interval;
    return `A save takes ${seconds.toFixed(1)} s: the next is after ${duration(interval)}, so that saving takes at most 2 % of the time.`;
  }
}
