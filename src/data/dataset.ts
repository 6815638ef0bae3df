/**
 * Data sets: tokens of text, images or sound made from whatever files hold them, told apart by content.
 *
 * @module
 */

import { expect, MOST } from "../check.ts";
import { ConfigError, DataError, excerpt } from "../errors.ts";
import { gunzipPieces, tarFiles, unzip, zipEntries } from "./archive.ts";
import { orderG711, readWav, SOUND_RATE } from "./audio.ts";
import { type DataKind, splitHeldOut } from "./bytes.ts";
import { CIFAR_SHAPE, decodeCifar10, decodePng, type ImageShape, isCifar10, resizeHint } from "./image.ts";
import { ByteReader, type DataFile, join, WHOLE_LIMIT } from "./reader.ts";
import { lazily, Scratch } from "./scratch.ts";

/** Tokens to train on, one byte each, and what they stand for. */
export interface Dataset {
  /** For people: the file or files. */
  readonly name: string;
  /** What tokens stand for. */
  readonly kind: DataKind;
  /** For people: what the files were, and how they were split. */
  readonly about: string;
  /** Tokens to train on. */
  readonly train: Uint8Array;
  /** Tokens to evaluate on. */
  readonly heldOut: Uint8Array;
  /** Tokens that the data's makers set apart for a last test. */
  readonly test?: Uint8Array;
  /** Tokens of a sample: an image's H·W·C; 1 where any place may begin one. Sequences begin at multiples of it. */
  readonly unit: number;
  /** Height, width and channels of images. */
  readonly shape?: ImageShape;
  /** Samples a second of sound. */
  readonly rate?: number;
  /** Files of an archive or folder that were left out, because others hold the samples. */
  readonly skipped: readonly string[];
}

/** Choices of {@linkcode loadDataset}. */
export interface DatasetOptions {
  /** Raw bytes are rows of images of this height, width and channels; PNG must have this height and width. */
  readonly shape?: ImageShape;
  /** Raw bytes are codes of sound: of this program, in order of amplitude, or of G.711, which are put into that order. */
  readonly codes?: "mulaw" | "g711";
  /** Samples a second of sound; default 12,000. */
  readonly rate?: number;
  /** How much to hold out: images, or tokens of anything else; 0 leaves all in one part, however short. */
  readonly heldOut?: number;
  /** Positions of a context: both parts must hold one. A function is asked once kind and shape are known. */
  readonly nCtx?: number | ((kind: DataKind, shape?: ImageShape) => number);
}

const starts = (bytes: Uint8Array, want: string, at = 0) => {
  for (let i = 0; i < want.length; i++) if (bytes[at + i] !== want.charCodeAt(i)) return false;
  return bytes.length >= at + want.length;
};

/** A format known by how a file begins. */
type Format = "gzip" | "zip" | "tar" | "png" | "wav";

const FORMATS: Readonly<
  Record<Format, { readonly begins: (head: Uint8Array) => boolean; readonly want: string; readonly ending: RegExp }>
> = {
  gzip: { begins: (head) => starts(head, "\x1f\x8b"), want: "1f 8b", ending: /\.t?gz$/i },
  zip: { begins: (head) => starts(head, "PK\x03\x04") || starts(head, "PK\x05\x06"), want: "50 4b 03 04", ending: /\.zip$/i },
  tar: { begins: (head) => starts(head, "ustar", 257), want: "ustar at byte 257", ending: /\.tar$/i },
  png: { begins: (head) => starts(head, "\x89PNG\r\n\x1a\n"), want: "89 50 4e 47 0d 0a 1a 0a", ending: /\.png$/i },
  wav: {
    begins: (head) => ["RIFF", "RF64", "RIFX"].some((id) => starts(head, id)) && starts(head, "WAVE", 8),
    want: "RIFF … WAVE",
    ending: /\.wave?$/i,
  },
};

