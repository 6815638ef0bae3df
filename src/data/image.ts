/**
 * Images as tokens, row-major red, green, blue, a byte each: PNG, the CIFAR-10 binary format, and sheets of many.
 *
 * @module
 */

import { expect, MOST } from "../check.ts";
import { convertIndexedToRgb, decode, type DecodedPng } from "npm:fast-png@8.0.0";
import { Unzlib, zlibSync } from "npm:fflate@0.8.3";
import { ConfigError, DataError, excerpt, ShapeError } from "../errors.ts";
import { crc32, hex } from "./crc32.ts";
import { join } from "./reader.ts";
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

/** How to give images one size. */
export function resizeHint([height, width]: readonly number[]): string {
  return `resize it first: ffmpeg -i in.png -vf scale=${width}:${height} out.png`;
}

const OPAQUE = "give it a ground first: ffmpeg -i in.png -pix_fmt rgb24 out.png";

/** What a PNG file says of itself, and its chunks that matter, once their lengths are known to be true. */
interface PngParts {
  readonly width: number;
  readonly height: number;
  readonly colour: number;
  readonly chunks: readonly Uint8Array[];
}

/**
 * Walks the chunks before the decoder sees the file: it reads lengths and inflates without a bound. So this bounds both,
 * finds the offset of what is wrong, and leaves out chunks that do not make pixels (a colour profile is compressed too).
 */
function pngParts(bytes: Uint8Array, name: string, want?: readonly number[]): PngParts {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read ${name}: ${what}`);
  };
  const wrong = SIGNATURE.findIndex((byte, i) => bytes[i] !== byte);
  if (wrong >= 0) fail(`a PNG file begins with bytes 89 50 4e 47 0d 0a 1a 0a, it differs at byte ${wrong}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), chunks = [bytes.subarray(0, 8)];
  let width = 0, height = 0, colour = 0, expected = 0, count = 0, at = 8, first = 0;
  const inflator = new Unzlib((piece) => {
    count += piece.length;
    if (count > expected) {
      fail(`damaged, its image data from byte ${first} gives more than the ${expected} bytes of ${width} × ${height} pixels`);
    }
  });
  const inflate = (piece: Uint8Array, last: boolean) => {
    try {
      // In pieces, so that no more than 64 MiB come out at once.
      for (let k = 0; k < piece.length; k += 65536) inflator.push(piece.subarray(k, k + 65536));
      if (last) inflator.push(new Uint8Array(), true);
    } catch (error) {
      if (error instanceof DataError) throw error;
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
        fail(`its size at byte 16 is ${width} × ${height}, those before have ${want[1]} × ${want[0]}; ${resizeHint(want)}`);
      }
      if (channels === undefined || ![1, 2, 4, 8, 16].includes(depth) || compression > 0 || filter > 0 || interlaced > 1) {
        fail(
          `its format at byte 24 is not one of PNG: depth ${depth}, colour type ${colour}, compression ${compression}, filter ${filter}, ` +
            `interlacing ${interlaced}`,
        );
      }
      if (interlaced && depth < 8) {
        fail(`it is interlaced with ${depth} bits a sample, which is not supported; convert it first: ffmpeg -i in.png out.png`);
      }
      const row = (columns: number) => columns === 0 ? 0 : 1 + Math.ceil(columns * channels * depth / 8);
      const passes = interlaced ? ADAM7 : [[0, 0, 1, 1]];
      for (const [x, y, dx, dy] of passes) {
        expected += Math.max(0, Math.ceil((height - y) / dy)) * row(Math.max(0, Math.ceil((width - x) / dx)));
      }
    }
    // A colour that stands for nothing. Of a palette's, what is used decides.
    if (type === "tRNS" && colour !== 3) {
      fail(`its chunk "tRNS" at byte ${at} makes a colour transparent, and a token is a colour; ${OPAQUE}`);
    }
    if (type === "IDAT") {
      first ||= at + 8;
      inflate(bytes.subarray(at + 8, at + 8 + length), false);
    }
    if (kept) chunks.push(bytes.subarray(at, end));
    at = end;
  }
  if (first === 0) fail(`it has no image data before its end at byte ${at - 12}`);
  inflate(new Uint8Array(), true);
  if (count < expected) {
    fail(`damaged, its image data from byte ${first} gives ${count} bytes, ${width} × ${height} pixels have ${expected}`);
  }
  return { width, height, colour, chunks };
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
 * @throws {DataError} with the offset, where it is not PNG, damaged, cut short, of another size than wanted, or transparent
 */
