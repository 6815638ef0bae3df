/**
 * `export`: a trained model as a folder for pages and other programs.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Model } from "../../mod.ts";
import {
  CONFIG_FILE,
  formatConfig,
  formatGenerationConfig,
  GENERATION_FILE,
  MODEL_FILE,
  modelChunks,
  objectiveOf,
  type SavedWeights,
  statesIn,
  TOKENIZER_FILE,
} from "../../files.ts";
import { makeFolder, writeAtomic } from "../disk.ts";
import { type Command, group, UsageError } from "../flags.ts";
import { bytes } from "../format.ts";
import { readModel } from "../model.ts";
import { Report } from "../report.ts";

/** What the weights may become, by the words for it. */
const TYPES: Readonly<Record<string, SavedWeights>> = { int8: "I8", f16: "F16", f32: "F32" };

/** What the page's element checks by `integrity`. */
const CHECKED: readonly string[] = [CONFIG_FILE, MODEL_FILE];

/**
 * Looks whether a folder may be written to.
 *
 * @throws {UsageError} where it is a run's, which could not go on with other weights
 */
function checkPlace(out: string): void {
  let names: string[] = [];
  try {
    names = [...Deno.readDirSync(out)].map(({ name }) => name);
  } catch {
    // Not there yet, or making it will say why not.
  }
  if (statesIn(names).length === 0) return;
  throw new UsageError(`Cannot export into ${out}: it is a run, whose weights would be replaced; give --out another folder`);
}

/** The files of a model folder. */
function* filesOf(model: Model, type: SavedWeights): Generator<[string, Iterable<Uint8Array>]> {
  const utf8 = (text: string) => [new TextEncoder().encode(text)], { config, tokenizer, generation } = model;
  // What cannot be converted is said before anything is written.
  yield [MODEL_FILE, modelChunks(model, type)];
  yield [CONFIG_FILE, utf8(formatConfig(config))];
  if (tokenizer) yield [TOKENIZER_FILE, utf8(tokenizer.toJson())];
  if (generation) yield [GENERATION_FILE, utf8(formatGenerationConfig(generation))];
}

/** The command. */
export const exporting: Command = {
  name: "export",
  about: "a trained model as a folder for pages and other programs, its weights in int8 (a quarter), f16 (half) or f32",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    ...group("Output", [
      { name: "out", value: "FOLDER", about: "where to (needed): config.json, model.safetensors, and tokenizer.json where there is one" },
      {
        name: "weights",
        value: "TYPE",
        allowed: { oneOf: Object.keys(TYPES) },
        about: "int8, matrices alone, with a scale per row; f16; f32 (default: int8). From f32 alone training goes on",
      },
      { name: "json", about: "one JSON object per file on stdout" },
    ]),
  ],
  examples: ["export runs/my-run --out site/model", "export runs/my-run --out site/model --weights f16"],
  async execute(args) {
    const [run] = args.operands, out = args.text("out"), report = new Report(args.on("json") ?? false);
    if (out === undefined) throw new UsageError("Cannot export: --out FOLDER says where to");
    const { model } = await readModel(run);
    checkPlace(out);
    makeFolder(out);
    const digests: string[] = [];
    for (const [name, chunks] of filesOf(model, TYPES[args.text("weights") ?? "int8"])) {
      const parts = [...chunks], hash = createHash("sha256");
      for (const part of parts) hash.update(part);
      const count = parts.reduce((sum, { length }) => sum + length, 0), integrity = `sha256-${hash.digest("base64")}`;
      writeAtomic(join(out, name), parts);
      report.event("written", { file: name, bytes: count, integrity });
      report.say(`${name.padEnd(22)} ${bytes(count)}`);
      if (CHECKED.includes(name)) digests.push(`${name}:${integrity}`);
    }
    if (objectiveOf(model.config) !== "next") {
      report.say("\nopenEncoder reads it: it says no next tokens, so that pages write nothing with it.");
    } else {
      report.say("\nFor a page:");
      report.show(`<longstride-sample src="${out}" integrity="${digests.join(" ")}"></longstride-sample>`);
    }
    return 0;
  },
};
