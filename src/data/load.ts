/**
 * Data sets made from whatever files hold them.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { type Dataset, DATASET_FIELDS, type DatasetOptions, type LargeOptions, type Skipped } from "./dataset.ts";
import { canonicalPath, HIDDEN, members, OF_SYSTEM, type Skip } from "./members.ts";
import { counted, Notices, type Notify } from "./notices.ts";
import type { DataFile } from "./reader.ts";
import { cifarNamed } from "./cifar.ts";
import { Samples, type Stream } from "./samples.ts";
import { split } from "./split.ts";
import type { TokenSource } from "./token_range.ts";

/** What was left out, in one sentence per reason. */
function tellSkipped(skipped: readonly Skipped[], name: string, notify: Notify): void {
  for (const why of new Set(skipped.map(({ why }) => why))) {
    const files = skipped.filter((file) => file.why === why);
    const shown = files.slice(0, 3).map(({ name, bytes }) => name + (bytes === undefined ? "" : ` (${counted(bytes, "byte")})`));
    const rest = files.slice(3), bytes = rest.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    notify(
      name,
      `left out as ${why}: ${shown.join(", ")}${
        rest.length > 0 ? ` and ${counted(rest.length, "file")} more (${counted(bytes, "byte")})` : ""
      }`,
    );
  }
}

/** Puts the files of CIFAR in order: archives keep them in any, and the split goes by number. */
function sortCifar(samples: Samples, files: readonly { path: string; at: number }[]): void {
  const number = ({ path }: { path: string }) => Number(/(\d+)\.bin$/.exec(path)?.[1] ?? 0);
  const sorted = files.toSorted((a, b) => number(a) - number(b)).map(({ at }) => samples.images[at]);
  samples.images.splice(0, Infinity, ...sorted);
}

/**
 * Makes a data set of files. Each is known by its first bytes: gzip, zip and tar are opened, PNG and WAV decoded, IDX (MNIST) and
 * whole rows of CIFAR-10 and CIFAR-100 recognised; anything else is text, made UTF-8 where it is UTF-16, or bytes. Files of one kind follow
 * each other in the order given, texts of an archive by their paths, as those of a folder. Of a folder or archive hidden files are left out,
 * beside images or sound all else, and of text and bytes the fewer. `notices` says so, and what else is to be known.
 *
 * Held out are: of CIFAR-10's 50,000 training images the last 2,000 (its test batch is `test`), of other images a
 * twenty-fifth; of enwik8 bytes 90,000,000 to 95,000,000 (the rest is `test`); of other streams what `splitHeldOut` says.
 *
 * @param files opened one after another, so that a generator may open them as they are asked for
 * @param name of the whole, for people; otherwise the first file's
 * @throws {DataError} with file and offset, where one cannot be read, is damaged, cut short, of another kind or size than those before, or
 * of a format that is not supported; where there are no samples, or fewer than a context
 * @throws {ConfigError} where an option is out of range
 *
 * @example
 * ```ts
 * import { loadDataset } from "../../data.ts";
 * const bytes = new TextEncoder().encode("so it goes. ".repeat(100));
 * const { kind, train, heldOut } = await loadDataset([{ name: "a.txt", data: bytes }]);
 * console.log(kind, train.length, heldOut.length); // text 1140 60
 * ```
 */
export async function loadDataset(
  files: Iterable<DataFile> | AsyncIterable<DataFile>,
  options: DatasetOptions = {},
  name?: string,
): Promise<Dataset> {
  return await load(files, options, name, false) as Dataset;
}

/**
 * {@linkcode loadDataset} of data that memory may not hold: beyond `hold` tokens the part to train on is a {@linkcode TokenRange}. Files whose
 * bytes are tokens as they are, text, raw rows and codes of sound, are read where they are, if they can be read at any place; what has to be
 * unpacked or decoded goes into `store`. Files must stay open for as long as the data set is used.
 *
 * @throws {DataError} as {@linkcode loadDataset}, and where there is too much and no store
 */
