/**
 * PNG files, read strictly and written plainly.
 *
 * W3C Portable Network Graphics, https://www.w3.org/TR/png-3/ (ISO/IEC 15948): names of chunks, colour types and passes are its own.
 *
 * @module
 */

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

/** Samples per pixel, and the bits that a sample may have, by the format's colour type. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS: Readonly<Record<number, readonly number[]>> = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };

/** The colour type of indices into a palette, and where a file has the type. */
const PALETTE = 3, COLOUR_TYPE = 25;

/** First column, first row, and steps of the seven passes of an interlaced image. */
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

const OPAQUE = "give it a ground first: ffmpeg -i in.png -pix_fmt rgb24 out.png";

/** What a PNG file says of itself, once its lengths are known to be true. */
interface PngParts {
  readonly width: number;
  readonly height: number;
  /** Bits of a sample. */
  readonly depth: number;
  /** The colour type. */
  readonly colour: number;
  /** PLTE: red, green and blue of each colour; empty without. */
  readonly palette: Uint8Array;
  /** tRNS of a palette: the opacity of its first colours. */
  readonly opacities: Uint8Array;
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
function pngHeader(
  header: Uint8Array,
  fail: (what: string) => never,
  want?: readonly number[],
): Omit<PngParts, "palette" | "opacities" | "lines"> {
  const view = new DataView(header.buffer, header.byteOffset), width = view.getUint32(0), height = view.getUint32(4);
  const [depth, colour, compression, filter, interlaced] = header.subarray(8), channels = CHANNELS[colour];
  if (width === 0 || height === 0 || width * height > PIXEL_LIMIT) {
    fail(`its size at byte 16 is ${width} × ${height}, it must have 1 to ${PIXEL_LIMIT} pixels`);
  }
  if (want && (want[0] !== height || want[1] !== width)) {
    fail(`its size at byte 16 is ${width} × ${height}, wanted is ${want[1]} × ${want[0]}: ${shapeHint([height, width], want)}`);
  }
  if (channels === undefined || !DEPTHS[colour].includes(depth) || compression > 0 || filter > 0 || interlaced > 1) {
    fail(
      `its format at byte 24 is not one of PNG: depth ${depth}, colour type ${colour}, compression ${compression}, filter ${filter}, ` +
        `interlacing ${interlaced}`,
    );
  }
  const passes = (interlaced ? ADAM7 : [[0, 0, 1, 1]]).map(([x, y, dx, dy]) => {
    const columns = Math.max(0, Math.ceil((width - x) / dx)), rows = columns && Math.max(0, Math.ceil((height - y) / dy));
    return { x, y, dx, dy, columns, rows, bytes: rows * (1 + Math.ceil(columns * channels * depth / 8)) };
  });
  return { width, height, depth, colour, passes };
}

/** Walks the chunks: inflates no more than the pixels take, finds the offset of what is wrong, leaves out chunks that make no pixels. */
function pngParts(bytes: Uint8Array, name: string, want?: readonly number[], notify?: Notify): PngParts {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read ${name}: ${what}`);
  };
  const wrong = SIGNATURE.findIndex((byte, i) => bytes[i] !== byte);
  if (wrong >= 0) fail(`a PNG file begins with bytes 89 50 4e 47 0d 0a 1a 0a, it differs at byte ${wrong}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), lines: Uint8Array[] = [];
  let palette = new Uint8Array(), opacities = new Uint8Array();
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
    if (type === "PLTE") palette = bytes.slice(at + 8, end - 4);
    if (type === "tRNS") opacities = bytes.slice(at + 8, end - 4);
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
  return { ...parts!, palette, opacities, lines: join(lines) };
}

