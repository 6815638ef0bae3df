/**
 * Images: PNG, CIFAR-10 rows, sheets.
 *
 * Plan. PNG of every kind, written here by hand and read against its definition; then every way a file can be wrong.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { zlibSync } from "fflate";
import { crc32 } from "../src/data/crc32.ts";
import { cifarOf, decodeCifar, decodeCifar10 } from "../src/data/cifar.ts";
import { contactSheet, imagesOf, tileImages } from "../src/pictures/sheets.ts";
import { decodePng, encodePng } from "../src/data/png.ts";
import { join } from "../src/data/reader.ts";
import { ConfigError, DataError, ShapeError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

interface Png {
  width: number;
  height: number;
  depth?: number;
  colour?: number;
  interlaced?: number;
  /** Before the image data. */
  extra?: Uint8Array[];
  /** Pieces that the image data is cut into. */
  pieces?: number;
  end?: boolean;
}

/** A file of scanlines, each with its filter first. */
function png(lines: Uint8Array, { width, height, depth = 8, colour = 2, interlaced = 0, extra = [], pieces = 1, end = true }: Png) {
  const head = new Uint8Array(13), view = new DataView(head.buffer), data = zlibSync(lines), step = Math.ceil(data.length / pieces);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([depth, colour, 0, 0, interlaced], 8);
  const idat = Array.from({ length: pieces }, (_, i) => chunk("IDAT", data.subarray(i * step, (i + 1) * step)));
  return join([SIGNATURE, chunk("IHDR", head), ...extra, ...idat, ...(end ? [chunk("IEND", new Uint8Array())] : [])]);
}

/** Scanlines without a filter. */
const lines = (rows: number[][]) => Uint8Array.from(rows.flatMap((row) => [0, ...row]));

function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = new Random(seed, 2);
  return Uint8Array.from({ length }, () => random.below(256));
}

const grey = (values: number[]) => Uint8Array.from(values.flatMap((v) => [v, v, v]));

Deno.test("PNG: what is written is read back", () => {
  for (const [width, height] of [[1, 1], [3, 5], [64, 64], [1, 300]]) {
    const rgb = noise(width * height * 3), file = encodePng({ width, height, rgb });
    assertEquals(decodePng(file, "t.png"), { width, height, rgb });
    assertEquals(decodePng(join([new Uint8Array(3), file]).subarray(3), "t.png").rgb, rgb);
  }
  assertThrows(() => encodePng({ width: 2, height: 2, rgb: new Uint8Array(11) }), ShapeError, "2 × 2 pixels have 12 bytes, got 11");
  assertThrows(() => encodePng({ width: 0, height: 2, rgb: new Uint8Array() }), ShapeError, "got 0");
});

Deno.test("PNG: every colour type and depth", () => {
  const read = (rows: number[][], more: Partial<Png>) => decodePng(png(lines(rows), { width: 3, height: 2, ...more }), "t.png").rgb;
  const bits = (depth: number) => [[0b10110100 & (depth === 1 ? 0xe0 : depth === 2 ? 0xfc : 0xff), ...(depth === 4 ? [0x70] : [])], [
    0b01011000 & (depth === 1 ? 0xe0 : depth === 2 ? 0xfc : 0xff),
    ...(depth === 4 ? [0xf0] : []),
  ]];
  assertEquals(read(bits(1), { colour: 0, depth: 1 }), grey([255, 0, 255, 0, 255, 0]));
  assertEquals(read(bits(2), { colour: 0, depth: 2 }), grey([170, 255, 85, 85, 85, 170]));
  assertEquals(read(bits(4), { colour: 0, depth: 4 }), grey([187, 68, 119, 85, 136, 255]));
  assertEquals(read([[1, 2, 3], [4, 5, 6]], { colour: 0 }), grey([1, 2, 3, 4, 5, 6]));
  assertEquals(read([[0, 128, 1, 0, 255, 255], [0, 129, 2, 1, 3, 2]], { colour: 0, depth: 16 }), grey([0, 1, 255, 1, 2, 3]));
  assertEquals(
    read([[1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2, 1]], {}),
    Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1),
  );
  assertEquals(read([[1, 255, 2, 255, 3, 255], [4, 255, 5, 255, 6, 255]], { colour: 4 }), grey([1, 2, 3, 4, 5, 6]));
  const opaque = [[1, 2, 3, 255, 4, 5, 6, 255, 7, 8, 9, 255], [9, 8, 7, 255, 6, 5, 4, 255, 3, 2, 1, 255]];
  assertEquals(read(opaque, { colour: 6 }), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1));
  const wide = opaque.map((row) => row.flatMap((byte) => [byte, byte]));
  assertEquals(read(wide, { colour: 6, depth: 16 }), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1));
  const palette = chunk("PLTE", Uint8Array.of(10, 20, 30, 40, 50, 60, 70, 80, 90, 1, 2, 3));
  const want = Uint8Array.of(70, 80, 90, 1, 2, 3, 40, 50, 60, 40, 50, 60, 40, 50, 60, 70, 80, 90);
  assertEquals(read([[0b10110100], [0b01011000]], { colour: 3, depth: 2, extra: [palette] }), want);
  assertEquals(read([[2, 3, 1], [1, 1, 2]], { colour: 3, extra: [palette], pieces: 5 }), want);
});

