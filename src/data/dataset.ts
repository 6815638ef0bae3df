/**
 * Data sets: tokens of text, images or sound made from whatever files hold them, told apart by content.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError, DataError, excerpt } from "../base/errors.ts";
import { FRAME_RATES, IMAGE_SHAPE } from "../base/limits.ts";
import { standIn } from "../base/json.ts";
import { gunzipPieces, tarFiles, unzipPieces, zipEntries, zipPlaces } from "./archive.ts";
import { orderG711, readWav, SOUND_RATE, type SoundLevels } from "./audio.ts";
import { type DataKind, splitHeldOut } from "./bytes.ts";
import { type Cifar, CIFAR_SHAPE, cifarOf, decodeCifar, decodePng, type Idx, idxOf, type ImageShape, shapeHint } from "./image.ts";
import { ByteReader, counted, type DataFile, isSliceable, join, Notices, type Notify, WHOLE_LIMIT } from "./reader.ts";
import { lazily, Scratch } from "./scratch.ts";
import { fromUtf16, isText } from "./text.ts";

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
  /** How loud the sound of WAV files was, all of them together. */
  readonly levels?: SoundLevels;
  /** Files of an archive or folder that were left out. */
  readonly skipped: readonly Skipped[];
  /** Sentences for people: what was read otherwise than files say, what was left out, what can hardly be meant. */
  readonly notices: readonly string[];
}

/** A file that was left out. */
export interface Skipped {
  /** Which, for people. */
  readonly name: string;
  /** Bytes it has, where they were counted. */
  readonly bytes?: number;
  /** Why. */
  readonly why: string;
}

/** Choices of {@linkcode loadDataset}. */
export interface DatasetOptions {
  /** Raw bytes are rows of images of this height, width and channels; PNG must have this height and width. */
  readonly shape?: ImageShape;
  /** Raw bytes are codes of sound: of this program, in order of amplitude, or of G.711, which are put into that order. */
  readonly codes?: "mulaw" | "g711";
  /** `bytes`: a file's bytes are tokens as they are, whatever it is; no archive is opened, no picture or sound decoded. */
  readonly as?: "bytes";
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
    begins: (head) => ["RIFF", "RF64", "BW64", "RIFX"].some((id) => starts(head, id)) && starts(head, "WAVE", 8),
    want: "RIFF … WAVE",
    ending: /\.wave?$/i,
  },
};

/** MP3 without a tag: the first two bytes of a frame, and the same again where the next may begin, at the same rate. */
function isMp3(head: Uint8Array): boolean {
  if (head[0] !== 0xff || (head[1] & 0xe6) !== 0xe2 || head[2] >> 4 === 15 || (head[2] & 12) === 12) return false;
  return head.some((byte, i) => i > 95 && byte === 0xff && head[i + 1] === head[1] && ((head[i + 2] ^ head[2]) & 12) === 0);
}

const OWN_TEXT = "write its text into a file of its own first";
const NUMBERS = "write its numbers alone first, as bytes, and give their shape";

/** What a refused file would be: beside the like of it, it is missed; a document beside images is not. */
type Refused = "image" | "audio" | "document" | "archive";

