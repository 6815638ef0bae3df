/**
 * How often something is done while a run trains.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";

/** Every so many steps, or as soon as so many seconds are over. */
export type Every = { readonly steps: number } | { readonly seconds: number };

/** Most steps between two evaluations where nobody says how many: a long run is looked at more than ten times. */
const MOST_STEPS = 1000;

/** {@linkcode Every} of a run that is to be looked at so often, evenly, and of long runs more often. */
export function everyOf(steps: number, times: number): Every {
  return { steps: times < 1 ? steps : Math.min(Math.ceil(steps / times), MOST_STEPS) };
}

/** Counts steps and seconds. */
export class Cadence {
  #last = performance.now();

  /** Begins to count. */
  constructor(readonly every: Every) {
    expect("Cannot count", { every: [every, "an object"] });
    expect(
      "Cannot count",
      "steps" in every ? { steps: [every.steps, whole(1)] } : { seconds: [every.seconds, { above: 0 }] },
    );
  }

  /** Whether it is time after so many steps. */
  isDue(step: number): boolean {
    expect("Cannot count", { step: [step, whole(0)] });
    const { every } = this;
    return "steps" in every ? step % every.steps === 0 : performance.now() - this.#last >= every.seconds * 1000;
  }

  /** It was done. */
  done(): void {
    this.#last = performance.now();
  }
}
