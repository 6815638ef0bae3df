/**
 * How often a run is evaluated and saved: flags for it.
 *
 * @module
 */

import type { Every, TextForm } from "../files.ts";
import { type Args, type Flag, group } from "./flags.ts";

/** Steps, or seconds, minutes or hours. */
const EVERY: TextForm = {
  form: /^(?=.*[1-9])(\d{1,9}(\.0{1,6})?|\d{1,9}(\.\d{1,6})?[smh])$/,
  words: "a whole number of steps, as 500, or a time, as 90s, 10m or 1h",
};

/** How often. */
export const EVERY_FLAGS: readonly Flag[] = group("Training", [
  {
    name: "eval-every",
    value: "N|Nm",
    allowed: EVERY,
    alias: ["eval-interval", "eval-steps"],
    about: "evaluate after every N steps, or N minutes (default: ten times evenly, at most 1,000 steps apart)",
  },
  {
    name: "save-every",
    value: "N|Nm",
    allowed: EVERY,
    alias: ["save-interval", "save-steps", "checkpoint-every"],
    about: "save after every N steps, or N minutes (default: each minute, and less often where that takes more than 2 % of the time)",
  },
]);

/** Seconds of each unit. */
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** How often a flag says; undefined where it was not given. */
export function everyFrom(args: Args, flag: "eval-every" | "save-every"): Every | undefined {
  const text = args.text(flag);
  if (text === undefined) return undefined;
  const unit = UNITS[text.at(-1)!];
  return unit ? { seconds: Number(text.slice(0, -1)) * unit } : { steps: Number(text) };
}