/** Formats that are met where these are expected, and what to do. */
const REFUSED: Readonly<Record<Refused, readonly (readonly [string, string | ((head: Uint8Array) => boolean), string])[]>> = {
  archive: [
    ["xz", "\xfd7zXZ\0", "unpack it first: xz -d"],
    ["zstd", "\x28\xb5\x2f\xfd", "unpack it first: zstd -d"],
    ["bzip2", "BZh", "unpack it first: bzip2 -d"],
    ["LZ4", "\x04\x22\x4d\x18", "unpack it first: lz4 -d"],
    ["7z", "7z\xbc\xaf\x27\x1c", "unpack it first: 7z x"],
    ["RAR", "Rar!\x1a\x07", "unpack it first: unrar x"],
    ["UTF-32 text", (head) => starts(head, "\xff\xfe\0\0") || starts(head, "\0\0\xfe\xff"), "convert it first: iconv -f UTF-32 -t UTF-8"],
  ],
  image: [
    ["JPEG", "\xff\xd8\xff", "convert it first: ffmpeg -i in.jpg out.png"],
    ["GIF", "GIF8", "convert it first: ffmpeg -i in.gif out%04d.png"],
    ["WebP", (head) => starts(head, "RIFF") && starts(head, "WEBP", 8), "convert it first: ffmpeg -i in.webp out.png"],
    ["TIFF", (head) => starts(head, "II*\0") || starts(head, "MM\0*"), "convert it first: ffmpeg -i in.tif out.png"],
    ["BMP", (head) => starts(head, "BM") && starts(head, "\0\0\0\0", 6), "convert it first: ffmpeg -i in.bmp out.png"],
  ],
  audio: [
    ["FLAC", "fLaC", "convert it first: ffmpeg -i in.flac out.wav"],
    ["Ogg", "OggS", "convert it first: ffmpeg -i in.ogg out.wav"],
    ["MP3", (head) => starts(head, "ID3") || isMp3(head), "convert it first: ffmpeg -i in.mp3 out.wav"],
    ["MP4", (head) => starts(head, "ftyp", 4), "convert it first: ffmpeg -i in.m4a out.wav"],
    ["AIFF", (head) => starts(head, "FORM") && starts(head, "AIF", 8), "convert it first: ffmpeg -i in.aiff out.wav"],
  ],
  document: [
    [
      "Python pickle",
      (head) => starts(head, "\x80\x02}") || starts(head, "\x80\x04\x95"),
      "take the binary version: cifar-10-binary.tar.gz",
    ],
    ["NumPy", "\x93NUMPY", "write its bytes alone first, array.tofile(…), and give their shape"],
    ["PDF", "%PDF-", "write its text into a file first: pdftotext in.pdf out.txt"],
    ["HDF5", "\x89HDF", NUMBERS],
    ["Parquet", "PAR1", OWN_TEXT],
    ["SQLite", "SQLite format 3\0", OWN_TEXT],
  ],
};

/** Documents that are zip archives, by the first name in them. */
const ZIPPED: readonly [string, RegExp, string][] = [
  ["an Office document", /^\[Content_Types\]\.xml$/, OWN_TEXT],
  ["an EPUB or OpenDocument", /^mimetype$/, OWN_TEXT],
  ["a file of PyTorch", /(^|\/)data\.pkl$/, NUMBERS],
  ["a file of NumPy", /\.npy$/, NUMBERS],
];

/** Bytes by which every format is known. */
const HEAD = 2048;

/** Archives within archives are opened this deep: .tar.gz is two. */
const DEPTH = 4;

/** What to do about a file that is not what its user means. */
const INSIST = "; --as bytes takes it as it is";

/** A file with samples in it, out of its archives. */
interface Member {
  readonly reader: ByteReader;
  readonly format?: "png" | "wav";
  /** Path in the archive or folder that it came from, canonical; or the file's own name. */
  readonly path: string;
  /** Whether it came out of an archive. */
  readonly archived: boolean;
  /** Whether it was given by itself, not with a folder or archive. */
  readonly own: boolean;
  /** What it is, where it is not read. */
  readonly refused?: { readonly as: Refused; readonly error: DataError };
}

/** A path in a folder or archive as others would write it: `/` between names, no `.`, `..`, drive or root. */
export function canonicalPath(path: string): string {
  return path.replace(/^[A-Za-z]:/, "").split(/[\\/]+/).filter((name) => name !== "" && name !== "." && name !== "..").join("/");
}

/** Files that systems put beside those of people, and hidden ones. */
const HIDDEN = /(^|\/)(\.[^/]+|__MACOSX|\$RECYCLE\.BIN|System Volume Information|(ehthumbs|thumbs)\.db|desktop\.ini)(\/|$)/i;

/**
 * Whether a path in a folder or archive, of any form, is that of a hidden file, or of one that a system put there: `.git/config`,
 * `__MACOSX/a`, `Thumbs.db`. {@linkcode loadDataset} leaves those out, so who opens a folder need not.
 */
export function isHidden(path: string): boolean {
  expect("Cannot judge a path", { path: [path, "a string"] });
  return HIDDEN.test(canonicalPath(path));
}

/** Takes a file that is left out. */
type Skip = (file: Skipped) => void;

/** What is told while files are read. */
interface Told {
  readonly notify: Notify;
  readonly skip: Skip;
  /** Whether bytes are taken as they are. */
  readonly plain: boolean;
}

