/**
 * `compress` and `decompress`: a file as what a model does not know of it, and back to the last byte.
 *
 * @module
 */

import { basename, dirname, extname, join } from "node:path";
import {
  compress as compressData,
  COMPRESS_FIELDS,
  type CompressedHeader,
  compressedHeader,
  type CompressProgress,
  decompress as decompressData,
  type OpenedModel,
  openModel,
} from "../../mod.ts";
import { checkNext } from "../../files.ts";
import { gzipBits } from "../dataset.ts";
import { checkWritable, isThere, readFile, writeAtomic } from "../disk.ts";
import { ENGINE_FLAGS, engineOptions } from "../engine.ts";
import { type Args, asUsage, type Command, type Flag, group, UsageError } from "../flags.ts";
import { compact, duration, percent, thousands } from "../format.ts";
import { describeModel, type NamedModel, readModel } from "../model.ts";
import { Report } from "../report.ts";

/** What compressed files' names end with. */
const ENDING = ".lsc";

/** Flags of both. */
const FLAGS: readonly Flag[] = [
  ...group("Model", [{ name: "model", value: "RUN", about: "the model: a run's folder, or the address of a model's" }]),
  ...group("Output", [
    { name: "out", value: "FILE", about: `where to (default: FILE${ENDING}, of decompress FILE without that ending)` },
    { name: "json", about: "one JSON object per line on stdout; the last has the sizes" },
  ]),
  ...ENGINE_FLAGS,
];

/**
 * @throws {UsageError} where no model is named
 * @throws {ConfigError} where it does not predict next tokens
 */
async function modelOf(args: Args, what: string): Promise<NamedModel> {
  const name = args.text("model");
  if (name === undefined) throw new UsageError(`Cannot ${what}: give the model, --model RUN`);
  const named = await readModel(name);
  checkNext(named.model.config, what);
  return named;
}