export async function openDataset(
  files: Iterable<DataFile> | AsyncIterable<DataFile>,
  options: LargeOptions = {},
  name?: string,
): Promise<Dataset<TokenSource>> {
  return await load(files, options, name, true);
}

async function load(
  files: Iterable<DataFile> | AsyncIterable<DataFile>,
  options: LargeOptions,
  name: string | undefined,
  large: boolean,
): Promise<Dataset<TokenSource>> {
  expect("Cannot make a data set", { files: [files, "an object"], options: [options, "an object"] });
  checkOptions(options);
  if (options.hold !== undefined) expect("Cannot read data", { hold: [options.hold, whole(0)] });
  const notices = new Notices(), notify = notices.add, samples = new Samples(options, notify, large);
  const skip: Skip = (file) => void samples.skipped.push(file), told = { notify, skip, plain: options.as === "bytes" };
  const cifar: { path: string; at: number }[] = [];
  let first: string | undefined, count = 0;
  const some = files as object;
  if (!(Symbol.iterator in some) && !(Symbol.asyncIterator in some)) {
    throw new ConfigError("Cannot make a data set: files must be a list of { name, data }");
  }
  for await (const file of files) {
    expect("Cannot make a data set", {
      file: [file, "an object"],
      "its name": [file?.name, "a string"],
      "its data": [file?.data, "an object"],
    });
    const path = file.path === undefined ? undefined : canonicalPath(file.path);
    if (path !== undefined && HIDDEN.test(path)) {
      skip({ name: file.name, bytes: file.size, why: OF_SYSTEM });
      continue;
    }
    first ??= file.name;
    count++;
    const before = samples.streams.length;
    for await (const member of members(file, path ?? file.name, path === undefined, told)) {
      const at = samples.images.length;
      await samples.add(member);
      // After each: a folder of everything is not read to its end first.
      samples.check(name ?? first);
      if (cifarNamed(member.path) && samples.images.length > at) cifar.push({ path: member.path, at });
    }
    // An archive may have them in any order; a folder's files come by name, folders in their place.
    const order = ({ path }: Stream) => path.replaceAll("/", "\0");
    const texts = samples.streams.splice(before).sort((a, b) => a.archived && b.archived ? order(a) < order(b) ? -1 : 1 : 0);
    samples.streams.push(...texts);
  }
  samples.settle();
  const { sound, streams, found, skipped } = samples, title = name ?? (count > 1 ? `${first} and ${count - 1} more` : first);
  if (!samples.pictured && sound.length === 0 && streams.length === 0) {
    const out = skipped.length > 0
      ? `all of it was left out: ${skipped[0].name} is ${skipped[0].why}`
      : `there is no file${count > 0 ? " in it" : ""}`;
    const more = skipped.length > 1 ? `, as are ${skipped.length - 1} more` : "";
    throw new DataError(`Cannot make a data set${title === undefined ? "" : ` of ${title}`}: ${out}${more}`);
  }
  if (cifar.length > 0 && cifar.length === samples.images.length) sortCifar(samples, cifar);
  tellSkipped(skipped, title!, notify);
  const made = await split(
    samples,
    title!,
    [...found].map(([format, times]) => times > 1 ? `${times} files of ${format}` : format).join(", "),
    options,
  );
  const { train, kind } = made;
  if (samples.stored > 0) notify(title!, `${counted(samples.stored, "token")} of it were unpacked into ${options.store!.name}`);
  if (train instanceof Uint8Array && train.length > 1 && train.every((token) => token === train[0])) {
    notify(title!, `all of its ${counted(train.length, "token")} to train on are ${train[0]}: there is nothing to learn`);
  }
  return { ...made, skipped, notices: notices.all, ...(kind === "audio" && samples.levels ? { levels: samples.levels } : {}) };
}

function checkOptions(options: DatasetOptions): void {
  // How much may be held out is known with the data.
  for (const field of ["shape", "codes", "as", "rate"] as const) {
    if (options[field] !== undefined) expect("Cannot read data", { [field]: [options[field], DATASET_FIELDS[field]] });
  }
}