const OF_SYSTEM = "hidden or the system's";

async function* members(
  file: DataFile,
  path: string,
  { archived = false, own = true, depth = 0 }: { archived?: boolean; own?: boolean; depth?: number },
  told: Told,
): AsyncGenerator<Member> {
  const { name } = file, reader = new ByteReader(file.data, name), { notify, skip, plain } = told;
  try {
    if (plain) return yield { reader, path, archived, own };
    const head = await reader.peek(HEAD), format = (Object.keys(FORMATS) as Format[]).find((one) => FORMATS[one].begins(head));
    const refuse = (as: Refused, what: string, hint: string) => ({
      as,
      error: new DataError(`Cannot read ${name}: it is ${what}, which is not supported; ${hint}${INSIST}`),
    });
    for (const as of format ? [] : Object.keys(REFUSED) as Refused[]) {
      const found = REFUSED[as].find(([, begins]) => typeof begins === "string" ? starts(head, begins) : begins(head));
      if (found) return yield { reader, path, archived, own, refused: refuse(as, `${found[0]} by its first bytes`, found[2]) };
    }
    const instead = format ? undefined : standIn(new TextDecoder("latin1").decode(head.subarray(0, 256)));
    // A web page may be what is to be learnt; not so in place of another format.
    if (instead?.includes("pointer")) throw new DataError(`Cannot read ${name}: it is ${instead}${INSIST}`);
    for (const { want, ending } of format ? [] : Object.values(FORMATS)) {
      if (!ending.test(path)) continue;
      const found = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      throw new DataError(
        `Cannot read ${name}: by its name it begins with ${want}, found ${found || "nothing"} at byte 0${
          instead ? `: it is ${instead}` : ""
        }`,
      );
    }
    if (format === undefined || format === "png" || format === "wav") return yield { reader, format, path, archived, own };
    if (depth === DEPTH) throw new DataError(`Cannot read ${name}: it is an archive in ${DEPTH} archives, unpack it first`);
    const open = (inner: string, data: DataFile["data"], size: number) => {
      const canonical = canonicalPath(inner), label = `${excerpt(inner)} of ${name}`;
      if (HIDDEN.test(canonical)) return skip({ name: label, bytes: size, why: OF_SYSTEM });
      return members(
        { name: label, data },
        archived ? `${path}/${canonical}` : canonical,
        { archived: true, own: false, depth: depth + 1 },
        told,
      );
    };
    if (format === "gzip") {
      // One file, without a name of its own, and so no archive of many.
      const inner = path.replace(/\.tgz$/i, ".tar").replace(/\.gz$/i, "");
      yield* members({ name, data: gunzipPieces(reader.rest(), name, Infinity, notify) }, inner, { archived, own, depth: depth + 1 }, told);
    } else if (format === "tar") {
      for await (const { name: inner, size, other, data } of tarFiles(reader.rest(), name, notify)) {
        if (other) skip({ name: `${excerpt(inner)} of ${name}`, bytes: size, why: other });
        else yield* open(inner, data, size) ?? [];
      }
    } else {
      const at = isSliceable(file.data) ? file.data : await reader.whole();
      const entries = at instanceof Uint8Array ? zipEntries(at, name, notify) : await zipPlaces(at, name, notify);
      for (const [what, first, hint] of ZIPPED) {
        if (entries.length > 0 && first.test(entries[0].name)) {
          return yield { reader: new ByteReader(new Uint8Array(), name), path, archived, own, refused: refuse("document", what, hint) };
        }
      }
      for (const entry of entries) yield* open(entry.name, unzipPieces(entry, at, name), entry.size) ?? [];
    }
  } finally {
    await reader.close();
  }
}

/** The files of CIFAR, by the names they have in its archives. */
const CIFAR_NAMES: readonly [Cifar, RegExp][] = [
  ["CIFAR-10", /(^|\/)(data_batch_\d+|test_batch)\.bin$/],
  ["CIFAR-100", /(^|\/)cifar-?100[^/]*\/(train|test)\.bin$/],
];

/** Parts that the makers of image sets set apart: test_batch.bin, test.bin, t10k-images-idx3-ubyte. */
const TEST_NAME = /(^|[\/_-])(test|t10k)([._-][^/]*)?$/;