/** The predictor nearest to left + above − corner; of those as near the first of left, above, corner (section 9.4). */
function paeth(left: number, above: number, corner: number): number {
  const p = left + above - corner, a = Math.abs(p - left), b = Math.abs(p - above), c = Math.abs(p - corner);
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

/**
 * Undoes the filters of rows in place (section 9), each of which begins with the number of its own.
 *
 * @param wide bytes of a row without that number
 * @param step bytes of a pixel, at least 1
 */
function unfilter(lines: Uint8Array, wide: number, step: number, fail: (what: string) => never): void {
  for (let row = 0, at = 1; at < lines.length; row++, at += wide + 1) {
    const filter = lines[at - 1], above = row > 0 ? at - wide - 1 : -1;
    if (filter > 4) fail(`damaged, row ${row} has filter ${filter}, there are 0 to 4`);
    for (let i = 0; i < wide && filter > 0; i++) {
      const left = i < step ? 0 : lines[at + i - step], up = above < 0 ? 0 : lines[above + i];
      const corner = i < step || above < 0 ? 0 : lines[above + i - step];
      lines[at + i] += filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
    }
  }
}

/** Samples of unfiltered rows: of a palette its indices, else 8 bits each. */
function samplesOf(lines: Uint8Array, { rows, columns }: Pass, { depth, colour }: PngParts): Uint8Array {
  const count = columns * CHANNELS[colour], wide = lines.length / rows, samples = new Uint8Array(rows * count), most = 2 ** depth - 1;
  const scale = colour === PALETTE ? 1 : 255 / most;
  for (let row = 0; row < rows; row++) {
    const from = row * wide + 1;
    for (let i = 0; i < count; i++) {
      const bit = i * depth, at = from + (bit >> 3);
      const value = depth === 16 ? lines[at] << 8 | lines[at + 1] : lines[at] >> (8 - depth - (bit & 7)) & most;
      samples[row * count + i] = Math.round(value * scale);
    }
  }
  return samples;
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
  const parts = pngParts(bytes, name, want, notify), { width, height, colour, palette, opacities, lines, passes } = parts;
  const rgb = new Uint8Array(width * height * 3), channels = CHANNELS[colour], green = channels < 3 ? 0 : 1;
  const fail = (what: string): never => {
    throw new DataError(`Cannot read ${name}: ${what}`);
  };
  if (colour === PALETTE && palette.length === 0) fail("damaged, its pixels are of a palette and it has none");
  let from = 0;
  for (const pass of passes) {
    const { x, y, dx, dy, columns, rows, bytes } = pass, own = lines.subarray(from, from += bytes);
    if (bytes === 0) continue;
    unfilter(own, bytes / rows - 1, Math.max(1, channels * parts.depth >> 3), fail);
    const samples = samplesOf(own, pass, parts);
    for (let i = 0, at = 0; i < columns * rows; i++, at += channels) {
      const row = y + dy * Math.floor(i / columns), column = x + dx * (i % columns), to = (row * width + column) * 3;
      const index = samples[at], indexed = colour === PALETTE;
      if (indexed && 3 * index + 2 >= palette.length) {
        fail(`damaged, the pixel at row ${row}, column ${column} has colour ${index} of a palette of ${Math.floor(palette.length / 3)}`);
      }
      const opacity = indexed ? opacities[index] ?? 255 : channels % 2 === 0 ? samples[at + channels - 1] : 255;
      if (opacity !== 255) fail(`it is transparent at row ${row}, column ${column}, and a token is a colour; ${OPAQUE}`);
      if (indexed) rgb.set(palette.subarray(3 * index, 3 * index + 3), to);
      else rgb.set([samples[at], samples[at + green], samples[at + 2 * green]], to);
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

/** A PNG file of these chunks: types with their data. IEND follows. */
function pngFile(...chunks: readonly (readonly [string, Uint8Array])[]): Uint8Array<ArrayBuffer> {
  return join([Uint8Array.from(SIGNATURE), ...[...chunks, ["IEND", new Uint8Array()] as const].map((chunk) => pngChunk(...chunk))]);
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
