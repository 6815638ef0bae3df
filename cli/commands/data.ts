/**
 * `data inspect`: what a file is, how long in tokens, how well simple codes do on it, and what it looks like.
 *
 * @module
 */

import { basename, join, relative, resolve } from "node:path";
import { ConfigError, DataError } from "../../mod.ts";
import {
  type DataFile,
  type DataIdentity,
  type Dataset,
  type DatasetOptions,
  type DataSource,
  encodePng,
  entropyOf,
  excerpt,
  histogram,
  identify,
  type ImageShape,
  isHidden,
  loadDataset,
  type Sliceable,
  visible,
} from "../../data.ts";
import type { RunState } from "../../files.ts";
import { contactSheet, waveformImage, waveformSvg } from "../../pictures.ts";
import { writeOut } from "../common.ts";
import { defaultText, FACTBOOK, gzipBits, loadTrained, type Trained } from "../files.ts";
import { type Args, type Command, type Flag, UsageError } from "../flags.ts";
import { colored, drawImage, percent, Screen, soundLength, whole, write } from "../terminal.ts";

/** gzip works on at most this many bytes: it takes about 5 s for them. */
const GZIP_LIMIT = 2 ** 25;

/** How raw files are to be read. */
export const READ_FLAGS: readonly Flag[] = [
  { name: "shape", value: "HxWxC", about: "raw bytes are rows of images of this height, width and channels, as 64x64x3" },
  { name: "codes", value: "NAME", kind: ["mulaw", "g711"], about: "raw bytes are codes of sound: mulaw, in order of amplitude, or g711" },
  { name: "as", value: "bytes", kind: ["bytes"], about: "take files as bytes, whatever they are: nothing is unpacked or decoded" },
  { name: "rate", value: "HZ", kind: "whole", low: 1000, high: 384000, about: "samples a second of sound (default: 12000)" },
];

/** How raw files are to be read, and what of them is held out. */
export const DATA_FLAGS: readonly Flag[] = [
  ...READ_FLAGS,
  {
    name: "held-out",
    value: "N",
    kind: "whole",
    low: 1,
    about: "images or bytes at the end to evaluate on (default: a 25th of images; a 20th of bytes, at most 200,000)",
  },
];

/**
 * What {@linkcode DATA_FLAGS} say.
 *
 * @param before how a run's data was read: what flags leave open
 * @throws {UsageError} where the shape cannot be understood
 */
export function dataOptions(args: Args, before?: DataSource): DatasetOptions {
  const text = args.text("shape"), parts = text?.split(/[x×,]/).map(Number);
  if (parts && !(parts.length === 3 && parts.every((size) => Number.isInteger(size) && size >= 1))) {
    throw new UsageError(`Cannot use --shape ${excerpt(text!)}: it must be height, width and channels, as 64x64x3`);
  }
  return {
    shape: parts as unknown as ImageShape | undefined ?? before?.shape,
    codes: args.text("codes") as DatasetOptions["codes"] ?? before?.codes,
    as: args.text("as") as DatasetOptions["as"] ?? before?.as,
    rate: args.number("rate") ?? before?.rate,
    heldOut: args.number("held-out") ?? before?.heldOut,
  };
}

/** What is neither a file nor a folder. */
function special({ isFifo, isSocket, isCharDevice, isBlockDevice }: Deno.FileInfo): string {
  return isFifo ? "a pipe" : isSocket ? "a socket" : isCharDevice || isBlockDevice ? "a device" : "something else";
}

/** A file that was given, or found in a folder that was. */
interface Found {
  readonly path: string;
  /** Where in that folder. */
  readonly inside?: string;
}

/**
 * Files below a path, by name, folders in their place. All are found before the first is read, so that a folder nobody meant, such as
 * `/`, is refused at once. Hidden ones are named, not looked into.
 *
 * @param above the folders that it is in, from the one given, without links
 */