/** Text, or bytes that nobody knows. */
interface Stream {
  readonly label: string;
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly archived: boolean;
  readonly own: boolean;
  readonly kind: "text" | "bytes";
}

/** Collects the samples of files, and holds them to one kind, size and rate. */
class Samples {
  readonly images: Uint8Array[] = [];
  readonly testImages: Uint8Array[] = [];
  readonly sound: Uint8Array[] = [];
  readonly skipped: Skipped[] = [];
  readonly found = new Map<string, number>();
  streams: Stream[] = [];
  /** Files of a folder or archive that are not read, should nothing else be there. */
  readonly refused: { readonly as: Refused; readonly error: DataError; readonly file: Skipped }[] = [];
  shape: ImageShape | undefined;
  #tokens = 0;
  #levels = { peak: 0, clipped: 0, silent: 0, samples: 0 };

  constructor(readonly options: DatasetOptions, readonly notify: Notify) {}

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

  /** Of all WAV files together. */
  get levels(): SoundLevels | undefined {
    const { peak, clipped, silent, samples } = this.#levels;
    return samples > 0 ? { peak, clipped: clipped / samples, silent: silent / samples } : undefined;
  }

  /**
   * Checks that what was added is of one kind.
   *
   * @param name of the whole
   */
  check(name: string): void {
    const sounding = this.sound.length > 0, mixed = this.pictured || sounding ? this.streams.find(({ own }) => own) : undefined;
    const missed = this.refused.find(({ as }) => as === "archive" || as === "image" && this.pictured || as === "audio" && sounding);
    if (missed) throw missed.error;
    if (!mixed && !(this.pictured && sounding)) return;
    throw new DataError(
      `Cannot make one data set of ${name}: ${
        mixed ? `${mixed.label} is neither PNG, CIFAR, IDX nor WAV, others are` : "some files are images, some sound"
      }; give files of one kind`,
    );
  }

