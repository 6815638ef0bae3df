/**
 * `verify`: does this device compute rightly?
 *
 * @module
 */

import { basename, join } from "node:path";
import { type GoldenCase, goldenCases, verifyAttention, verifyModel } from "../../device.ts";
import { TRAIN_FIELDS } from "../../files.ts";
import { DataError, type TrainConfig } from "../../mod.ts";
import { readFile, whyUnread } from "../disk.ts";
import { ENGINE_FLAGS, engineOf } from "../engine.ts";
import { type Command, group } from "../flags.ts";
import { Report } from "../report.ts";
import { colored } from "../terminal.ts";

const attention = (path: string): GoldenCase => ({
  name: basename(path),
  run: (engine, precision) => verifyAttention(engine, path, readFile(path), precision),
});

const model = (path: string): GoldenCase => ({
  name: basename(path),
  run(engine, precision) {
    const files = {
      config: new TextDecoder().decode(readFile(join(path, "config.json"))),
      model: readFile(join(path, "model.safetensors")),
      expected: readFile(join(path, "expected.safetensors")),
    };
    return verifyModel(engine, path, files, false, precision);
  },
});

/** Golden files below a path: a file, a model folder, or a folder of both. */
function casesAt(path: string): GoldenCase[] {
  let entries: Deno.DirEntry[];
  try {
    if (!Deno.statSync(path).isDirectory) return [attention(path)];
    entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
  } catch (error) {
    const found = error instanceof Deno.errors.NotFound ? "there is no such file or folder" : whyUnread(error);
    throw new DataError(`Cannot verify with ${path}: ${found}`, { cause: error });
  }
  if (entries.some(({ name }) => name === "expected.safetensors")) return [model(path)];
  const files = entries.filter(({ name, isFile }) => isFile && /^attention.*\.safetensors$/.test(name));
  const holds = (folder: string) => {
    try {
      return Deno.statSync(join(path, folder, "expected.safetensors")).isFile;
    } catch {
      return false;
    }
  };
  const folders = entries.filter(({ name, isDirectory }) => isDirectory && holds(name));
  if (files.length + folders.length === 0) {
    throw new DataError(`Cannot verify with ${path}: it holds no attention*.safetensors and no folder with expected.safetensors`);
  }
  return [...files.map(({ name }) => attention(join(path, name))), ...folders.map(({ name }) => model(join(path, name)))];
}

/** The command. */
export const verify: Command = {
  name: "verify",
  about: "compare this device's numbers with golden ones from an independent program",
  operands: { name: "DIR…", least: 0, most: Infinity },
  flags: [
    ...group("Numbers", [
      {
        name: "precision",
        value: "NAME",
        allowed: TRAIN_FIELDS.precision,
        about: "what activations are stored in: f32, or f16, of which less is asked (default: f32)",
      },
    ]),
    ...group("Output", [{ name: "json", about: "one JSON object per comparison on stdout, and one at the end" }]),
    ...ENGINE_FLAGS,
  ],
  examples: ["verify", "verify --backend webgpu --precision f16", "verify my-golden/ --backend wasm --json"],
  async execute(args) {
    const given = args.operands.flatMap(casesAt),
      report = new Report(args.on("json") ?? false, "comparing goes on, and the exit code tells"),
      { screen } = report;
    const { engine, why } = await engineOf(args), precision = args.text("precision") as TrainConfig["precision"] | undefined;
    const mark = (pass: boolean) => colored(Deno.stdout) ? pass ? "\x1b[32mpass\x1b[0m" : "\x1b[1;31mFAIL\x1b[0m" : pass ? "pass" : "FAIL";
    let count = 0, failed = 0, worst = 0;
    try {
      report.say(`${screen.bold(engine.name)}  ${engine.description}\n${screen.faint(why)}`);
      for await (const golden of args.operands.length ? given : goldenCases()) {
        report.say(`\n${screen.bold(golden.name)}`);
        for await (const { name, error, limit, pass } of golden.run(engine, precision)) {
          count++;
          if (!pass) failed++;
          if (limit > 0) worst = Math.max(worst, error / limit);
          report.event("compared", { case: golden.name, name, error, limit, pass });
          report.show(
            `  ${mark(pass)}  ${name.padEnd(36)} ${limit === 0 ? `${error} pairs differ` : `${error.toExponential(1)}  of ${limit}`}`,
          );
        }
      }
    } finally {
      engine.dispose();
    }
    report.event("end", { engine: engine.name, compared: count, failed, worst });
    report.say(
      `\n${count} numbers compared on ${engine.name}, ${failed} failed; the worst took ${
        (worst * 100).toPrecision(2)
      } % of what is allowed`,
    );
    return report.code(`${count} numbers compared, ${failed} failed`) || (failed > 0 ? 1 : 0);
  },
};
