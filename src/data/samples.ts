/**
 * The samples of files, held to one kind, size and rate.
 *
 * @module
 */

import { DataError } from "../base/errors.ts";
import { CIFAR_SHAPE, cifarNamed, cifarOf, decodeCifar } from "./cifar.ts";
import type { DatasetOptions, Skipped } from "./dataset.ts";
import type { Refused } from "./formats.ts";
import { orderG711 } from "./g711.ts";
import { type Idx, idxOf } from "./idx.ts";
import { type ImageShape, shapeHint } from "./image.ts";
import type { Member } from "./members.ts";
import { counted, type Notify } from "./notices.ts";
import { decodePng } from "./png.ts";
import { WHOLE_LIMIT } from "./reader.ts";
import { SOUND_RATE, type SoundLevels } from "./sound.ts";
import { fromUtf16, isText } from "./text_files.ts";
import { readWav } from "./wav.ts";

/** Parts that the makers of image sets set apart: test_batch.bin, test.bin, t10k-images-idx3-ubyte. */
const TEST_NAME = /(^|[\/_-])(test|t10k)([._-][^/]*)?$/;

/** Text, or bytes that nobody knows. */
export interface Stream {
  readonly label: string;
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly archived: boolean;
  readonly own: boolean;
  readonly kind: "text" | "bytes";
}

/** Collects the samples of files, and holds them to one kind, size and rate. */
export class Samples {
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
      const cifar = as ? undefined : cifarNamed(path) ?? (plain || shape ? undefined : cifarOf(bytes));
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