  #shaped(shape: ImageShape, name: string): void {
    const want = this.shape ?? this.options.shape;
    if (want && want.some((size, axis) => size !== shape[axis])) {
      throw new DataError(
        `Cannot read ${name}: its images are ${shape.join(" × ")}, wanted are ${want.join(" × ")}: ${shapeHint(shape, want)}`,
      );
    }
    this.shape = shape;
  }

  /** Keeps images; by their name apart those that are for a last test. */
  #picture(what: string, rows: Uint8Array, shape: ImageShape, name: string, path: string): void {
    this.#shaped(shape, name);
    (TEST_NAME.test(path) ? this.testImages : this.images).push(this.#count(what, rows, name));
  }

  async add({ reader, format, path, archived, own, refused }: Member): Promise<void> {
    const { name } = reader, { shape, codes, rate, as } = this.options, { notify } = this;
    if (refused) {
      if (own) throw refused.error;
      this.refused.push({ ...refused, file: { name, bytes: await reader.count() || undefined, why: "of a format that is not read" } });
    } else if (format === "png") {
      const want = this.shape ?? shape, { height, width, rgb } = decodePng(await reader.whole(), name, want, notify);
      const grey = want?.[2] === 1 && rgb.every((value, i) => value === rgb[i - i % 3]);
      this.#shaped([height, width, grey ? 1 : 3], name);
      this.images.push(this.#count("PNG", grey ? rgb.filter((_, i) => i % 3 === 0) : rgb, name));
    } else if (format === "wav") {
      const { codes, from, levels } = await readWav(reader, rate ?? SOUND_RATE, notify), all = this.#levels, { length } = codes;
      const what = `WAV of ${from.encoding}, ${from.rate} Hz, ${from.channels === 1 ? "mono" : `${from.channels} channels`}`;
      this.sound.push(this.#count(what, codes, name));
      all.peak = Math.max(all.peak, levels.peak);
      all.clipped += levels.clipped * length;
      all.silent += levels.silent * length;
      all.samples += length;
    } else {
      const bytes = await reader.whole(), unit = shape?.reduce((a, b) => a * b, 1), rest = unit === undefined ? 0 : bytes.length % unit;
      // A shape makes rows of anything that is whole rows, but for a header that says the length to a byte.
      const plain = as !== undefined || codes !== undefined, header = plain ? undefined : idxOf(bytes);
      const idx = shape === undefined || rest !== 0 || header?.end === bytes.length ? header : undefined;
      const cifar = as
        ? undefined
        : CIFAR_NAMES.find(([, named]) => named.test(path))?.[0] ?? (plain || shape ? undefined : cifarOf(bytes));
      if (cifar) this.#picture(`${cifar} binary`, await decodeCifar(bytes, name, cifar), CIFAR_SHAPE, name, path);
      else if (idx) this.#idx(bytes, idx, name, path, own);
      else if (shape) {
        if (rest !== 0) {
          throw new DataError(
            `Cannot read ${name}: cut short, a row of ${shape.join(" × ")} at byte ${bytes.length - rest} has ${unit} bytes, ` +
              `the file ends after ${rest} of them`,
          );
        }
        this.#shaped(shape, name);
        this.images.push(this.#count("raw rows", bytes, name));
      } else if (codes || !as && /\.(ulaw|mulaw|ul)$/i.test(path)) {
        this.sound.push(this.#count(codes === "g711" ? "G.711 codes" : "µ-law codes", codes === "g711" ? orderG711(bytes) : bytes, name));
      } else {
        const wide = as ? undefined : fromUtf16(bytes);
        if (wide) {
          notify(name, `it is ${wide.how} and was made UTF-8${wide.lost ? `; ${counted(wide.lost, "character")} of it were damaged` : ""}`);
        }
        const text = wide?.text ?? bytes;
        this.#hold(text.length, name);
        this.streams.push({ label: name, path, bytes: text, archived, own, kind: !as && isText(text) ? "text" : "bytes" });
      }
    }
  }

  /** MNIST and its kind: images in grey, or of channels, and their labels in a file of one axis. */
  #idx(bytes: Uint8Array, { axes, begin, end }: Idx, name: string, path: string, own: boolean): void {
    const [, height, width, channels = 1] = axes, file = { name, bytes: bytes.length, why: "labels" };
    if (axes.length < 3) {
      const error = new DataError(`Cannot read ${name}: it is IDX of ${axes.join(" × ")}, which are labels; give the file of images`);
      if (own) throw error;
      this.refused.push({ as: "document", error, file });
      return;
    }
    if (end < bytes.length) {
      this.notify(name, `${counted(bytes.length - end, "byte")} behind the end of its images, at byte ${end}, were left out`);
    }
    this.#picture("IDX", bytes.subarray(begin, end), [height, width, channels], name, path);
  }

  /**
   * Leaves out what does not belong to the most of a folder or archive: beside images or sound all else; of text and bytes the fewer.
   *
   * @throws {DataError} where nothing is left but files that are not read
   */
  settle(): void {
    const media = this.pictured || this.sound.length > 0,
      size = (kind: string) => this.streams.reduce((sum, one) => sum + (one.kind === kind ? one.bytes.length : 0), 0);
    const kind = size("text") >= size("bytes") ? "text" : "bytes";
    const why = media ? "neither image nor sound" : `${kind === "text" ? "bytes" : "text"} among ${kind}`;
    this.streams = this.streams.filter((one) => {
      const kept = !media && (one.own || one.kind === kind);
      if (!kept) this.skipped.push({ name: one.label, bytes: one.bytes.length, why });
      return kept;
    });
    if (!media && this.streams.length === 0 && this.refused.length > 0) throw this.refused[0].error;
    this.skipped.push(...this.refused.map(({ file }) => file));
  }
}

/** What was left out, in a sentence a reason. */
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

/** enwik8: the first 10⁸ bytes of a Wikipedia dump; 90 / 5 / 5 million bytes since its first use for this. */
const isEnwik8 = (bytes: Uint8Array) => bytes.length === 100_000_000 && starts(bytes, "<mediawiki");

/** The paper holds out 2,000 of CIFAR-10's 50,000 training images; of others the same share, at least one. */
function heldOutImages(count: number): number {
  return Math.max(1, Math.min(2000, Math.round(count / 25)));
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
  const notices = new Notices(), notify = notices.add, samples = new Samples(options, notify);
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
    for await (const member of members(file, path ?? file.name, { own: path === undefined }, told)) {
      const at = samples.images.length;
      await samples.add(member);
      // After each: a folder of everything is not read to its end first.
      samples.check(name ?? first);
      if (CIFAR_NAMES.some(([, named]) => named.test(member.path)) && samples.images.length > at) cifar.push({ path: member.path, at });
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
  // Archives keep their files in any order; the split goes by number.
  if (cifar.length > 0 && cifar.length === samples.images.length) {
    const number = ({ path }: { path: string }) => Number(/(\d+)\.bin$/.exec(path)?.[1] ?? 0);
    const sorted = cifar.slice().sort((a, b) => number(a) - number(b)).map(({ at }) => samples.images[at]);
    samples.images.splice(0, Infinity, ...sorted);
  }
  tellSkipped(skipped, title!, notify);
  const made = split(
    samples,
    title!,
    [...found].map(([format, times]) => times > 1 ? `${times} files of ${format}` : format).join(", "),
    options,
  );
  const { train, kind } = made;
  if (train.length > 1 && train.every((token) => token === train[0])) {
    notify(title!, `all of its ${counted(train.length, "token")} to train on are ${train[0]}: there is nothing to learn`);
  }
  return { ...made, skipped, notices: notices.all, ...(kind === "audio" && samples.levels ? { levels: samples.levels } : {}) };
}

/** The samples as parts to train on and to hold out. */
function split(samples: Samples, name: string, what: string, options: DatasetOptions): Omit<Dataset, "skipped" | "notices"> {
  const { sound, streams } = samples, { heldOut } = options;
  if (samples.pictured) return splitImages({ name, what, shape: samples.shape! }, samples, options);
  if (sound.length > 0) {
    const codes = join(sound), rate = options.rate ?? SOUND_RATE, parts = splitStream(codes, "audio", name, options);
    return { name, kind: "audio", about: `${what}; ${held(parts.heldOut.length, "sample")}`, ...parts, unit: 1, rate };
  }
  const bytes = streams.length === 1 ? streams[0].bytes : join(streams.map(({ bytes }) => bytes));
  const kind = streams.every(({ kind }) => kind === "text") ? "text" : "bytes", made = { name, kind, unit: 1 } as const;
  if (isEnwik8(bytes) && heldOut === undefined) {
    const [train, valid, test] = [[0, 90e6], [90e6, 95e6], [95e6, 100e6]].map(([from, to]) => bytes.subarray(from, to));
    return { ...made, about: "enwik8, 90 / 5 / 5 million bytes", train, heldOut: valid, test };
  }
  const parts = splitStream(bytes, kind, name, options), files = streams.length > 1 ? `${streams.length} files of ` : "";
  return { ...made, about: `${files}${kind}; ${held(parts.heldOut.length, "byte")}`, ...parts };
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

function checkOptions({ shape, rate, as }: DatasetOptions): void {
  if (as !== undefined) expect("Cannot read data", { as: [as, { oneOf: ["bytes"] }] });
  if (shape) expect("Cannot read images", { "the shape": [shape, IMAGE_SHAPE] });
  if (rate !== undefined) expect("Cannot read sound", { "the rate": [rate, FRAME_RATES] });
}

function splitImages(
  made: { name: string; what: string; shape: ImageShape },
  { images, testImages }: Samples,
  options: DatasetOptions,
): Omit<Dataset, "skipped" | "notices"> {
  const { name, what, shape } = made, unit = shape.reduce((a, b) => a * b, 1);
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
  const dataset = {
    name,
    kind: "image" as const,
    about: `${what}, ${shape.join(" × ")}; ${held(count - from / unit, "image")}`,
    train: rows.subarray(0, from),
    heldOut: rows.subarray(from),
    ...(images.length > 0 && testImages.length > 0 ? { test: join(testImages) } : {}),
    unit,
    shape,
  };
  if (nCtx !== undefined) checkDataset(dataset, { n_ctx: nCtx, vocab_size: 256 });
  return dataset;
}

/**
 * Checks that a model can be trained on a data set.
 *
 * @throws {DataError} where an image is not one context, a part is shorter than a context, or a token is outside the vocabulary
 */
export function checkDataset(
  dataset: Omit<Dataset, "skipped" | "notices">,
  model: { n_ctx: number; vocab_size: number },
): void {
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
