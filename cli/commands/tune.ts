/**
 * `tune`: which kernel variants are the fastest on this device, for a model's shapes.
 *
 * @module
 */

import { BackendError, ConfigError, pickBackend, preset, PRESETS } from "../../mod.ts";
import {
  formatTuning,
  isOutdated,
  mergeTunings,
  nameOfWork,
  parseTuning,
  type Problem,
  trainingWorks,
  type Trial,
  tune as measure,
  type TunedVariant,
  type TuneWork,
  type Tuning,
  type WebGpuEngine,
} from "../../device.ts";
import { TRAIN_FIELDS } from "../../files.ts";
import { GPU_FLAG, gpuOptions } from "../engine.ts";
import { type Args, type Command, group, UsageError } from "../flags.ts";
import { duration } from "../format.ts";
import { readConfig } from "../model.ts";
import { program, quote } from "../program.ts";
import { Report } from "../report.ts";
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
  return `${describe(trial).padEnd(52)} ${times}${failures.length ? `  failed: ${failures.join("; ")}` : ""}  (${at}/${of}, ${left} left)`;
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

/** Whose shapes are measured. */
interface Asked {
  /** The preset or the file. */
  readonly name: string;
  readonly batch: number;
  readonly works: readonly TuneWork[];
}

/**
 * The works that the flags ask for.
 *
 * @throws {UsageError} where flags contradict each other
 */
function askedOf(args: Args): Asked {
  if (args.given(["preset", "config"]).length === 2) throw new UsageError("Cannot use --preset with --config: leave one of them out");
  const file = args.text("config"), name = args.text("preset") ?? "text", chosen = file === undefined ? preset(name) : undefined;
  const model = chosen?.model ?? readConfig(file!), batch = args.number("batch") ?? chosen?.train.batch ?? 1;
  const precisions = PRECISIONS[args.text("precision") ?? "both"];
  return { name: file ?? name, batch, works: precisions.flatMap((precision) => trainingWorks(model, { batch, precision })) };
}

/**
 * Where what is found goes.
 *
 * @throws {BackendError} where the device cannot be tuned
 * @throws {ConfigError} where there is no place for it
 */
function placeOf({ description: device, timestamps, isSoftware }: WebGpuEngine, out: string | undefined): string {
  const path = out ?? tuningPath(device);
  if (!timestamps) throw new BackendError(`Cannot tune: ${device} has no timestamp-query, which times are measured with`);
  // What is kept for the device is used by every command; a file is used where it is asked for.
  if (isSoftware && out === undefined) {
    throw new BackendError(
      `Cannot tune: ${device} is no GPU, and what is fast on it says nothing about one; to measure it all the same, give a file with --out`,
    );
  }
  if (!path) throw new ConfigError("Cannot keep the tuning: the system names no folder for it; give a file with --out");
  return path;
}

const problemOf = ({ kind, sizes }: Problem) => `${kind} ${sizes}`;

/** Milliseconds that the fastest kernels of each problem take together, and those that rules choose. */
function compare(found: readonly TunedVariant[], byRule: Iterable<TunedVariant>): { ms: number; byRule: number } {
  const measured = new Set(found.map(problemOf));
  // Where dk and dv, or dq with them, are made by one kernel, those of each alone are not run.
  const instead = new Map(
    found.filter(({ kernel }) => kernel === "attention_backward_dkv")
      .map((one) => [problemOf(one), one.variant.KEEP ? /_d[qkv]$/ : /_d[kv]$/]),
  );
  const sum = (choices: Iterable<TunedVariant>) => [...choices].reduce((total, { ms }) => total + ms, 0);
  return {
    ms: sum(found.filter((one) => !instead.get(problemOf(one))?.test(one.kernel))),
    byRule: sum([...byRule].filter((one) => measured.has(problemOf(one)))),
  };
}

/** The command. */
export const tune: Command = {
  name: "tune",
  about: "measure kernel variants on this GPU for a model's shapes, and remember the fastest",
  flags: [
    ...group("Model", [
      { name: "preset", value: "NAME", allowed: { oneOf: Object.keys(PRESETS) }, about: "whose shapes to measure (default: text)" },
      { name: "config", value: "FILE", about: "the model of a config.json instead of a preset's" },
    ]),
    ...group("Measuring", [
      { name: "batch", value: "N", allowed: TRAIN_FIELDS.batch, about: "sequences per micro-batch (default: the preset's, or 1)" },
      {
        name: "precision",
        value: "NAME",
        allowed: { oneOf: Object.keys(PRECISIONS) },
        about: "storage of activations to measure: f32, f16 or both (default: both)",
      },
      { name: "seconds", value: "N", allowed: { from: 0 }, about: "stop measuring after so long, and keep what was found" },
    ]),
    ...group("Device", [GPU_FLAG]),
    ...group("Output", [
      { name: "out", value: "FILE", about: "keep it there, for --tuning FILE (default: a file of this user for this device)" },
      { name: "json", about: "one JSON object per variant on stdout, and one at the end" },
    ]),
  ],
  examples: ["tune", "tune --preset enwik8", "tune --config runs/my-run/config.json --precision f32 --seconds 120"],
  async execute(args) {
    const { name, batch, works } = askedOf(args), report = new Report(args.on("json") ?? false, "measuring goes on"), { screen } = report;
    const out = args.text("out"), { engine } = await pickBackend("webgpu", gpuOptions(args));
    try {
      const path = placeOf(engine, out), { description: device } = engine, known = before(out, device), begun = performance.now();
      const seconds = () => (performance.now() - begun) / 1000, byRule = new Map<string, TunedVariant>();
      report.event("start", { device, works: works.map(nameOfWork), out: path });
      report.fact("Engine", device);
      report.fact("Model", `${name}, batch ${batch}; times in milliseconds`);
      let work = "";
      const found = await measure(engine, works, {
        seconds: args.number("seconds"),
        report(trial) {
          if (trial.work !== work) report.say(`\n${screen.bold(work = trial.work)}`);
          if (!trial.variant) { for (const one of trial.measured) byRule.set(`${one.kernel} ${problemOf(one)}`, one); }
          report.say(line(trial, seconds()), "  ");
          report.event("trial", { ...trial, seconds: seconds() });
        },
      });
      writeTuning(path, formatTuning(mergeTunings(known, found)));
      const sums = compare(found.choices, byRule.values()), together = `those chosen by rule ${sums.byRule.toPrecision(3)}`;
      report.event("end", { out: path, choices: found.choices, ...sums, seconds: seconds() });
      report.say(`\nThe fastest of each take ${sums.ms.toPrecision(3)} ms together, ${together}; found in ${duration(seconds())}.`);
      report.say(
        out === undefined
          ? `Kept in ${path}: commands on this device use it from now on, unless given --no-tuning.`
          : `Kept in ${path}. To use it:\n\n  ${program()} train ${args.text("gpu") ? `--gpu ${args.text("gpu")} ` : ""}--tuning ${
            quote(path)
          }\n`,
      );
    } finally {
      engine.dispose();
    }
    return report.code(`The tuning is in ${out ?? tuningPath(engine.description)}`);
  },
};