function filesBelow(path: string, given = path, above: readonly string[] = []): Found[] {
  const fail = (what: string, cause?: unknown): never => {
    throw new DataError(`Cannot read ${path}: ${what}`, { cause });
  };
  const inside = above.length > 0 ? relative(given, path) : undefined;
  if (inside !== undefined && isHidden(inside)) return [{ path, inside }];
  let real: string, names: string[];
  try {
    const found = Deno.statSync(path);
    // A pipe that is given may be the shell's <(command).
    if (!found.isDirectory && above.length > 0 && !found.isFile) {
      fail(`it is ${special(found)}, neither a file nor a folder; give a folder of data alone instead of ${given}`);
    }
    if (!found.isDirectory) return [{ path, inside }];
    real = Deno.realPathSync(path);
    names = Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  } catch (error) {
    if (error instanceof DataError) throw error;
    const missing = above.length > 0 ? "it is a link that leads nowhere" : "there is no such file";
    return fail(error instanceof Deno.errors.NotFound ? missing : (error as Error).message, error);
  }
  if (above.includes(real)) fail(`it leads back to ${real}, the folder that it is in; give a folder without it instead of ${given}`);
  return names.flatMap((name) => filesBelow(join(path, name), given, [...above, real]));
}

/** A file as a place to read from; what it holds now, so that one that grows is read once. */
function placeOf(file: Deno.FsFile, size: number): Sliceable {
  return {
    size,
    slice: (from, to) => ({
      // At once, not by promises: 65,537 files of a zip archive took 16 s, and nothing else is to be done meanwhile.
      arrayBuffer() {
        const bytes = new Uint8Array(Math.min(to, size) - from);
        file.seekSync(from, Deno.SeekMode.Start);
        let at = 0;
        for (let read; at < bytes.length; at += read) if ((read = file.readSync(bytes.subarray(at)) ?? 0) === 0) break;
        return Promise.resolve(bytes.buffer.slice(0, at));
      },
    }),
  };
}

/** Opens files, and those in folders by name, one after another as they are asked for. */
async function* openFiles(paths: readonly string[]): AsyncGenerator<DataFile> {
  for (const { path, inside } of paths.flatMap((path) => filesBelow(path))) {
    if (inside !== undefined && isHidden(inside)) {
      // Counted, not opened: it may be a lock or a socket.
      const found = Deno.lstatSync(path);
      yield { name: path, data: new Uint8Array(), path: inside, size: found.isFile ? found.size : undefined };
      continue;
    }
    let file: Deno.FsFile, found: Deno.FileInfo;
    try {
      file = await Deno.open(path);
      found = await file.stat();
    } catch (error) {
      throw new DataError(`Cannot read ${path}: ${(error as Error).message}`, { cause: error });
    }
    // Files of /proc say 0 and have bytes.
    if (found.isFile && found.size > 0) {
      try {
        yield { name: path, data: placeOf(file, found.size), path: inside, size: found.size };
      } finally {
        file.close();
      }
    } else yield { name: path, data: file.readable, path: inside };
  }
}

/** Says on stderr what there is to be known of data: whatever a command's output is, people see it. */
function tellNotices({ notices }: Dataset): void {
  for (const notice of notices) new Screen(Deno.stderr).print(`Note: ${visible(notice)}.`);
}

/**
 * Makes a data set of a file or folder; without a path, of the text of a first run. Its notices are printed to stderr.
 *
 * @throws {DataError} where it cannot be read, is damaged, or is too short
 */
export async function readDataset(path: string | undefined, options: DatasetOptions): Promise<Dataset> {
  if (path !== undefined) {
    const dataset = await loadDataset(openFiles([path]), options, visible(basename(resolve(path)) || path));
    tellNotices(dataset);
    return dataset;
  }
  const name = `The World Factbook (${FACTBOOK.replace(/[:@]/g, " ")})`;
  return await loadDataset([{ name, data: await defaultText() }], options, name);
}

/** Names a data set so that a run recognises it, and can read it again. */
export async function identityOf(
  dataset: Dataset,
  path: string | undefined,
  { codes, as, heldOut }: DatasetOptions,
): Promise<DataIdentity> {
  const { name, kind, train, heldOut: held, shape, rate } = dataset, tokens = new Uint8Array(train.length + held.length);
  tokens.set(train);
  tokens.set(held, train.length);
  const source = { kind, path, shape, rate, codes, as, heldOut };
  return { ...await identify(name, tokens, held.length), source };
}

/**
 * Reads the model of a folder and its run's state. Tensors that are not read are said; so is what is damaged or changed of them, which
 * training alone needs as it was.
 */
export function readTrained(run: string): Trained {
  const trained = loadTrained(run), screen = new Screen(Deno.stderr), { model: { unread }, state, damage } = trained;
  if (damage) screen.print((state ? "" : "Going on without what the run knew of its data and steps. ") + damage);
  if (unread) {
    const [first, type] = [...unread][0], more = unread.size > 1 ? ` and ${unread.size - 1} more` : "";
    screen.print(
      `Note: of the tensors in ${run} those of types that are not read here were left alone: ${excerpt(first)} (${excerpt(type)})${more}.`,
    );
  }
  return trained;
}

