/**
 * Data sets: flags that say how one is read, reading it, and the one that a run was trained on.
 *
 * @module
 */

import { gzipSync } from "node:zlib";
import { basename, resolve } from "node:path";
import { DataError } from "../mod.ts";
import {
  type DataIdentity,
  type Dataset,
  DATASET_FIELDS,
  type DatasetOptions,
  type DataSource,
  type ImageShape,
  loadDataset,
  openDataset,
  TokenRange,
  type TokenSource,
  visible,
  withHeldOut,
} from "../data.ts";
import { identifyDataset, isSameData, mustBe, type RunState, tokensOf, whole, wrongOf } from "../files.ts";
import { openFiles } from "./data_files.ts";
import { defaultText, FACTBOOK } from "./factbook.ts";
import { type Args, type Flag, group, UsageError } from "./flags.ts";
import { percent, soundLength, thousands } from "./format.ts";
import { Screen } from "./terminal.ts";
import { tokenFile } from "./token_file.ts";

/** How raw files are to be read. */
export const READ_FLAGS: readonly Flag[] = group("Data", [
  { name: "shape", value: "HxWxC", about: "raw bytes are rows of images of this height, width and channels, as 64x64x3" },
  {
    name: "codes",
    value: "NAME",
    allowed: DATASET_FIELDS.codes,
    about: "raw bytes are codes of sound: mulaw, in order of amplitude, or g711",
  },
  {
    name: "as",
    value: "bytes",
    allowed: DATASET_FIELDS.as,
    about: "take files as bytes, whatever they are: nothing is unpacked or decoded",
  },
  { name: "rate", value: "HZ", allowed: DATASET_FIELDS.rate, about: "frames per second of sound (default: 12000)" },
]);

/** How raw files are to be read, and what of them is held out. */
export const DATA_FLAGS: readonly Flag[] = [
  ...READ_FLAGS,
  ...group("Data", [{
    name: "held-out",
    value: "N",
    allowed: whole(1),
    about: "images or bytes at the end to evaluate on (default: a 25th of images; a 20th of bytes, at most 200,000)",
  }]),
];

/** What is held out, where that is of another file. */
export const VALID_FLAG: readonly Flag[] = group("Data", [{
  name: "valid",
  value: "FILE",
  alias: ["val", "validation", "valid-data"],
  about: "evaluate on all of another file or folder, and train on all of --data",
}]);

/**
 * What {@linkcode DATA_FLAGS} say.
 *
 * @param before how a run's data was read: what flags leave open
 * @throws {UsageError} where the shape cannot be understood
 */
export function dataOptions(args: Args, before?: DataSource): DatasetOptions {
  const text = args.text("shape"), parts = text?.split(/[x×,]/).map(Number);
  if (parts && wrongOf("it", parts, DATASET_FIELDS.shape)) {
    throw new UsageError(`Cannot use --shape: ${mustBe("it", DATASET_FIELDS.shape, text)}; write it as 64x64x3`);
  }
  return {
    shape: parts as unknown as ImageShape | undefined ?? before?.shape,
    codes: args.text("codes") as DatasetOptions["codes"] ?? before?.codes,
    as: args.text("as") as DatasetOptions["as"] ?? before?.as,
    rate: args.number("rate") ?? before?.rate,
    heldOut: args.number("held-out") ?? before?.heldOut,
  };
}