/** Formats that are met where these are expected, and what to do. */
const REFUSED: readonly [string, (head: Uint8Array) => boolean, string][] = [
  ["xz", (head) => starts(head, "\xfd7zXZ\0"), "unpack it first: xz -d"],
  ["zstd", (head) => starts(head, "\x28\xb5\x2f\xfd"), "unpack it first: zstd -d"],
  ["bzip2", (head) => starts(head, "BZh"), "unpack it first: bzip2 -d"],
  ["7z", (head) => starts(head, "7z\xbc\xaf\x27\x1c"), "unpack it first: 7z x"],
  ["JPEG", (head) => starts(head, "\xff\xd8\xff"), "convert it first: ffmpeg -i in.jpg out.png"],
  ["GIF", (head) => starts(head, "GIF8"), "convert it first: ffmpeg -i in.gif out%04d.png"],
  ["WebP", (head) => starts(head, "RIFF") && starts(head, "WEBP", 8), "convert it first: ffmpeg -i in.webp out.png"],
  ["FLAC", (head) => starts(head, "fLaC"), "convert it first: ffmpeg -i in.flac out.wav"],
  ["Ogg", (head) => starts(head, "OggS"), "convert it first: ffmpeg -i in.ogg out.wav"],
  ["MP3", (head) => starts(head, "ID3"), "convert it first: ffmpeg -i in.mp3 out.wav"],
  ["MP4", (head) => starts(head, "ftyp", 4), "convert it first: ffmpeg -i in.m4a out.wav"],
  ["AIFF", (head) => starts(head, "FORM") && starts(head, "AIF", 8), "convert it first: ffmpeg -i in.aiff out.wav"],
  ["Python pickle", (head) => starts(head, "\x80\x02}") || starts(head, "\x80\x04\x95"), "take the binary version: cifar-10-binary.tar.gz"],
  ["NumPy", (head) => starts(head, "\x93NUMPY"), "write its bytes alone first, array.tofile(…), and give their shape"],
];

/** Bytes by which every format is known. */
const HEAD = 512;

/** Archives within archives are opened this deep: .tar.gz is two. */
const DEPTH = 4;

/** A file with samples in it, out of its archives. */
interface Member {
  readonly reader: ByteReader;
  readonly format?: "png" | "wav";
  /** Path in the archive that it came from, or the file's own name. */
  readonly path: string;
  readonly archived: boolean;
}

/** Files that systems put beside those of people. */
const HIDDEN = /(^|\/)(\.|__MACOSX\/|Thumbs\.db$)/;

async function* members(file: DataFile, path: string, archived: boolean, depth = 0): AsyncGenerator<Member> {
  const { name } = file, reader = new ByteReader(file.data, name);
  try {
    const head = await reader.peek(HEAD), format = (Object.keys(FORMATS) as Format[]).find((one) => FORMATS[one].begins(head));
    for (const [refused, begins, hint] of format ? [] : REFUSED) {
      if (begins(head)) throw new DataError(`Cannot read ${name}: it is ${refused} by its first bytes, which is not supported; ${hint}`);
    }
    for (const { want, ending } of format ? [] : Object.values(FORMATS)) {
      if (!ending.test(path)) continue;
      const found = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      throw new DataError(`Cannot read ${name}: by its name it begins with ${want}, found ${found || "nothing"} at byte 0`);
    }
    if (format === undefined || format === "png" || format === "wav") {
      yield { reader, format, path, archived };
      return;
    }
    if (depth === DEPTH) throw new DataError(`Cannot read ${name}: it is an archive in ${DEPTH} archives, unpack it first`);
    const open = (inner: string, data: DataFile["data"]) => members({ name: `${excerpt(inner)} of ${name}`, data }, inner, true, depth + 1);
    if (format === "gzip") {
      // One file, without a name of its own, and so no archive of many.
      const inner = path.replace(/\.tgz$/i, ".tar").replace(/\.gz$/i, "");
      yield* members({ name, data: gunzipPieces(reader.rest(), name) }, inner, archived, depth + 1);
    } else if (format === "tar") {
      for await (const inner of tarFiles(reader.rest(), name)) if (!HIDDEN.test(inner.name)) yield* open(inner.name, inner.data);
    } else {
      for (const entry of zipEntries(await reader.whole(), name)) {
        if (!HIDDEN.test(entry.name)) yield* open(entry.name, unzip(entry, name));
      }
    }
  } finally {
    await reader.close();
  }
}

/** Whether bytes read as text: no zero, and hardly a control character, in the first 64 kB. */
function isText(bytes: Uint8Array): boolean {
  let controls = 0;
  const head = bytes.subarray(0, 65536);
  for (const byte of head) {
    if (byte === 0) return false;
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 12 && byte !== 27) controls++;
  }
  return controls <= head.length / 200;
}

/** The files of CIFAR-10, by the names they have in its archive. */
const CIFAR_NAME = /(^|\/)(data_batch_\d+|test_batch)\.bin$/;