/** What stands at a path, links followed; undefined where they lead to nothing. */
function standing(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Where the output is written whole and renamed: of a link what it points to.
 *
 * @throws {UsageError} where it would be in the place of another file that is not to be lost, or of what is no file
 */
function outOf(args: Args, file: string, usual: string): string {
  const given = args.text("out"), out = given ?? usual;
  if (!isThere(out)) return checkWritable(out), out;
  if (given === undefined) throw new UsageError(`Cannot write ${out}: it is there already; give --out FILE, or remove it`);
  const found = standing(out);
  if (!found?.isFile) {
    const is = !found
      ? "a link to nothing"
      : found.isDirectory
      ? "a folder"
      : "a pipe or a device, and what is written must be whole first";
    throw new UsageError(`Cannot write ${out}: it is ${is}; give --out the name of a file`);
  }
  const real = Deno.realPathSync(out);
  if (real === Deno.realPathSync(file)) throw new UsageError(`Cannot write ${out}: it is the file that is read; give another --out`);
  checkWritable(out);
  return Deno.lstatSync(out).isSymlink ? real : out;
}

/** First bytes of files whose tokens are not their bytes. */
const CONTAINERS: readonly [name: string, begins: string][] = [["PNG", "\x89PNG"], ["WAV", "RIFF"], ["gzip", "\x1f\x8b"], ["zip", "PK"]];

/** Refuses pictures and sounds whose bytes are not those that a model of pictures or sounds knows. */
function checkContent({ state, name, model: { config: { position } } }: NamedModel, file: string, data: Uint8Array): void {
  const isPictured = position.kind === "data" && position.shape.length === 3;
  const kind = state?.data.source?.kind ?? (isPictured ? "image" : undefined), first = String.fromCharCode(...data.subarray(0, 4));
  const container = CONTAINERS.find(([, begins]) => first.startsWith(begins))?.[0];
  if (!container || (kind !== "image" && kind !== "audio")) return;
  throw new UsageError(
    `Cannot compress ${file} with ${name}: it is a ${container} file, and the model knows ${
      kind === "image" ? "rows of pixels" : "codes of sound"
    }, a byte each; give the raw bytes`,
  );
}

/** Opens the model and does something with it. */
async function using<T>(args: Args, report: Report, named: NamedModel, header: CompressedHeader | undefined, use: Use<T>): Promise<T> {
  const { options, tuned } = engineOptions(args);
  const model = await openModel(named.model, { ...options, backend: options.backend ?? header?.engine });
  try {
    const why = args.text("backend") === undefined && header ? "the file was made on it" : tuned.why(model);
    report.fact("Model", describeModel(model.config));
    report.fact("Engine", `${model.engine.name}: ${model.engine.description} (${why})`);
    return await use(model);
  } finally {
    report.screen.clear();
    model.dispose();
  }
}

type Use<T> = (model: OpenedModel) => Promise<T>;

/** Tells how far it is, about as often as there is something to see. */
function teller(report: Report): (progress: CompressProgress) => void {
  const isTime = report.pace();
  return (progress) => {
    const { tokens, of, tokensPerSecond, secondsLeft, bits } = progress;
    if (!isTime()) return;
    report.event("progress", { ...progress });
    report.progress([
      { text: percent(tokens / of) },
      ...bits > 0 ? [{ text: `${bits.toFixed(3)} bits/token so far`, short: `${bits.toFixed(3)} so far` }] : [],
      { text: `${thousands(tokensPerSecond)} tokens/s`, short: `${compact(tokensPerSecond)}/s` },
      { text: `${duration(secondsLeft)} left` },
    ]);
  };
}

/** The command. */
export const compress: Command = {
  name: "compress",
  about: "compress a file to the bits that a trained model needs for it",
  operands: { name: "FILE", least: 1, most: 1 },
  flags: [
    ...group("Compression", [
      {
        name: "min-context",
        value: "N",
        allowed: COMPRESS_FIELDS.minContext,
        about: "tokens that each token has before it, as in evaluate: smaller files, one window at a time (default: 0)",
      },
      {
        name: "batch",
        value: "B",
        allowed: COMPRESS_FIELDS.batch,
        about: "windows of n_ctx tokens side by side, at most (default: 32)",
      },
    ]),
    ...FLAGS,
  ],
  examples: [
    "compress notes.txt --model runs/my-run",
    "compress notes.txt --model runs/my-run --min-context 256 --out notes.lsc",
    "decompress notes.txt.lsc --model runs/my-run",
  ],
  async execute(args) {
    const report = new Report(args.on("json") ?? false), [path] = args.operands, data = readFile(path);
    const named = await modelOf(args, "compress"), out = outOf(args, path, path + ENDING);
    checkContent(named, path, data);
    return await using(args, report, named, undefined, async (model) => {
      const { engine } = model, begun = performance.now();
      report.event("start", { file: path, model: named.name, bytes: data.length, engine: engine.name, device: engine.description });
      const options = { minContext: args.number("min-context"), batch: args.number("batch"), onProgress: teller(report) };
      const { file, header, tokens, bits } = await compressData(model, data, options).catch((error) => {
        throw asUsage(error);
      });
      writeAtomic(out, file);
      const seconds = (performance.now() - begun) / 1000, share = data.length ? percent(file.length / data.length) : "—";
      report.event("end", { file: out, bytes: file.length, of: data.length, header, tokens, modelBits: bits, seconds });
      report.screen.clear();
      report.say(
        `${out}: ${thousands(file.length)} bytes, ${share} of ${thousands(data.length)}, in ${duration(seconds)}` +
          (data.length ? `; gzip −9 makes ${thousands(Math.ceil(gzipBits(data) * data.length / 8))}` : ""),
      );
      report.say(`The model's bits are ${thousands(Math.ceil(bits / 8))} bytes, the header is ${header}.`);
      return 0;
    });
  },
};

/** The command. */
export const decompress: Command = {
  name: "decompress",
  about: "what compress was given, to the last byte: with the same model, on the same engine",
  operands: { name: "FILE", least: 1, most: 1 },
  flags: FLAGS,
  examples: ["decompress notes.txt.lsc --model runs/my-run", "decompress notes.lsc --model runs/my-run --out notes.txt"],
  async execute(args) {
    const report = new Report(args.on("json") ?? false), [path] = args.operands, file = readFile(path), header = compressedHeader(file);
    if (args.text("out") === undefined && extname(path) !== ENDING) {
      throw new UsageError(`Cannot decompress ${path}: its name does not end with ${ENDING}, so give --out FILE`);
    }
    const named = await modelOf(args, "decompress"), out = outOf(args, path, join(dirname(path), basename(path, ENDING)));
    return await using(args, report, named, header, async (model) => {
      const begun = performance.now();
      report.event("start", { file: path, ...header, model: named.name, device: model.engine.description });
      const data = await decompressData(model, file, { onProgress: teller(report) });
      writeAtomic(out, data);
      const seconds = (performance.now() - begun) / 1000;
      report.event("end", { file: out, bytes: data.length, of: file.length, tokens: header.tokens, seconds });
      report.screen.clear();
      report.say(`${out}: ${thousands(data.length)} bytes of ${thousands(file.length)}, in ${duration(seconds)}`);
      return 0;
    });
  },
};