/** Says on stderr what there is to be known of data: whatever a command's output is, people see it. */
function tellNotices({ notices }: Pick<Dataset, "notices">): void {
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

/** Where data is read from; without a path, the text of a first run. */
export interface DataPlace {
  /** A file or folder. */
  readonly path?: string;
  /** Another, of which all is held out. */
  readonly valid?: string;
}

/**
 * {@linkcode readDataset} of data that memory may not hold: the part to train on is then read by range.
 *
 * @throws {DataError} where it cannot be read, is damaged, is too short, or the two files are not alike
 */
export async function openData({ path, valid }: DataPlace, options: DatasetOptions): Promise<Dataset<TokenSource>> {
  const all = { ...options, heldOut: 0, nCtx: undefined };
  if (path === undefined && valid === undefined) return await readDataset(undefined, options);
  const name = (path: string) => visible(basename(resolve(path)) || path);
  const open = async (path: string) => {
    const dataset = await openDataset(openFiles([path]), { ...valid === undefined ? options : all, store: tokenFile() }, name(path));
    tellNotices(dataset);
    return dataset;
  };
  const dataset = path === undefined ? await readDataset(undefined, all) : await open(path);
  return valid === undefined ? dataset : withHeldOut(dataset, await readDataset(valid, all));
}

/**
 * Names a data set so that a run recognises it, and finds it again from whatever folder it is gone on with.
 *
 * @param place where it was read from
 */
export function identityOf(
  dataset: Dataset<TokenSource>,
  { path, valid }: DataPlace,
  { codes, as, heldOut }: DatasetOptions,
): Promise<DataIdentity> {
  const full = (path: string | undefined) => path === undefined ? undefined : resolve(path);
  return identifyDataset(dataset, { path: full(path), valid: full(valid), codes, as, heldOut: valid === undefined ? heldOut : undefined });
}

/** Data for a model that is trained. */
export interface ModelData {
  /** Split as the run split it, where it is the run's. */
  readonly dataset: Dataset<TokenSource>;
  /** Both parts, one after the other. */
  readonly all: TokenSource;
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
    place = given === undefined ? { path: source?.path, valid: source?.valid } : { path: given },
    dataset = await openData(place, options);
  const now = await identityOf(dataset, place, options);
  if (!data || !isSameData(now, data)) {
    if (given !== undefined) return await ofOthers(dataset);
    const shown = ({ name, bytes, sha256 }: DataIdentity) => `${name} (${thousands(bytes)} bytes, SHA-256 ${sha256.slice(0, 12)}…)`;
    throw new DataError(
      `Cannot read the data of ${run}: it was trained on ${shown(data!)}, and that is now ${shown(now)}; give --data FILE`,
    );
  }
  const all = allOf(dataset), border = all.length - data.heldOut, heldOut = await inMemory(all.subarray(border, all.length));
  return { dataset: { ...dataset, train: all.subarray(0, border), heldOut }, all, unseen: heldOut, same: true };
}

/** Tokens of data read by range that are looked at where all are asked for. */
const MOST = 2 ** 29;

const inMemory = async (tokens: TokenSource) => tokens instanceof TokenRange ? await tokens.read(0, MOST) : tokens;

/** Both parts of a data set, one after the other. */
function allOf({ train, heldOut }: Dataset<TokenSource>): TokenSource {
  return train instanceof TokenRange ? new TokenRange([train, heldOut]) : tokensOf({ train, heldOut });
}

/** Data that the model was not trained on: none of it is seen. */
async function ofOthers(dataset: Dataset<TokenSource>): Promise<ModelData> {
  const all = allOf(dataset);
  return { dataset, all, unseen: await inMemory(all), same: false };
}

/** How loud sound is, in a few words. */
export function describeLevels({ peak, clipped, silent }: NonNullable<Dataset["levels"]>): string {
  return `peak ${Number(peak.toPrecision(3))}, ${percent(clipped)} clipped, ${percent(silent)} silent`;
}

/** A data set in a line. */
export function describeData(
  { name, kind, train, heldOut, test, unit, shape, rate, levels }: Dataset<TokenSource>,
  valid?: string,
): string {
  const tokens = train.length + heldOut.length, count = (length: number) => thousands(length / unit);
  const of = kind === "image"
    ? `${count(tokens)} images of ${shape!.join(" × ")}`
    : kind === "audio"
    ? `${soundLength(tokens / rate!)} of sound, ${thousands(tokens)} frames at ${thousands(rate!)} Hz${
      levels ? ` (${describeLevels(levels)})` : ""
    }`
    : `${thousands(tokens)} bytes`;
  const held = valid === undefined
    ? `the last ${count(heldOut.length)} held out`
    : `of which ${count(heldOut.length)}, ${basename(valid)}, held out`;
  const where = train instanceof TokenRange ? ", read by range" : "";
  return `${name}: ${of}${where}, ${held}${test ? `; ${count(test.length)} more for a last test` : ""}`;
}

/**
 * Bits per byte after gzip at its best level, header included. By the runtime's zlib: on 200 kB of the default text it comes
 * within 0.3 % of `gzip -9` (2.636 against 2.628 bits), where fflate's level 9 would be 3.6 % easier to beat (2.722).
 */
export function gzipBits(bytes: Uint8Array): number {
  return gzipSync(bytes, { level: 9 }).length * 8 / bytes.length;
}