Deno.test("PNG: every filter, by its definition", () => {
  const width = 9, height = 15, rgb = noise(width * height * 3), row = width * 3, out: number[] = [];
  for (let y = 0; y < height; y++) {
    out.push(y % 5);
    for (let i = 0; i < row; i++) {
      const a = i < 3 ? 0 : rgb[y * row + i - 3],
        b = y === 0 ? 0 : rgb[(y - 1) * row + i],
        c = i < 3 || y === 0 ? 0 : rgb[(y - 1) * row + i - 3];
      const p = a + b - c, [pa, pb, pc] = [a, b, c].map((v) => Math.abs(p - v)), paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      out.push((rgb[y * row + i] - [0, a, b, (a + b) >> 1, paeth][y % 5]) & 255);
    }
  }
  assertEquals(decodePng(png(Uint8Array.from(out), { width, height, pieces: 4 }), "t.png").rgb, rgb);
});

Deno.test("PNG: interlaced, by the seven passes, of every depth", () => {
  const passes = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
  for (const [width, height] of [[1, 1], [4, 3], [8, 8], [11, 10]]) {
    const values = noise(width * height * 3);
    for (const [colour, depth] of [[2, 8], [0, 1], [0, 2], [0, 4], [0, 8], [2, 16], [3, 4]]) {
      const samples = colour === 2 ? 3 : 1,
        most = Math.min(255, 2 ** depth - 1),
        value = (i: number) => values[i] & most,
        out: number[] = [];
      for (const [x0, y0, dx, dy] of passes) {
        for (let y = y0; y < height; y += dy) {
          let bits = "";
          for (let x = x0; x < width; x += dx) {
            for (let c = 0; c < samples; c++) {
              bits += value((y * width + x) * samples + c).toString(2).padStart(Math.min(8, depth), "0").repeat(depth > 8 ? 2 : 1);
            }
          }
          if (bits) out.push(0, ...bits.padEnd(Math.ceil(bits.length / 8) * 8, "0").match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
        }
      }
      const palette = chunk("PLTE", Uint8Array.from({ length: 48 }, (_, i) => 255 - i * 5));
      const extra = colour === 3 ? [palette] : [], file = png(Uint8Array.from(out), { width, height, colour, depth, interlaced: 1, extra });
      const want = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
        const pixel = Math.floor(i / 3);
        return colour === 2 ? value(i) : colour === 3 ? 255 - (value(pixel) * 3 + i % 3) * 5 : Math.round(value(pixel) * 255 / most);
      });
      assertEquals(decodePng(file, "t.png").rgb, want, `${width} × ${height}, colour type ${colour}, ${depth} bits`);
    }
  }
});

Deno.test("PNG: a file that ends or differs anywhere is an error that names it", () => {
  const file = encodePng({ width: 5, height: 4, rgb: noise(60) });
  for (let length = 0; length < file.length; length++) {
    const error = assertThrows(() => decodePng(file.subarray(0, length), "cut.png"), DataError, "Cannot read cut.png: ");
    assertStringIncludes(error.message, "byte");
  }
  for (let at = 0; at < file.length; at++) {
    const changed = file.slice();
    changed[at] ^= 1 << at % 8;
    const error = assertThrows(() => decodePng(changed, "bad.png"), DataError, "Cannot read bad.png: ");
    assertStringIncludes(error.message, "byte");
  }
});