/** Data for a model that is trained. */
export interface ModelData {
  /** Split as the run split it, where it is the run's. */
  readonly dataset: Dataset;
  /** Both parts, one after the other. */
  readonly all: Uint8Array;
  /** What training has not seen: the held-out part; of other data than the model was trained on, all. */
  readonly unseen: Uint8Array;
  /** Whether it is the data that the model was trained on. */
  readonly same: boolean;
}

/**
 * The data that the flags name, otherwise what the model was trained on, known by its digest.
 *
 * @throws {DataError} where it cannot be read, or the data of the run is not where it was
 */
export async function dataFor(args: Args, run: string, state: RunState | undefined): Promise<ModelData> {
  const given = args.text("data"), data = state?.data, source = data?.source;
  if (given === undefined && !source) {
    throw new DataError(`Cannot read the data of ${run}: its folder does not say what it was trained on; give --data FILE`);
  }
  const options = dataOptions(args, source),
    path = given ?? source?.path,
    dataset = await readDataset(path, options);
  const now = await identityOf(dataset, path, options), same = now.bytes === data?.bytes && now.sha256 === data.sha256;
  if (given === undefined && !same) {
    const shown = ({ name, bytes, sha256 }: DataIdentity) => `${name} (${whole(bytes)} bytes, SHA-256 ${sha256.slice(0, 12)}…)`;
    throw new DataError(
      `Cannot read the data of ${run}: it was trained on ${shown(data!)}, and that is now ${shown(now)}; give --data FILE`,
    );
  }
  const all = new Uint8Array(now.bytes);
  all.set(dataset.train);
  all.set(dataset.heldOut, dataset.train.length);
  if (!same) return { dataset, all, unseen: all, same };
  const border = all.length - data.heldOut, heldOut = all.subarray(border);
  return { dataset: { ...dataset, train: all.subarray(0, border), heldOut }, all, unseen: heldOut, same };
}

/** How loud sound is, in a few words. */
function describeLevels({ peak, clipped, silent }: NonNullable<Dataset["levels"]>): string {
  return `peak ${Number(peak.toPrecision(3))}, ${percent(clipped)} clipped, ${percent(silent)} silent`;
}

/** A data set in a line. */
export function describeData({ name, kind, train, heldOut, test, unit, shape, rate, levels }: Dataset): string {
  const tokens = train.length + heldOut.length, count = (length: number) => whole(length / unit);
  const of = kind === "image"
    ? `${count(tokens)} images of ${shape!.join(" × ")}`
    : kind === "audio"
    ? `${soundLength(tokens / rate!)} of sound, ${whole(tokens)} samples at ${whole(rate!)} Hz${
      levels ? ` (${describeLevels(levels)})` : ""
    }`
    : `${whole(tokens)} bytes`;
  return `${name}: ${of}, the last ${count(heldOut.length)} held out${test ? `; ${count(test.length)} more for a last test` : ""}`;
}

/** What is known of some tokens. */
async function measure(tokens: Uint8Array, dataset: Dataset) {
  const head = tokens.subarray(0, GZIP_LIMIT);
  return {
    tokens: tokens.length,
    ...(dataset.kind === "image" ? { images: tokens.length / dataset.unit } : {}),
    ...(dataset.rate ? { seconds: tokens.length / dataset.rate } : {}),
    entropy0: entropyOf(await histogram(tokens)),
    gzip: gzipBits(head),
    ...(head.length < tokens.length ? { gzipOfFirst: head.length } : {}),
  };
}

type Measured = Awaited<ReturnType<typeof measure>>;

/** Images spread evenly over the training part. */
function some({ train, unit }: Dataset, count: number): Uint8Array {
  const images = train.length / unit, shown = Math.min(count, images), rows = new Uint8Array(shown * unit);
  for (let i = 0; i < shown; i++) {
    const at = Math.floor(i * images / shown) * unit;
    rows.set(train.subarray(at, at + unit), i * unit);
  }
  return rows;
}

function lengthOf(part: Measured): string {
  const of = part.images !== undefined
    ? ` (${whole(part.images)} images)`
    : part.seconds !== undefined
    ? ` (${soundLength(part.seconds)})`
    : "";
  return whole(part.tokens) + of;
}

