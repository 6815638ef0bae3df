/**
 * Images as tokens, row-major red, green, blue, a byte each: PNG, the CIFAR-10 binary format, and sheets of many.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { convertIndexedToRgb, decode, type DecodedPng } from "npm:fast-png@8.0.0";
import { Unzlib, zlibSync } from "npm:fflate@0.8.3";
import { ConfigError, DataError, excerpt, ShapeError } from "../base/errors.ts";
import { crc32, hex } from "./crc32.ts";
import { counted, join, type Notify } from "./reader.ts";
import { lazily, Scratch } from "./scratch.ts";

/** Pixels, 3 bytes each (red, green, blue), row-major. */
export interface Image {
  /** Pixels across. */
  readonly width: number;
  /** Pixels down. */
  readonly height: number;
  /** [height, width, 3] */
  readonly rgb: Uint8Array;
}

/** Height, width and channels of an image. */
export type ImageShape = readonly [number, number, number];

/** Most pixels of one image: a context of as many tokens is far beyond the paper's 1,048,576. */
const PIXEL_LIMIT = 2 ** 26;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Samples a pixel, by the format's colour type. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** First column, first row, and steps of the seven passes of an interlaced image. */
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/** What of an image's shape is not as wanted, and how to make it so. */
export function shapeHint(shape: readonly number[], want: readonly number[]): string {
  const differ = ["height", "width", "number of channels"].filter((_, axis) => want[axis] !== shape[axis] && axis in shape && axis in want);
  const hint = want[0] === shape[0] && want[1] === shape[1]
    ? `PNG is read with 1 channel, grey, or 3: give --shape ${[...want.slice(0, 2), shape[2] === 1 ? 1 : 3].join("x")}`
    : `resize it first: ffmpeg -i in.png -vf scale=${want[1]}:${want[0]} out.png`;
  return `its ${differ.join(" and ")} differ${differ.length > 1 ? "" : "s"}; ${hint}`;
}

const OPAQUE = "give it a ground first: ffmpeg -i in.png -pix_fmt rgb24 out.png";

/** What a PNG file says of itself, once its lengths are known to be true. */
interface PngParts {
  readonly width: number;
  readonly height: number;
  /** IHDR's data: size, depth, colour type, interlacing. */
  readonly header: Uint8Array;
  /** PLTE and tRNS as they are. */
  readonly palette: readonly Uint8Array[];
  /** Rows with their filters, of all passes. */
  readonly lines: Uint8Array;
  /** Of each pass: first column and row, steps, columns and rows, bytes of all its rows. */
  readonly passes: readonly Pass[];
}