export function decodePng(bytes: Uint8Array, name: string, want?: readonly number[]): Image {
  expect("Cannot read PNG", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const { width, height, colour, chunks } = pngParts(bytes, name, want);
  let png: DecodedPng, samples: Uint8Array | Uint8ClampedArray, channels: number;
  try {
    png = decode(join(chunks));
    ({ samples, channels } = eightBits(png, colour));
  } catch (error) {
    throw new DataError(`Cannot read ${name}: damaged: ${(error as Error).message}`);
  }
  const pixels = width * height, rgb = new Uint8Array(pixels * 3), alpha = channels === 2 || channels === 4;
  for (let i = 0; i < pixels; i++) {
    const at = i * channels;
    if (alpha && samples[at + channels - 1] !== 255) {
      const where = `row ${Math.floor(i / width)}, column ${i % width}`;
      throw new DataError(`Cannot read ${name}: it is transparent at ${where}, and a token is a colour; ${OPAQUE}`);
    }
    rgb[i * 3] = samples[at];
    rgb[i * 3 + 1] = samples[channels < 3 ? at : at + 1];
    rgb[i * 3 + 2] = samples[channels < 3 ? at : at + 2];
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
  const chunks = { IHDR: header, IDAT: zlibSync(lines, { level: 6 }), IEND: new Uint8Array() };
  return join([Uint8Array.from(SIGNATURE), ...Object.entries(chunks).map(([type, data]) => pngChunk(type, data))]);
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
 * import { contactSheet, encodePng } from "../../mod.ts";
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

/** A row of the CIFAR-10 binary format: the class, then 32 × 32 pixels of red, of green, of blue. */
const CIFAR_ROW = 3073;

/** The shape of a CIFAR-10 image. */
export const CIFAR_SHAPE: ImageShape = [32, 32, 3];

/** Whether bytes are whole CIFAR-10 rows, by the class at the beginning of each. */
export function isCifar10(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || bytes.length % CIFAR_ROW !== 0) return false;
  for (let at = 0; at < bytes.length; at += CIFAR_ROW) if (bytes[at] > 9) return false;
  return true;
}

const scratch = lazily(async () => {
  const made = await Scratch.create();
  return { made, from: made.take(CIFAR_PIECE * CIFAR_ROW), to: made.take(CIFAR_PIECE * (CIFAR_ROW - 1) + 4) };
});

/** Rows converted at once, 96 kB: both ends stay in the cache. */
const CIFAR_PIECE = 32;

/**
 * Tokens of CIFAR-10 rows (data_batch_1.bin and its kind): row-major red, green, blue, 3,072 an image, the classes left out.
 *
 * @param name of the file, for messages
 * @throws {DataError} with the offset, where a row is cut short or begins with no class
 */
export async function decodeCifar10(bytes: Uint8Array, name: string): Promise<Uint8Array<ArrayBuffer>> {
  expect("Cannot read CIFAR-10", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const rows = Math.floor(bytes.length / CIFAR_ROW), rest = bytes.length % CIFAR_ROW;
  if (rest !== 0 || rows === 0) {
    throw new DataError(
      `Cannot read ${name}: cut short, a CIFAR-10 row at byte ${
        rows * CIFAR_ROW
      } has ${CIFAR_ROW} bytes, the file ends after ${rest} of them`,
    );
  }
  for (let at = 0; at < bytes.length; at += CIFAR_ROW) {
    if (bytes[at] > 9) {
      throw new DataError(`Cannot read ${name}: a CIFAR-10 row begins with a class from 0 to 9, found ${bytes[at]} at byte ${at}`);
    }
  }
  const { made, from, to } = await scratch(), unit = CIFAR_ROW - 1, tokens = new Uint8Array(rows * unit);
  for (let row = 0; row < rows; row += CIFAR_PIECE) {
    const count = Math.min(CIFAR_PIECE, rows - row);
    made.u8(from, count * CIFAR_ROW).set(bytes.subarray(row * CIFAR_ROW, (row + count) * CIFAR_ROW));
    made.kernels.image_interleave(count, 1, unit / 3, from, to);
    tokens.set(made.u8(to, count * unit), row * unit);
  }
  return tokens;
}