/** The command. */
export const data: Command = {
  name: "data",
  about: "say what a data file is: tokens, split, entropy, gzip, and a picture of it",
  operands: { name: "inspect FILE…", least: 2, most: Infinity },
  flags: [
    ...DATA_FLAGS,
    { name: "images", value: "N", kind: "whole", low: 1, high: 10000, about: "images on the contact sheet (default: 64)" },
    { name: "png", value: "FILE", about: "write the contact sheet or waveform as PNG" },
    { name: "svg", value: "FILE", about: "write the waveform as SVG, with an axis" },
    { name: "json", about: "one JSON object on stdout" },
  ],
  examples: [
    "data inspect cifar-10-binary.tar.gz --png sheet.png",
    "data inspect patches64.bin --shape 64x64x3 --held-out 20",
    "data inspect piano.wav --svg piano.svg",
    "data inspect enwik8.zip --json",
  ],
  async run(args) {
    const [what, ...paths] = args.operands, png = args.text("png"), svg = args.text("svg");
    if (what !== "inspect") throw new UsageError(`Cannot run data ${excerpt(what)}: it must be data inspect FILE…`);
    const dataset = await loadDataset(openFiles(paths), dataOptions(args), paths.length === 1 ? paths[0] : undefined);
    const { kind, train, heldOut, test, shape, rate } = dataset;
    if (svg && kind !== "audio") throw new ConfigError(`Cannot write ${svg}: waveforms are of sound, this is ${kind}`);
    if (png && kind !== "image" && kind !== "audio") {
      throw new ConfigError(`Cannot write ${png}: pictures are of images or sound, this is ${kind}`);
    }
    const parts = {
      train: await measure(train, dataset),
      heldOut: await measure(heldOut, dataset),
      ...(test ? { test: await measure(test, dataset) } : {}),
    };
    const sheet = shape && (shape[2] === 1 || shape[2] === 3) ? contactSheet(some(dataset, args.number("images") ?? 64), shape) : undefined;
    if (png) {
      if (kind === "image" && !sheet) {
        throw new ConfigError(`Cannot write ${png}: images of ${shape![2]} channels cannot be drawn, 1 or 3 can`);
      }
      writeOut(png, encodePng(sheet ?? waveformImage(train)));
    }
    if (svg) writeOut(svg, waveformSvg(train, rate!, `${dataset.name}, ${rate} Hz`));
    const written = [png, svg].filter((path) => path !== undefined);
    if (args.on("json")) {
      const { name, about, unit, skipped, levels, notices } = dataset;
      const tokens = Object.values(parts).reduce((sum, part) => sum + part.tokens, 0);
      write(
        Deno.stdout,
        JSON.stringify({ name, kind, about, tokens, unit, shape, rate, ...parts, levels, skipped, notices, written }) + "\n",
      );
      return 0;
    }

    const screen = new Screen(Deno.stdout), names = { train: "train", heldOut: "held out", test: "test" };
    screen.print(`${screen.bold(visible(dataset.name))}: ${visible(dataset.about)}\n`);
    const rows = Object.entries(parts).map(([name, part]) => [
      names[name as keyof typeof names],
      lengthOf(part),
      part.entropy0.toFixed(3),
      part.gzip.toFixed(3) + (part.gzipOfFirst ? "*" : ""),
    ]);
    const table = [["", "tokens", "order-0, bits/byte", "gzip −9, bits/byte"], ...rows];
    const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
    for (const row of table) {
      const line = row.map((text, column) => column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column])).join("  ");
      screen.print(`  ${row === table[0] ? screen.faint(line) : line}`);
    }
    if (rows.some((row) => row[3].endsWith("*"))) screen.print(screen.faint(`  * of the first ${whole(GZIP_LIMIT)} bytes`));
    if (dataset.levels) screen.print(`\n  Levels: ${describeLevels(dataset.levels)}.`);
    if (dataset.notices.length > 0) screen.print("");
    for (const notice of dataset.notices) screen.print(`  Note: ${visible(notice)}.`);
    if (kind === "text") screen.print(`\n${visible(new TextDecoder().decode(train.subarray(0, 400)))}…`);
    const picture = sheet ? contactSheet(some(dataset, 8), shape!, 4) : kind === "audio" ? waveformImage(train, 144, 24) : undefined;
    if (picture && colored(Deno.stdout)) {
      screen.print("");
      for (const line of drawImage(picture, 72)) screen.print(`  ${line}`);
    }
    for (const path of written) screen.print(`\nWrote ${path}.`);
    return 0;
  },
};
