/**
 * GPU times that can be compared with each other.
 *
 * @module
 */

import type { Executable } from "../../../ops/mod.ts";
import { type DispatchTime, profile } from "./profile.ts";

// GPU milliseconds of work in front of a measurement, how close two measurements in a row must be, and how many are tried.
const WARM = 150, CLOSE = 0.97, TRIES = 6;

const sum = (times: readonly DispatchTime[]) => times.reduce((total, { ms }) => total + ms, 0);

/**
 * A profile at the clock that lasting work has. A GPU that waited a second for its host runs at a fraction of its clock, and what is
 * measured then is several times too long: so work is queued in front of the measurement, until another one is no faster.
 *
 * @param budget GPU milliseconds that the repetitions should take together
 * @param least fewest repetitions
 * @param most most repetitions
 * @throws {BackendError} where the device has no timestamps
 */
export async function settledProfile(executable: Executable, budget: number, least = 3, most = 30): Promise<DispatchTime[]> {
  let best = await profile(executable), expected = sum(best);
  for (let tries = 0; tries < TRIES; tries++) {
    await executable.run(Math.ceil(WARM / expected));
    const times = await profile(executable, Math.max(least, Math.min(most, Math.ceil(budget / expected)))), found = sum(times);
    // The first expectation is one run after an idle time: nothing to compare with.
    const settled = tries > 0 && found > CLOSE * expected;
    if (found < expected || tries === 0) best = times;
    if (settled) break;
    expected = Math.min(expected, found);
  }
  return best;
}
