/**
 * PNG files, read strictly and written plainly.
 *
 * W3C Portable Network Graphics, https://www.w3.org/TR/png-3/ (ISO/IEC 15948): names of chunks, colour types and passes are its own.
 *
 * @module
 */

import { convertIndexedToRgb, decode, type DecodedPng } from "npm:fast-png@8.0.0";
import { Unzlib, zlibSync } from "npm:fflate@0.8.3";
import { expect } from "../base/check.ts";
import { DataError, excerpt, ShapeError } from "../base/errors.ts";
import { crc32, hex } from "./crc32.ts";
import { type Image, shapeHint } from "./image.ts";
import { counted, type Notify } from "./notices.ts";
import { join } from "./reader.ts";

/** Most pixels of one image: a context of as many tokens is far beyond the paper's 1,048,576. */
const PIXEL_LIMIT = 2 ** 26;

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Samples per pixel, by the format's colour type. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** The colour type of indices into a palette, and where a file has the type. */
const PALETTE = 3, COLOUR_TYPE = 25;

/** First column, first row, and steps of the seven passes of an interlaced image. */
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

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

/** Reads IHDR, 13 bytes of data at byte 16: of every pass what it takes. */
function pngHeader(header: Uint8Array, fail: (what: string) => never, want?: readonly number[]): Omit<PngParts, "palette" | "lines"> {
  const view = new DataView(header.buffer, header.byteOffset), width = view.getUint32(0), height = view.getUint32(4);
  const [depth, colour, compression, filter, interlaced] = header.subarray(8), channels = CHANNELS[colour];
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
  const passes = (interlaced ? ADAM7 : [[0, 0, 1, 1]]).map(([x, y, dx, dy]) => {
    const columns = Math.max(0, Math.ceil((width - x) / dx)), rows = columns && Math.max(0, Math.ceil((height - y) / dy));
    return { x, y, dx, dy, columns, rows, bytes: rows * (1 + Math.ceil(columns * channels * depth / 8)) };
  });
  return { width, height, header, passes };
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
  let parts: ReturnType<typeof pngHeader> | undefined, expected = 0, count = 0, at = 8, first = 0;
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
      parts = pngHeader(bytes.subarray(16, 29), fail, want);
      expected = parts.passes.reduce((sum, { bytes }) => sum + bytes, 0);
    }
    // A colour that stands for nothing. Of a palette's, what is used decides.
    if (type === "tRNS" && bytes[COLOUR_TYPE] !== PALETTE) {
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
    fail(`damaged, its image data from byte ${first} gives ${count} bytes, ${parts!.width} × ${parts!.height} pixels have ${expected}`);
  }
  if (count > expected) {
    notify?.(
      name,
      `its image data from byte ${first} goes on behind the ${counted(expected, "byte")} of its pixels; the rest was left out`,
    );
  }
  if (at < bytes.length) notify?.(name, `${counted(bytes.length - at, "byte")} behind its end, at byte ${at}, were left out`);
  return { ...parts!, palette, lines: join(lines) };
}

/** Samples of 8 bits, as many per pixel as the file has. */
function eightBits(png: DecodedPng, colour: number): { samples: Uint8Array | Uint8ClampedArray; channels: number } {
  if (colour === PALETTE) return { samples: convertIndexedToRgb(png), channels: png.palette![0].length };
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
 * A PNG file: 8 bits per channel, rows not filtered.
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