interface Pass {
  readonly x: number;
  readonly y: number;
  readonly dx: number;
  readonly dy: number;
  readonly columns: number;
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Walks the chunks before the decoder sees the file: it reads lengths and inflates without a bound. So this bounds both,
 * finds the offset of what is wrong, and leaves out chunks that do not make pixels (a colour profile is compressed too).
 */
function pngParts(bytes: Uint8Array, name: string, want?: readonly number[], notify?: Notify): PngParts {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read ${name}: ${what}`);
  };
  const wrong = SIGNATURE.findIndex((byte, i) => bytes[i] !== byte);
  if (wrong >= 0) fail(`a PNG file begins with bytes 89 50 4e 47 0d 0a 1a 0a, it differs at byte ${wrong}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), palette: Uint8Array[] = [], lines: Uint8Array[] = [];
  let width = 0, height = 0, colour = 0, expected = 0, count = 0, at = 8, first = 0, passes: Pass[] = [];
  const inflator = new Unzlib((piece) => {
    lines.push(piece.subarray(0, Math.max(0, expected - count)));
    count += piece.length;
  });
  const inflate = (piece: Uint8Array, last: boolean) => {
    try {
      // In pieces, so that no more than 64 MiB come out at once; none, where all pixels are there.
      for (let k = 0; k < piece.length && count <= expected; k += 65536) inflator.push(piece.subarray(k, k + 65536));
      if (last && count < expected) inflator.push(new Uint8Array(), true);
    } catch (error) {
      fail(`damaged, its image data from byte ${first} cannot be inflated: ${(error as Error).message}`);
    }
  };
  for (let type = ""; type !== "IEND";) {
    if (at + 12 > bytes.length) fail(`cut short, a chunk at byte ${at} takes at least 12 bytes, the file ends at ${bytes.length}`);
    const length = view.getUint32(at), end = at + 12 + length;
    type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (end > bytes.length) fail(`cut short, chunk ${excerpt(type)} at byte ${at} has ${length} bytes, the file ends at ${bytes.length}`);
    const kept = ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"].includes(type), found = kept ? crc32(bytes.subarray(at + 4, end - 4)) : 0;
    if (kept && found !== view.getUint32(end - 4)) {
      fail(`damaged, chunk ${excerpt(type)} at byte ${at} has CRC-32 ${hex(found)}, its end says ${hex(view.getUint32(end - 4))}`);
    }
    if (at === 8 && (type !== "IHDR" || length !== 13)) {
      fail(`its first chunk must be IHDR with 13 bytes, found ${excerpt(type)} with ${length} at byte 8`);
    }
    if (type === "IHDR") {
      if (at !== 8) fail(`a second IHDR at byte ${at}`);
      [width, height] = [view.getUint32(16), view.getUint32(20)];
      const [depth, , compression, filter, interlaced] = bytes.subarray(24, 29), channels = CHANNELS[bytes[25]];
      colour = bytes[25];
      if (width === 0 || height === 0 || width * height > PIXEL_LIMIT) {
        fail(`its size at byte 16 is ${width} × ${height}, it must have 1 to ${PIXEL_LIMIT} pixels`);
      }
      if (want && (want[0] !== height || want[1] !== width)) {
        fail(`its size at byte 16 is ${width} × ${height}, wanted is ${want[1]} × ${want[0]}: ${shapeHint([height, width], want)}`);
      }
      if (channels === undefined || ![1, 2, 4, 8, 16].includes(depth) || compression > 0 || filter > 0 || interlaced > 1) {
        fail(
          `its format at byte 24 is not one of PNG: depth ${depth}, colour type ${colour}, compression ${compression}, filter ${filter}, ` +
            `interlacing ${interlaced}`,
        );
      }
      passes = (interlaced ? ADAM7 : [[0, 0, 1, 1]]).map(([x, y, dx, dy]) => {
        const columns = Math.max(0, Math.ceil((width - x) / dx)), rows = columns && Math.max(0, Math.ceil((height - y) / dy));
        return { x, y, dx, dy, columns, rows, bytes: rows * (1 + Math.ceil(columns * channels * depth / 8)) };
      });
      expected = passes.reduce((sum, { bytes }) => sum + bytes, 0);
    }
    // A colour that stands for nothing. Of a palette's, what is used decides.
    if (type === "tRNS" && colour !== 3) {
      fail(`its chunk "tRNS" at byte ${at} makes a colour transparent, and a token is a colour; ${OPAQUE}`);
    }
    if (type === "IDAT") {
      first ||= at + 8;
      inflate(bytes.subarray(at + 8, at + 8 + length), false);
    }
    if (type === "PLTE" || type === "tRNS") palette.push(bytes.subarray(at, end));
    at = end;
  }
  if (first === 0) fail(`it has no image data before its end at byte ${at - 12}`);
  inflate(new Uint8Array(), true);
  if (count < expected) {
    fail(`damaged, its image data from byte ${first} gives ${count} bytes, ${width} × ${height} pixels have ${expected}`);
  }
  if (count > expected) {
    notify?.(
      name,
      `its image data from byte ${first} goes on behind the ${counted(expected, "byte")} of its pixels; the rest was left out`,
    );
  }
  if (at < bytes.length) notify?.(name, `${counted(bytes.length - at, "byte")} behind its end, at byte ${at}, were left out`);
  return { width, height, header: bytes.subarray(16, 29), palette, lines: join(lines), passes };
}

/** Samples of 8 bits, as many a pixel as the file has. */
function eightBits(png: DecodedPng, colour: number): { samples: Uint8Array | Uint8ClampedArray; channels: number } {
  if (colour === 3) return { samples: convertIndexedToRgb(png), channels: png.palette![0].length };
  if (png.depth < 8) {
    // Grey of a few bits is a palette of greys.
    const palette = Array.from({ length: 2 ** png.depth }, (_, i) => [Math.round(i * 255 / (2 ** png.depth - 1))]);
    return { samples: convertIndexedToRgb({ ...png, palette }), channels: 1 };
  }
  const samples = png.data instanceof Uint16Array ? Uint8Array.from(png.data, (x) => Math.round(x / 257)) : png.data;
  return { samples, channels: png.channels };
}

