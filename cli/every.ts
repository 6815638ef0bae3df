/**
 * How often a run is evaluated and saved: flags for it.
 *
 * @module
 */

import type { Every } from "../files.ts";
import { excerpt } from "../data.ts";
import { type Args, type Flag, group, UsageError } from "./flags.ts";

/** How often. */
export const EVERY_FLAGS: readonly Flag[] = group("Training", [
  {
    name: "eval-every",
    value: "N|Nm",
    alias: ["eval-interval", "eval-steps"],
    about: "evaluate after every N steps, or N minutes (default: ten times evenly, at most 1,000 steps apart)",
  },
  {
    name: "save-every",
    value: "N|Nm",
    alias: ["save-interval", "save-steps", "checkpoint-every"],
    about: "save after every N steps, or N minutes (default: each minute, and less often where that takes more than 2 % of the time)",
  },
]);

/** Seconds of the units that a flag may have. */
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/**
 * How often a flag says; undefined where it was not given.
 *
 * @throws {UsageError} where it says neither steps nor time
 */
export function everyFrom(args: Args, flag: "eval-every" | "save-every"): Every | undefined {
  const text = args.text(flag);
  if (text === undefined) return undefined;
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,6})?)([smh]?)$/.exec(text) ?? [], many = Number(number);
  if (unit && many > 0) return { seconds: many * UNITS[unit] };
  if (unit === "" && many >= 1 && Number.isInteger(many)) return { steps: many };
  throw new UsageError(
    `Cannot use --${flag}: it must be a whole number of steps, as 500, or a time, as 90s, 10m or 1h, found ${excerpt(text)}`,
  );
}