/** Collects the samples of files, and holds them to one kind, size and rate. */
class Samples {
  readonly images: Uint8Array[] = [];
  readonly testImages: Uint8Array[] = [];
  readonly sound: Uint8Array[] = [];
  readonly streams: { label: string; path: string; bytes: Uint8Array; archived: boolean }[] = [];
  readonly skipped: string[] = [];
  readonly found = new Map<string, number>();
  shape: ImageShape | undefined;
  #tokens = 0;

  constructor(readonly options: DatasetOptions) {}

  #count(what: string, tokens: Uint8Array, name: string): Uint8Array {
    this.#hold(tokens.length, name);
    this.found.set(what, (this.found.get(what) ?? 0) + 1);
    return tokens;
  }

  /** Bounds what is held of all files. */
  #hold(tokens: number, name: string): void {
    this.#tokens += tokens;
    if (this.#tokens > WHOLE_LIMIT) {
      throw new DataError(`Cannot read ${name}: with the files before it makes more than ${WHOLE_LIMIT} tokens; give fewer files`);
    }
  }

  /** Whether any are images. */
  get pictured(): boolean {
    return this.images.length > 0 || this.testImages.length > 0;
  }

  /**
   * Checks that what was added is of one kind.
   *
   * @param name of the whole
   */
  check(name: string): void {
    const sounding = this.sound.length > 0, mixed = this.pictured || sounding ? this.streams.find(({ archived }) => !archived) : undefined;
    if (!mixed && !(this.pictured && sounding)) return;
    throw new DataError(
      `Cannot make one data set of ${name}: ${
        mixed ? `${mixed.label} is neither PNG, CIFAR-10 nor WAV, others are` : "some files are images, some sound"
      }; give files of one kind`,
    );
  }

  #shaped(shape: ImageShape, name: string): void {
    const want = this.shape ?? this.options.shape;
    if (want && want.some((size, axis) => size !== shape[axis])) {
      throw new DataError(`Cannot read ${name}: its images are ${shape.join(" × ")}, wanted are ${want.join(" × ")}; ${resizeHint(want)}`);
    }
    this.shape = shape;
  }

  async add({ reader, format, path, archived }: Member): Promise<void> {
    const { name } = reader, { shape, codes, rate } = this.options;
    if (format === "png") {
      const image = decodePng(await reader.whole(), name, this.shape ?? shape);
      this.#shaped([image.height, image.width, 3], name);
      this.images.push(this.#count("PNG", image.rgb, name));
    } else if (format === "wav") {
      const { codes, from } = await readWav(reader, rate ?? SOUND_RATE);
      const what = `WAV of ${from.encoding}, ${from.rate} Hz, ${from.channels === 1 ? "mono" : `${from.channels} channels`}`;
      this.sound.push(this.#count(what, codes, name));
    } else {
      const bytes = await reader.whole();
      if (CIFAR_NAME.test(path) || (shape === undefined && codes === undefined && isCifar10(bytes))) {
        const rows = await decodeCifar10(bytes, name);
        this.#shaped(CIFAR_SHAPE, name);
        (/test_batch/.test(path) ? this.testImages : this.images).push(this.#count("CIFAR-10 binary", rows, name));
      } else if (shape) {
        const unit = shape.reduce((a, b) => a * b, 1), rest = bytes.length % unit;
        if (rest !== 0) {
          throw new DataError(
            `Cannot read ${name}: cut short, a row of ${shape.join(" × ")} at byte ${bytes.length - rest} has ${unit} bytes, ` +
              `the file ends after ${rest} of them`,
          );
        }
        this.#shaped(shape, name);
        this.images.push(this.#count("raw rows", bytes, name));
      } else if (codes || /\.(ulaw|mulaw|ul)$/i.test(path)) {
        this.sound.push(this.#count(codes === "g711" ? "G.711 codes" : "µ-law codes", codes === "g711" ? orderG711(bytes) : bytes, name));
      } else this.#stream({ label: name, path, bytes, archived });
    }
  }

  /** Text, or nobody knows what. Of an archive only the largest is kept: the others are its licence and the like. */
  #stream(one: Samples["streams"][number]): void {
    const last = this.streams.at(-1);
    if (one.archived && last?.archived) {
      const smaller = one.bytes.length > last.bytes.length ? last : one;
      this.skipped.push(smaller.label);
      if (smaller === one) return;
      this.#tokens -= this.streams.pop()!.bytes.length;
    }
    this.#hold(one.bytes.length, one.label);
    this.streams.push(one);
  }
}

/** enwik8: the first 10⁸ bytes of a Wikipedia dump; 90 / 5 / 5 million bytes since its first use for this. */
const isEnwik8 = (bytes: Uint8Array) => bytes.length === 100_000_000 && starts(bytes, "<mediawiki");

/** The paper holds out 2,000 of CIFAR-10's 50,000 training images; of others the same share, at least one. */
function heldOutImages(count: number): number {
  return Math.max(1, Math.min(2000, Math.round(count / 25)));
}

/**
 * Makes a data set of files. Each is known by its first bytes: gzip, zip and tar are opened, PNG and WAV decoded, whole
 * CIFAR-10 rows recognised; anything else is text, or bytes. Files of one kind follow each other in the order given. Of
 * an archive that holds images or sound, other files are skipped; otherwise its largest file is taken.
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
 * import { loadDataset } from "../../mod.ts";
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
  expect("Cannot make a data set", { files: [files, "an object"], options: [options, "an object"] });
  checkOptions(options);
  const samples = new Samples(options), cifar: { path: string; at: number }[] = [];
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
    first ??= file.name;
    count++;
    for await (const member of members(file, file.name, false)) {
      const at = samples.images.length;
      await samples.add(member);
      // After each: a folder of everything is not read to its end first.
      samples.check(name ?? first);
      if (CIFAR_NAME.test(member.path) && samples.images.length > at) cifar.push({ path: member.path, at });
    }
  }
  const { sound, streams, found, skipped } = samples;
  if (first === undefined) throw new DataError(`Cannot make a data set${name === undefined ? "" : ` of ${name}`}: there is no file`);
  const title = name ?? (count > 1 ? `${first} and ${count - 1} more` : first);
  // Archives keep their files in any order; the split goes by number.
  if (cifar.length > 0 && cifar.length === samples.images.length) {
    const number = ({ path }: { path: string }) => Number(/(\d+)\.bin$/.exec(path)?.[1] ?? 0);
    const sorted = cifar.slice().sort((a, b) => number(a) - number(b)).map(({ at }) => samples.images[at]);
    samples.images.splice(0, Infinity, ...sorted);
  }
  if (samples.pictured || sound.length > 0) skipped.push(...streams.map(({ label }) => label));
  const what = [...found].map(([format, times]) => times > 1 ? `${times} files of ${format}` : format).join(", ");
  const base = { name: title, skipped };
  if (samples.pictured) return splitImages({ ...base, what, shape: samples.shape! }, samples, options);
  const { heldOut } = options;
  if (sound.length > 0) {
    const codes = join(sound), rate = options.rate ?? SOUND_RATE, parts = splitStream(codes, "audio", title, options);
    return { ...base, kind: "audio", about: `${what}; ${held(parts.heldOut.length, "sample")}`, ...parts, unit: 1, rate };
  }
  const bytes = streams.length === 1 ? streams[0].bytes : join(streams.map(({ bytes }) => bytes));
  const kind = isText(bytes) ? "text" : "bytes", made = { ...base, kind, unit: 1 } as const;
  if (isEnwik8(bytes) && heldOut === undefined) {
    const [train, valid, test] = [[0, 90e6], [90e6, 95e6], [95e6, 100e6]].map(([from, to]) => bytes.subarray(from, to));
    return { ...made, about: "enwik8, 90 / 5 / 5 million bytes", train, heldOut: valid, test };
  }
  const parts = splitStream(bytes, kind, title, options);
  return { ...made, about: `${kind}; ${held(parts.heldOut.length, "byte")}`, ...parts };
}

const held = (count: number, what: string) =>
  count === 0 ? "nothing held out" : `the last ${count === 1 ? what : `${count.toLocaleString("en")} ${what}s`} held out`;

function splitStream(bytes: Uint8Array, kind: DataKind, name: string, options: DatasetOptions) {
  if (options.heldOut === 0) return { train: bytes, heldOut: bytes.subarray(bytes.length) };
  return splitHeldOut(bytes, contextOf(options, kind) ?? 1, name, options.heldOut);
}

function contextOf({ nCtx }: DatasetOptions, kind: DataKind, shape?: ImageShape): number | undefined {
  return typeof nCtx === "function" ? nCtx(kind, shape) : nCtx;
}

function checkOptions({ shape, rate }: DatasetOptions): void {
  if (shape && !(shape.length === 3 && shape.every((size) => Number.isInteger(size) && size >= 1 && size <= 65536))) {
    throw new ConfigError(
      `Cannot read images: the shape must be height, width and channels, current value is ${excerpt(JSON.stringify(shape))}`,
    );
  }
  if (rate !== undefined && !(Number.isInteger(rate) && rate >= 1000 && rate <= 384000)) {
    throw new ConfigError(`Cannot read sound: the rate must be a whole number from 1000 to 384000, current value is ${rate}`);
  }
}

function splitImages(
  made: { name: string; what: string; skipped: readonly string[]; shape: ImageShape },
  { images, testImages }: Samples,
  options: DatasetOptions,
): Dataset {
  const { name, what, skipped, shape } = made, unit = shape.reduce((a, b) => a * b, 1);
  const { heldOut } = options, nCtx = contextOf(options, "image", shape);
  // Test images alone are images like any other.
  const rows = join(images.length > 0 ? images : testImages), count = rows.length / unit;
  if (count < 2 && heldOut !== 0) {
    throw new DataError(`Cannot train on ${name}: it has ${count} image, it must have at least 2: one is held out`);
  }
  if (heldOut !== undefined && heldOut !== 0 && !(Number.isInteger(heldOut) && heldOut >= 1 && heldOut < count)) {
    throw new ConfigError(`Cannot hold out part of ${name}: the part must be from 1 to ${count - 1} images, current value is ${heldOut}`);
  }
  const from = (count - (heldOut ?? heldOutImages(count))) * unit;
  const dataset: Dataset = {
    name,
    kind: "image",
    about: `${what}, ${shape.join(" × ")}; ${held(count - from / unit, "image")}`,
    train: rows.subarray(0, from),
    heldOut: rows.subarray(from),
    ...(images.length > 0 && testImages.length > 0 ? { test: join(testImages) } : {}),
    unit,
    shape,
    skipped,
  };
  if (nCtx !== undefined) checkDataset(dataset, { n_ctx: nCtx, vocab_size: 256 });
  return dataset;
}

/**
 * Checks that a model can be trained on a data set.
 *
 * @throws {DataError} where an image is not one context, a part is shorter than a context, or a token is outside the vocabulary
 */
export function checkDataset(dataset: Dataset, model: { n_ctx: number; vocab_size: number }): void {
  expect("Cannot check the data set", { model: [model, "an object"] });
  const { n_ctx, vocab_size } = model;
  expect("Cannot check the data set", {
    "data set": [dataset, "an object"],
    n_ctx: [n_ctx, [1, MOST]],
    vocab_size: [vocab_size, [1, MOST]],
  });
  const { name, unit, shape } = dataset;
  if (shape && unit !== n_ctx) {
    throw new DataError(
      `Cannot train on ${name}: an image of ${shape.join(" × ")} has ${unit} tokens and n_ctx is ${n_ctx}; resize the images ` +
        `(ffmpeg -i in.png -vf scale=WIDTH:HEIGHT out.png), or set n_ctx to ${unit} and position.shape to [${shape.join(", ")}]`,
    );
  }
  for (const part of ["train", "heldOut", "test"] as const) {
    const tokens = dataset[part];
    if (!tokens) continue;
    if (tokens.length < n_ctx) {
      throw new DataError(
        `Cannot train on ${name}: its ${part} part has ${tokens.length} tokens, it must have at least one context of n_ctx = ${n_ctx}; ` +
          `give more data or a smaller n_ctx`,
      );
    }
    const outside = vocab_size < 256 ? tokens.findIndex((token) => token >= vocab_size) : -1;
    if (outside >= 0) {
      throw new DataError(
        `Cannot train on ${name}: token ${tokens[outside]} at ${outside} of its ${part} part is outside the vocabulary of ${vocab_size}; ` +
          `set vocab_size to 256`,
      );
    }
  }
}

const PIECE = 65536;

const counting = lazily(async () => {
  const made = await Scratch.create();
  return { made, bytes: made.take(PIECE), counts: made.take(1024), tables: made.take(4096) };
});

/** How often each byte occurs, [256]. */
export async function histogram(bytes: Uint8Array): Promise<Float64Array<ArrayBuffer>> {
  expect("Cannot count", { bytes: [bytes, "an array of bytes"] });
  const { made, bytes: at, counts, tables } = await counting(), total = new Float64Array(256);
  for (let from = 0; from < bytes.length; from += PIECE) {
    const piece = bytes.subarray(from, from + PIECE);
    made.u8(at, piece.length).set(piece);
    made.u32(counts, 256).fill(0);
    made.kernels.histogram(at, piece.length, counts, tables);
    made.u32(counts, 256).forEach((count, byte) => total[byte] += count);
  }
  return total;
}
