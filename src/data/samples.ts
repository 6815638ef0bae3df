/**
 * The samples of files, held to one kind, size and rate.
 *
 * @module
 */

import { DataError } from "../base/errors.ts";
import { CIFAR_SHAPE, cifarNamed, cifarOf, decodeCifar } from "./cifar.ts";
import type { LargeOptions, Skipped } from "./dataset.ts";
import type { Refused } from "./formats.ts";
import { orderG711 } from "./g711.ts";
import { type Idx, idxOf } from "./idx.ts";
import { type ImageShape, shapeHint } from "./image.ts";
import type { Member } from "./members.ts";
import { counted, type Notify } from "./notices.ts";
import { decodePng } from "./png.ts";
import { type ByteReader, join, type Sliceable, WHOLE_LIMIT } from "./reader.ts";
import { SOUND_RATE, type SoundLevels } from "./sound.ts";
import { fromUtf16, isText, TEXT_HEAD } from "./text_files.ts";
import { type Tokenful, TokenRange } from "./token_range.ts";
import { append, Holder, isStretch } from "./token_store.ts";
import { readWav } from "./wav.ts";

/** Parts that the makers of image sets set apart: test_batch.bin, test.bin, t10k-images-idx3-ubyte. */
const TEST_NAME = /(^|[\/_-])(test|t10k)([._-][^/]*)?$/;

/** Tokens held in memory at most, where there may be more: half a gigabyte, a twentieth of which is held out at most. */
const HOLD = 2 ** 29;

/** The order of amplitude of each of telephony's codes. */
const IN_ORDER = orderG711(Uint8Array.from({ length: 256 }, (_, code) => code));

/** Text, or bytes that nobody knows. */
export interface Stream {
  readonly label: string;
  readonly path: string;
  readonly bytes: Tokenful;
  readonly archived: boolean;
  readonly own: boolean;
  readonly kind: "text" | "bytes";
}

/** Collects the samples of files, and holds them to one kind, size and rate. */
export class Samples {
  readonly images: Tokenful[] = [];
  readonly testImages: Tokenful[] = [];
  readonly sound: Tokenful[] = [];
  readonly skipped: Skipped[] = [];
  readonly found = new Map<string, number>();
  streams: Stream[] = [];
  /** Files of a folder or archive that are not read, should nothing else be there. */
  readonly refused: { readonly as: Refused; readonly error: DataError; readonly file: Skipped }[] = [];
  shape: ImageShape | undefined;
  /** Where what is kept goes; without it all of it is in memory. */
  readonly #holder: Holder | undefined;
  #tokens = 0;
  #levels = { peak: 0, clipped: 0, silent: 0, samples: 0 };

  /** @param large whether data may be more than memory is to hold */
  constructor(readonly options: LargeOptions, readonly notify: Notify, large = false) {
    if (large) this.#holder = new Holder(options.hold ?? HOLD, options.store);
  }

  /** Tokens that were put into the store. */
  get stored(): number {
    return this.#holder?.written ?? 0;
  }