Deno.test("PNG: sizes that lie, images that grow, other sizes and transparency are errors", () => {
  const small = png(lines([[1, 2, 3], [4, 5, 6]]), { width: 1, height: 2 });
  assertEquals(decodePng(small, "t.png", [2, 1]).rgb, Uint8Array.of(1, 2, 3, 4, 5, 6));
  const bomb = png(new Uint8Array(40 << 20), { width: 4, height: 4 });
  assert(bomb.length < 60_000);
  const profile = chunk("iCCP", join([new TextEncoder().encode("p\0\0"), zlibSync(new Uint8Array(40 << 20))]));
  const two = [[1, 2, 3, 4, 5, 6]];
  const cases: [Uint8Array, string][] = [
    [png(lines([[1, 2, 3]]), { width: 1, height: 2 }), "its image data from byte 41 gives 4 bytes, 1 × 2 pixels have 8"],
    [png(new Uint8Array(9), { width: 0x7fffffff, height: 0x7fffffff }), "its size at byte 16 is 2147483647 × 2147483647"],
    [png(new Uint8Array(9), { width: 0, height: 1 }), "its size at byte 16 is 0 × 1"],
    [png(lines(two), { width: 2, height: 1, colour: 5 }), "its format at byte 24 is not one of PNG: depth 8, colour type 5"],
    [png(lines(two), { width: 2, height: 1, depth: 3 }), "depth 3"],
    [png(lines(two), { width: 2, height: 1, end: false }), "cut short, a chunk at byte"],
    [join([SIGNATURE, chunk("IDAT", new Uint8Array(13)), small.subarray(8)]), 'its first chunk must be IHDR with 13 bytes, found "IDAT"'],
    [join([small.subarray(0, 33), small.subarray(8)]), "a second IHDR at byte 33"],
    [join([small.subarray(0, 33), chunk("IEND", new Uint8Array())]), "it has no image data before its end at byte 33"],
    [join([small.subarray(0, 33), chunk("IDAT", noise(30)), chunk("IEND", new Uint8Array())]), "cannot be inflated"],
    [png(lines([[1, 2, 3, 255, 4, 5, 6, 254]]), { width: 2, height: 1, colour: 6 }), "it is transparent at row 0, column 1"],
    [
      png(lines(two), { width: 2, height: 1, extra: [chunk("tRNS", new Uint8Array(6))] }),
      'its chunk "tRNS" at byte 33 makes a colour transparent',
    ],
    [
      png(lines([[0, 1]]), { width: 2, height: 1, colour: 3, extra: [chunk("PLTE", new Uint8Array(3))] }),
      "the pixel at row 0, column 1 has colour 1 of a palette of 1",
    ],
    [png(lines([[0, 1]]), { width: 2, height: 1, colour: 3 }), "palette"],
    [new TextEncoder().encode("GIF89a"), "a PNG file begins with bytes 89 50 4e 47 0d 0a 1a 0a, it differs at byte 0"],
  ];
  for (const [file, message] of cases) {
    const error = assertThrows(() => decodePng(file, "x.png"), DataError, "Cannot read x.png: ");
    assertStringIncludes(error.message, message);
  }
  const error = assertThrows(
    () => decodePng(small, "x.png", [64, 64]),
    DataError,
    "its size at byte 16 is 1 × 2, wanted is 64 × 64: its height and width differ; resize it first",
  );
  assertStringIncludes(error.message, "ffmpeg -i in.png -vf scale=64:64 out.png");
  // What is behind the pixels is not unpacked.
  const told: string[] = [], black = decodePng(bomb, "x.png", undefined, (name, what) => told.push(`${name}: ${what}`));
  assertEquals(black.rgb, new Uint8Array(48));
  assertEquals(told, ["x.png: its image data from byte 41 goes on behind the 52 bytes of its pixels; the rest was left out"]);
  // A profile is not decoded, so it cannot grow either.
  assertEquals(decodePng(png(lines(two), { width: 2, height: 1, extra: [profile] }), "t.png").rgb, Uint8Array.of(1, 2, 3, 4, 5, 6));
});