/**
 * Reads a PNG file: any depth and colour type, to red, green, blue of 8 bits. Colour profiles are not applied.
 *
 * @param name of the file, for messages
 * @param want height and width that it must have
 * @param notify is told of bytes behind the pixels or the file's end, which are left out
 * @throws {DataError} with the offset, where it is not PNG, damaged, cut short, of another size than wanted, or transparent
 */
export function decodePng(bytes: Uint8Array, name: string, want?: readonly number[], notify?: Notify): Image {
  expect("Cannot read PNG", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const { width, height, header, palette, lines, passes } = pngParts(bytes, name, want, notify), rgb = new Uint8Array(width * height * 3);
  let from = 0;
  for (const { x, y, dx, dy, columns, rows, bytes } of passes) {
    if (bytes === 0) continue;
    // Each pass is a file of its own for the decoder, which reads interlaced ones of 8 and 16 bits alone; not packed again.
    const own = header.slice(), view = new DataView(own.buffer);
    view.setUint32(0, columns);
    view.setUint32(4, rows);
    own[12] = 0;
    const data = zlibSync(lines.subarray(from, from += bytes), { level: 0 });
    let png: DecodedPng, samples: Uint8Array | Uint8ClampedArray, channels: number;
    try {
      png = decode(pngFile(["IHDR", own], ...palette, ["IDAT", data]));
      ({ samples, channels } = eightBits(png, own[9]));
    } catch (error) {
      throw new DataError(`Cannot read ${name}: damaged: ${(error as Error).message}`);
    }
    const alpha = channels === 2 || channels === 4, green = channels < 3 ? 0 : 1;
    for (let i = 0, at = 0; i < columns * rows; i++, at += channels) {
      const row = y + dy * Math.floor(i / columns), column = x + dx * (i % columns), to = (row * width + column) * 3;
      if (alpha && samples[at + channels - 1] !== 255) {
        throw new DataError(`Cannot read ${name}: it is transparent at row ${row}, column ${column}, and a token is a colour; ${OPAQUE}`);
      }
      rgb[to] = samples[at];
      rgb[to + 1] = samples[at + green];
      rgb[to + 2] = samples[at + 2 * green];
    }
  }
  return { width, height, rgb };
}

/** A chunk of a PNG file: length, type, data, checksum of the last two. */
function pngChunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** A PNG file of these chunks: ready ones, or types with their data. IEND follows. */
function pngFile(...chunks: readonly (Uint8Array | readonly [string, Uint8Array])[]): Uint8Array<ArrayBuffer> {
  const all = [...chunks, ["IEND", new Uint8Array()] as const];
  return join([Uint8Array.from(SIGNATURE), ...all.map((chunk) => chunk instanceof Uint8Array ? chunk : pngChunk(...chunk))]);
}

/**
 * A PNG file: 8 bits a channel, rows not filtered.
 *
 * @throws {ShapeError} where the image has another number of bytes than its size says
 */
export function encodePng(image: Image): Uint8Array<ArrayBuffer> {
  expect("Cannot write PNG", { image: [image, "an object"] });
  const { width, height, rgb } = image;
  const size = [0, 2 ** 24] as const;
  expect("Cannot write PNG", { width: [width, size], height: [height, size], rgb: [rgb, "an array of bytes"] });
  if (rgb.length !== width * height * 3 || rgb.length === 0) {
    throw new ShapeError(`Cannot write PNG: ${width} × ${height} pixels have ${width * height * 3} bytes, got ${rgb.length}`);
  }
  const header = new Uint8Array(13), view = new DataView(header.buffer), wide = width * 3, lines = new Uint8Array(height * (wide + 1));
  view.setUint32(0, width);
  view.setUint32(4, height);
  // Depth, and the colour type of red, green, blue.
  header.set([8, 2], 8);
  for (let y = 0; y < height; y++) lines.set(rgb.subarray(y * wide, (y + 1) * wide), y * (wide + 1) + 1);
  return pngFile(["IHDR", header], ["IDAT", zlibSync(lines, { level: 6 })]);
}

/** Puts images beside each other, `columns` a row, on white with `gap` pixels around each. */
export function tileImages(images: readonly Image[], columns: number, gap = 16): Image {
  expect("Cannot tile images", { images: [images, "a list"], columns: [columns, [1, MOST]], gap: [gap, [0, 4096]] });
  for (const one of images) expect("Cannot tile images", { image: [one, "an object"], rgb: [one?.rgb, "an array of bytes"] });
  const across = Math.min(columns, images.length), down = Math.ceil(images.length / across);
  const cellWidth = Math.max(...images.map(({ width }) => width)) + gap, cellHeight = Math.max(...images.map(({ height }) => height)) + gap;
  const width = across * cellWidth + gap, height = down * cellHeight + gap, rgb = new Uint8Array(width * height * 3).fill(255);
  images.forEach((image, at) => {
    const left = gap + (at % across) * cellWidth, top = gap + Math.floor(at / across) * cellHeight;
    for (let y = 0; y < image.height; y++) {
      rgb.set(image.rgb.subarray(y * image.width * 3, (y + 1) * image.width * 3), ((top + y) * width + left) * 3);
    }
  });
  return { width, height, rgb };
}

/**
 * Makes pictures of tokens.
 *
 * @param rows tokens of whole images, [images, H, W, C] with 1 channel (grey) or 3
 * @param scale screen pixels a pixel, whole
 * @throws {ShapeError} where the rows are not whole images
 */
export function imagesOf(rows: Uint8Array, shape: ImageShape, scale = 1): Image[] {
  const size = [1, 65536] as const, [high, wide, deep] = [0, 1, 2].map((at) => shape?.[at]);
  expect("Cannot draw images", {
    rows: [rows, "an array of bytes"],
    shape: [shape, "a list"],
    height: [high, size],
    width: [wide, size],
    channels: [deep, size],
  });
  const [height, width, channels] = shape, unit = height * width * channels;
  if ((channels !== 1 && channels !== 3) || !(unit > 0)) {
    throw new ShapeError(`Cannot draw images of shape ${shape.join(" × ")}: they must have 1 or 3 channels`);
  }
  if (rows.length % unit !== 0) {
    throw new ShapeError(`Cannot draw images of ${shape.join(" × ")} = ${unit} tokens: got ${rows.length}, not a multiple of that`);
  }
  if (!Number.isInteger(scale) || scale < 1 || scale > 64) {
    throw new ConfigError(`Cannot draw images: the scale must be a whole number from 1 to 64, current value is ${scale}`);
  }
  return Array.from({ length: rows.length / unit }, (_, n) => {
    const across = width * scale, rgb = new Uint8Array(across * height * scale * 3);
    for (let y = 0; y < height * scale; y++) {
      const from = n * unit + Math.floor(y / scale) * width * channels;
      if (y % scale > 0) {
        rgb.copyWithin(y * across * 3, (y - 1) * across * 3, y * across * 3);
        continue;
      }
      for (let x = 0; x < across; x++) {
        const at = from + Math.floor(x / scale) * channels, to = (y * across + x) * 3;
        for (let c = 0; c < 3; c++) rgb[to + c] = rows[channels === 1 ? at : at + c];
      }
    }
    return { width: across, height: height * scale, rgb };
  });
}

/**
 * One picture of many images.
 *
 * @param rows tokens of whole images, [images, H, W, C]
 * @param columns images a row; without it, as many as make the sheet about square
 * @throws {ShapeError} where there is no image, or the rows are not whole images
 *
 * @example
 * ```ts
 * import { encodePng } from "../../data.ts";
 * import { contactSheet } from "../../pictures.ts";
 * const tokens = crypto.getRandomValues(new Uint8Array(6 * 32 * 32 * 3));
 * console.log(encodePng(contactSheet(tokens, [32, 32, 3], 3)).length > 0);
 * ```
 */
export function contactSheet(rows: Uint8Array, shape: ImageShape, columns?: number): Image {
  expect("Cannot draw a contact sheet", {
    rows: [rows, "an array of bytes"],
    shape: [shape, "a list"],
    columns: [columns === undefined ? 1 : columns, [1, MOST]],
  });
  if (rows.length === 0) throw new ShapeError("Cannot draw a contact sheet: there is no image");
  // Small images are drawn larger: 32 × 32 three pixels a pixel.
  const images = imagesOf(rows, shape, Math.max(1, Math.floor(96 / Math.max(shape[0], shape[1]))));
  return tileImages(images, columns ?? Math.ceil(Math.sqrt(images.length)), 4);
}

/** Pixels of a CIFAR image: 32 × 32 of red, of green, of blue. */
const CIFAR_PIXELS = 3072;

/** The shape of a CIFAR image. */
export const CIFAR_SHAPE: ImageShape = [32, 32, 3];

/** Classes of each label that a row begins with: CIFAR-10 has one; CIFAR-100 one of 20 groups and one of 100. */
const CIFAR_LABELS = { "CIFAR-10": [10], "CIFAR-100": [20, 100] } as const;

/** Which of two data sets. */
export type Cifar = keyof typeof CIFAR_LABELS;

/** The first byte that is no class. */
function noClass(bytes: Uint8Array, labels: readonly number[]): number | undefined {
  const row = labels.length + CIFAR_PIXELS;
  for (let at = 0; at < bytes.length; at += row) {
    const wrong = labels.findIndex((classes, i) => bytes[at + i] >= classes);
    if (wrong >= 0) return at + wrong;
  }
}

/** Which CIFAR bytes are whole rows of, by the classes at the beginning of each. */
export function cifarOf(bytes: Uint8Array): Cifar | undefined {
  const whole = (labels: readonly number[]) => bytes.length % (labels.length + CIFAR_PIXELS) === 0 && noClass(bytes, labels) === undefined;
  return bytes.length === 0 ? undefined : (Object.keys(CIFAR_LABELS) as Cifar[]).find((set) => whole(CIFAR_LABELS[set]));
}

const scratch = lazily(async () => {
  const made = await Scratch.create();
  return { made, from: made.take(CIFAR_PIECE * (CIFAR_PIXELS + 2)), to: made.take(CIFAR_PIECE * CIFAR_PIXELS + 4) };
});

/** Rows converted at once, 96 kB: both ends stay in the cache. */
const CIFAR_PIECE = 32;

/**
 * Tokens of CIFAR rows (data_batch_1.bin of CIFAR-10, train.bin of CIFAR-100): row-major red, green, blue, 3,072 an image, the classes
 * left out.
 *
 * @param name of the file, for messages
 * @throws {DataError} with the offset, where a row is cut short or begins with no class
 */
export async function decodeCifar(bytes: Uint8Array, name: string, set: Cifar = "CIFAR-10"): Promise<Uint8Array<ArrayBuffer>> {
  expect("Cannot read CIFAR", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const labels = CIFAR_LABELS[set], wide = labels.length + CIFAR_PIXELS, rows = Math.floor(bytes.length / wide), rest = bytes.length % wide;
  if (rest !== 0 || rows === 0) {
    throw new DataError(
      `Cannot read ${name}: cut short, a ${set} row at byte ${rows * wide} has ${wide} bytes, the file ends after ${rest} of them`,
    );
  }
  const wrong = noClass(bytes, labels);
  if (wrong !== undefined) {
    throw new DataError(
      `Cannot read ${name}: a ${set} row begins with a class from 0 to ${labels[wrong % wide] - 1}, found ${bytes[wrong]} at byte ${wrong}`,
    );
  }
  const { made, from, to } = await scratch(), tokens = new Uint8Array(rows * CIFAR_PIXELS);
  for (let row = 0; row < rows; row += CIFAR_PIECE) {
    const count = Math.min(CIFAR_PIECE, rows - row);
    made.u8(from, count * wide).set(bytes.subarray(row * wide, (row + count) * wide));
    made.kernels.image_interleave(count, labels.length, CIFAR_PIXELS / 3, from, to);
    tokens.set(made.u8(to, count * CIFAR_PIXELS), row * CIFAR_PIXELS);
  }
  return tokens;
}

/** {@linkcode decodeCifar} of CIFAR-10. */
export function decodeCifar10(bytes: Uint8Array, name: string): Promise<Uint8Array<ArrayBuffer>> {
  return decodeCifar(bytes, name);
}

/** What the header of an IDX file, MNIST's format, says. */
export interface Idx {
  /** Sizes of its axes: the first counts what is in it. */
  readonly axes: readonly number[];
  /** Bytes before the elements. */
  readonly begin: number;
  /** Bytes of header and elements. */
  readonly end: number;
}

/**
 * Reads the header of an IDX file of bytes: two zeros, the type, the number of axes, their sizes.
 *
 * @returns undefined where it is none: another type, no element, more than four axes, or more elements than there are bytes
 */
export function idxOf(bytes: Uint8Array): Idx | undefined {
  const [a, b, type, count] = bytes, begin = 4 + 4 * count;
  if (a !== 0 || b !== 0 || type !== 8 || !(count >= 1 && count <= 4) || bytes.length < begin) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset),
    axes = Array.from({ length: count }, (_, axis) => view.getUint32(4 + 4 * axis));
  const end = axes.reduce((product, size) => product * size, 1) + begin;
  return end > begin && end <= bytes.length ? { axes, begin, end } : undefined;
}