  #count(what: string): void {
    this.found.set(what, (this.found.get(what) ?? 0) + 1);
  }

  /**
   * Keeps tokens, in memory or where there is more room.
   *
   * @throws {DataError} where there is none
   */
  async #keep(parts: Tokenful[], tokens: Tokenful, name: string): Promise<void> {
    append(parts, isStretch(tokens) ? tokens : await this.#hold(tokens, name));
  }

  #noRoom(name: string): never {
    throw new DataError(
      `Cannot read ${name}: with the files before it makes more than ${this.#holder!.most} tokens, and there is no store for more; ` +
        `unpack or decode it into one file first`,
    );
  }

  /** Bounds what is held of all files. */
  async #hold(tokens: Uint8Array, name: string): Promise<Tokenful> {
    if (this.#holder) {
      return await this.#holder.take(tokens) ?? this.#noRoom(name);
    }
    this.#tokens += tokens.length;
    if (this.#tokens > WHOLE_LIMIT) {
      throw new DataError(`Cannot read ${name}: with the files before it makes more than ${WHOLE_LIMIT} tokens; give fewer files`);
    }
    return tokens;
  }

  /** A file's bytes: in memory where there is room, otherwise where they are, or unpacked in the store. */
  async #bytes(reader: ByteReader, place: Sliceable | undefined): Promise<Tokenful> {
    const { name } = reader, holder = this.#holder;
    if (!holder) return await reader.whole();
    if (place && !holder.fits(place.size)) return { place, from: 0, length: place.size, name };
    const pieces: Uint8Array[] = [], stored: Tokenful[] = [];
    let length = 0;
    for await (const piece of reader.rest()) {
      length += piece.length;
      if (holder.fits(length)) pieces.push(piece);
      else {
        for (const one of [...pieces.splice(0), piece]) append(stored, await holder.put(one) ?? this.#noRoom(name));
      }
    }
    return stored.length > 0 ? stored[0] : pieces.length === 1 ? pieces[0] : join(pieces);
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
  async #picture(what: string, rows: Tokenful, shape: ImageShape, name: string, path: string): Promise<void> {
    this.#shaped(shape, name);
    await this.#keep(TEST_NAME.test(path) ? this.testImages : this.images, rows, name);
    this.#count(what);
  }

  async add(member: Member): Promise<void> {
    const { reader, format, own, refused } = member, { name } = reader, { shape, rate } = this.options, { notify } = this;
    if (refused) {
      if (own) throw refused.error;
      this.refused.push({ ...refused, file: { name, bytes: await reader.count() || undefined, why: "of a format that is not read" } });
    } else if (format === "png") {
      const want = this.shape ?? shape, { height, width, rgb } = decodePng(await reader.whole(), name, want, notify);
      const grey = want?.[2] === 1 && rgb.every((value, i) => value === rgb[i - i % 3]);
      this.#shaped([height, width, grey ? 1 : 3], name);
      await this.#keep(this.images, grey ? rgb.filter((_, i) => i % 3 === 0) : rgb, name);
      this.#count("PNG");
    } else if (format === "wav") {
      let length = 0;
      const take = async (piece: Uint8Array) => {
        length += piece.length;
        await this.#keep(this.sound, piece, name);
      };
      const { codes, from, levels } = await readWav(reader, rate ?? SOUND_RATE, notify, this.#holder && take), all = this.#levels;
      if (!this.#holder) await take(codes);
      const what = `WAV of ${from.encoding}, ${from.rate} Hz, ${from.channels === 1 ? "mono" : `${from.channels} channels`}`;
      this.#count(what);
      all.peak = Math.max(all.peak, levels.peak);
      all.clipped += levels.clipped * length;
      all.silent += levels.silent * length;
      all.samples += length;
    } else await this.#addBytes(await this.#bytes(reader, member.place), member);
  }

  /** A file that is neither PNG nor WAV. */
  async #addBytes(bytes: Tokenful, { reader: { name }, path, archived, own }: Member): Promise<void> {
    const { shape, codes, as } = this.options, { notify } = this, unit = shape?.reduce((a, b) => a * b, 1);
    const rest = unit === undefined ? 0 : bytes.length % unit, whole = isStretch(bytes) ? undefined : bytes;
    const head = whole ?? await new TokenRange([bytes]).read(0, TEXT_HEAD);
    // A shape makes rows of anything that is whole rows, but for a header that says the length to a byte.
    const plain = as !== undefined || codes !== undefined, header = plain ? undefined : idxOf(head, bytes.length);
    const idx = shape === undefined || rest !== 0 || header?.end === bytes.length ? header : undefined;
    // CIFAR's files are of some megabytes: what is not held is none.
    const cifar = as || !whole ? undefined : cifarNamed(path) ?? (plain || shape ? undefined : cifarOf(whole));
    if (cifar) await this.#picture(`${cifar} binary`, await decodeCifar(whole!, name, cifar), CIFAR_SHAPE, name, path);
    else if (idx) await this.#idx(bytes, idx, name, path, own);
    else if (shape) {
      if (rest !== 0) {
        throw new DataError(
          `Cannot read ${name}: cut short, a row of ${shape.join(" × ")} at byte ${bytes.length - rest} has ${unit} bytes, ` +
            `the file ends after ${rest} of them`,
        );
      }
      this.#shaped(shape, name);
      await this.#keep(this.images, bytes, name);
      this.#count("raw rows");
    } else if (codes || !as && /\.(ulaw|mulaw|ul)$/i.test(path)) {
      const table = codes === "g711" ? IN_ORDER : undefined;
      await this.#keep(this.sound, !table ? bytes : isStretch(bytes) ? { ...bytes, table } : orderG711(bytes), name);
      this.#count(table ? "G.711 codes" : "µ-law codes");
    } else {
      const wide = as ? undefined : fromUtf16(head);
      if (wide && !whole) {
        throw new DataError(`Cannot read ${name}: it is ${wide.how}, and too long to be made UTF-8 in memory; iconv does`);
      }
      if (wide) {
        notify(name, `it is ${wide.how} and was made UTF-8${wide.lost ? `; ${counted(wide.lost, "character")} of it were damaged` : ""}`);
      }
      const text = wide?.text ?? bytes;
      const kept = isStretch(text) ? text : await this.#hold(text, name);
      this.streams.push({ label: name, path, bytes: kept, archived, own, kind: !as && isText(wide?.text ?? head) ? "text" : "bytes" });
    }
  }

  /** MNIST and its kind: images in grey, or of channels, and their labels in a file of one axis. */
  async #idx(bytes: Tokenful, { axes, begin, end }: Idx, name: string, path: string, own: boolean): Promise<void> {
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
    const rows = isStretch(bytes) ? { ...bytes, from: bytes.from + begin, length: end - begin } : bytes.subarray(begin, end);
    await this.#picture("IDX", rows, [height, width, channels], name, path);
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