/** CIFAR rows of these images, row-major, behind one class or two. */
function cifar(images: Uint8Array[], labels = 1): Uint8Array<ArrayBuffer> {
  return join(images.map((rgb, n) => {
    const row = new Uint8Array(labels + 3072);
    row[0] = n % 10;
    if (labels > 1) row[1] = 90 + n % 10;
    for (let i = 0; i < 1024; i++) for (let c = 0; c < 3; c++) row[labels + c * 1024 + i] = rgb[i * 3 + c];
    return row;
  }));
}

Deno.test("CIFAR: planes become rows, at every count; other bytes are not taken for it", async () => {
  for (const count of [1, 2, 31, 32, 33, 70]) {
    const images = Array.from({ length: count }, (_, n) => noise(3072, n + 1)), ten = cifar(images), hundred = cifar(images, 2);
    assertEquals([cifarOf(ten), cifarOf(hundred)], ["CIFAR-10", "CIFAR-100"]);
    assertEquals(await decodeCifar10(ten, "t.bin"), join(images));
    assertEquals(await decodeCifar(hundred, "t.bin", "CIFAR-100"), join(images));
  }
  const file = cifar([noise(3072), noise(3072)]);
  for (const length of [0, 1, 3072, 3075, 6145]) {
    assertEquals(cifarOf(file.subarray(0, length)), undefined);
    const error = await decodeCifar10(file.subarray(0, length), "cut.bin").then(() => undefined, (error) => error);
    assert(error instanceof DataError);
    const rows = Math.floor(length / 3073);
    assertStringIncludes(
      error.message,
      `Cannot read cut.bin: cut short, a CIFAR-10 row at byte ${rows * 3073} has 3073 bytes, the file ends after ${length % 3073}`,
    );
  }
  file[3073] = 10;
  assertEquals(cifarOf(file), undefined);
  const hundred = cifar([noise(3072)], 2);
  hundred[1] = 100;
  for (
    const [bytes, set, said] of [[file, "CIFAR-10", "from 0 to 9, found 10 at byte 3073"], [
      hundred,
      "CIFAR-100",
      "from 0 to 99, found 100 at byte 1",
    ]] as const
  ) {
    const error = await decodeCifar(bytes, "bad.bin", set).then(() => undefined, (error) => error);
    assert(error instanceof DataError);
    assertStringIncludes(error.message, `a ${set} row begins with a class ${said}`);
  }
});

Deno.test("sheets: images in their places, grey and coloured, at their scale", () => {
  const [a, b, c] = [1, 2, 3].map((value) => ({ width: 2, height: 1, rgb: new Uint8Array(6).fill(value) }));
  const sheet = tileImages([a, b, c], 2, 1);
  assertEquals([sheet.width, sheet.height], [7, 5]);
  const at = (x: number, y: number) => sheet.rgb[(y * 7 + x) * 3];
  assertEquals([[0, 0], [1, 1], [2, 1], [3, 1], [4, 1], [1, 3], [4, 3]].map(([x, y]) => at(x, y)), [255, 1, 1, 255, 2, 3, 255]);
  const [first, second] = imagesOf(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), [2, 2, 1], 2);
  assertEquals([first.width, first.height], [4, 4]);
  const shade = (x: number, y: number) => first.rgb[(y * 4 + x) * 3];
  assertEquals([shade(0, 0), shade(1, 1), shade(2, 0), shade(3, 1), shade(0, 2), shade(1, 3), shade(2, 3)], [1, 1, 2, 2, 3, 3, 4]);
  assertEquals(second.rgb[0], 5);
  const tokens = noise(5 * 32 * 32 * 3), contact = contactSheet(tokens, [32, 32, 3]);
  assertEquals([contact.width, contact.height], [3 * 100 + 4, 2 * 100 + 4]);
  // The middle of the fourth image's pixel (0, 1).
  assertEquals([...contact.rgb.subarray(((104 + 1) * contact.width + 4 + 4) * 3).subarray(0, 3)], [
    ...tokens.subarray(3 * 3072 + 3, 3 * 3072 + 6),
  ]);
  assertThrows(() => contactSheet(new Uint8Array(), [32, 32, 3]), ShapeError, "no image");
  assertThrows(() => contactSheet(new Uint8Array(3071), [32, 32, 3]), ShapeError, "got 3071, not a multiple");
  assertThrows(() => contactSheet(new Uint8Array(8), [2, 2, 2]), ShapeError, "1 or 3 channels");
  assertThrows(() => imagesOf(tokens, [32, 32, 3], 0), ConfigError, "scale");
});
