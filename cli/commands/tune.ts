/**
 * `tune`: which kernel variants are the fastest on this device, for a model's shapes.
 *
 * @module
 */

import { BackendError, type BackendName, ConfigError, pickBackend, preset, PRESETS } from "../../mod.ts";
import {
  type Choice,
  formatTuning,
  isOutdated,
  mergeTunings,
  nameOfWork,
  parseTuning,
  type Problem,
  trainingWorks,
  type Trial,
  tune as measure,
  type TuneWork,
  type Tuning,
} from "../../device.ts";
import { readConfig } from "../common.ts";
import type { Command } from "../flags.ts";
import { program, quote } from "../program.ts";
import { Report } from "../report.ts";
import { duration } from "../terminal.ts";
import { keptTuning, readTuning, tuningPath, writeTuning } from "../tuning.ts";

const PRECISIONS: Readonly<Record<string, readonly ("f32" | "f16")[]>> = { f32: ["f32"], f16: ["f16"], both: ["f32", "f16"] };

/** Without the words that all kernels of a work share. */
const short = (kernel: string) => kernel.replace(/^attention_(backward_)?|^linear_(?=.)/, "");

function describe({ variant }: Trial): string {
  if (!variant) return "by rule";
  const { BITS, KEEP, ...constants } = variant;
  const named = Object.entries(constants).filter(([, value]) => value !== 0).map(([name, value]) => `${name}${value}`);
  return [...named, ...KEEP ? ["keeping ds"] : [], ...BITS ? ["in order"] : []].join(" ");
}

function line(trial: Trial, seconds: number): string {
  const { measured, failures, at, of } = trial,
    times = measured.map(({ kernel, ms }) => `${short(kernel)} ${ms.toPrecision(3)}`).join("  ");
  const left = duration(seconds / at * (of - at));
  return `  ${describe(trial).padEnd(52)} ${times}${
    failures.length ? `  failed: ${failures.join("; ")}` : ""
  }  (${at}/${of}, ${left} left)`;
}

/** Tunings that a file holds, where it is there, is of this device and of this version. */
function before(out: string | undefined, device: string): Tuning | undefined {
  if (out === undefined) return keptTuning(device).tuning;
  const text = readTuning(out), tuning = text === undefined || isOutdated(text) ? undefined : parseTuning(text, out);
  if (tuning && tuning.device !== device) {
    throw new ConfigError(`Cannot add to ${out}: it was measured on ${tuning.device}; give another --out`);
  }
  return tuning;
}

/** The command. */
export const tune: Command = {
  name: "tune",
  about: "measure kernel variants on this GPU for a model's shapes, and remember the fastest",
  flags: [
    { name: "preset", value: "NAME", kind: Object.keys(PRESETS), about: "whose shapes to measure (default: text)" },
    { name: "config", value: "FILE", about: "the model of a config.json instead of a preset's" },
    { name: "batch", value: "N", kind: "whole", low: 1, high: 65536, about: "sequences a micro-batch (default: the preset's, or 1)" },
    {
      name: "precision",
      value: "NAME",
      kind: Object.keys(PRECISIONS),
      about: "storage of activations to measure: f32, f16 or both (default: both)",
    },
    { name: "seconds", value: "N", kind: "number", low: 0, about: "stop measuring after so long, and keep what was found" },
    { name: "out", value: "FILE", about: "keep it there, for --tuning FILE (default: a file of this user for this device)" },
    { name: "json", about: "one JSON object a variant on stdout, and one at the end" },
  ],
  examples: ["tune", "tune --preset enwik8", "tune --config runs/my-run/config.json --precision f32 --seconds 120"],
  async run(args) {
    if (args.given(["preset", "config"]).length === 2) throw new ConfigError("Cannot use --preset with --config: leave one of them out");
    const file = args.text("config"), chosen = file === undefined ? preset(args.text("preset") ?? "text") : undefined;
    const model = chosen?.model ?? readConfig(file!), batch = args.number("batch") ?? chosen?.train.batch ?? 1;
    const works: TuneWork[] = PRECISIONS[args.text("precision") ?? "both"].flatMap((precision) =>
      trainingWorks(model, { batch, precision })
    );
    const report = new Report(args.on("json") ?? false, "measuring goes on"), { screen } = report, out = args.text("out");
    const { engine } = await pickBackend("webgpu" satisfies BackendName);
    try {
      const { description: device } = engine, path = out ?? tuningPath(device);
      if (!engine.timestamps) throw new BackendError(`Cannot tune: ${device} has no timestamp-query, which times are measured with`);
      // What is kept for the device is used by every command; a file is used where it is asked for.
      if (engine.isSoftware && out === undefined) {
        throw new BackendError(
          `Cannot tune: ${device} is no GPU, and what is fast on it says nothing about one; to measure it all the same, give a file with --out`,
        );
      }
      if (!path) throw new ConfigError("Cannot keep the tuning: the system names no folder for it; give a file with --out");
      const known = before(out, device), begun = performance.now(), seconds = () => (performance.now() - begun) / 1000;
      report.event("start", { device, works: works.map(nameOfWork), out: path });
      report.say(`${screen.faint("Engine".padEnd(8))}${device}`);
      report.say(`${screen.faint("Model".padEnd(8))}${file ?? args.text("preset") ?? "text"}, batch ${batch}; times in milliseconds`);
      const problem = ({ kind, sizes }: Problem) => `${kind} ${sizes}`;
      let name = "";
      const rule = new Map<string, Choice>();
      const found = await measure(engine, works, {
        seconds: args.number("seconds"),
        report(trial) {
          if (trial.work !== name) report.say(`\n${screen.bold(name = trial.work)}`);
          if (!trial.variant) { for (const one of trial.measured) rule.set(`${one.kernel} ${problem(one)}`, one); }
          report.say(line(trial, seconds()));
          report.event("trial", { ...trial, seconds: seconds() });
        },
      });
      const tuning = mergeTunings(known, found);
      writeTuning(path, formatTuning(tuning));
      let sum = 0, ruled = 0;
      const measured = new Set(found.choices.map(problem));
      for (const one of rule.values()) if (measured.has(problem(one))) ruled += one.ms;
      const instead = new Map(
        found.choices.filter(({ kernel }) => kernel === "attention_backward_dkv")
          .map((one) => [problem(one), one.variant.KEEP ? /_d[qkv]$/ : /_d[kv]$/]),
      );
      for (const one of found.choices) {
        // Where dk and dv, or dq with them, are made by one kernel, those of each alone are not run.
        if (!instead.get(problem(one))?.test(one.kernel)) sum += one.ms;
      }
      report.event("end", { out: path, choices: found.choices, ms: sum, byRule: ruled, seconds: seconds() });
      report.say(
        `\nThe fastest of each take ${sum.toPrecision(3)} ms together, those chosen by rule ${ruled.toPrecision(3)}; found in ${
          duration(seconds())
        }.`,
      );
      report.say(
        out === undefined
          ? `Kept in ${path}: commands on this device use it from now on, unless given --no-tuning.`
          : `Kept in ${path}. To use it:\n\n  ${program()} train --tuning ${quote(path)}\n`,
      );
    } finally {
      engine.dispose();
    }
    return report.code(`The tuning is in ${out ?? tuningPath(engine.description)}`);
  },
};
