/**
 * Files as the world writes them: bytes behind a format's end, lengths never filled in, paths of any form, side files, kinds that are taken
 * for others. Nothing is refused that holds what it should, and nothing is left out or read otherwise than it says without a notice.
 *
 * Plan. Properties first: any bytes behind any container, any path form in any archive, every length field 0, all ones and one too many.
 * Then the cases by kind.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { gzipSync, zipSync } from "fflate";
import { packTar } from "modern-tar";
import { zipEntries } from "../src/data/zip.ts";
import { decodeWav, encodeWav } from "../src/data/wav.ts";
import { encodeMulaw, SILENCE } from "../src/data/mulaw.ts";
import { crc32 } from "../src/data/crc32.ts";
import { canonicalPath, isHidden } from "../src/data/members.ts";
import type { Dataset, DatasetOptions } from "../src/data/dataset.ts";
import { loadDataset } from "../src/data/load.ts";
import { encodePng } from "../src/data/png.ts";
import { join } from "../src/data/reader.ts";
import { DataError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const TEXT = utf8("It was a bright cold day in April, and the clocks were striking thirteen.\n".repeat(40));

function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = new Random(seed, 4);
  return Uint8Array.from({ length }, () => random.below(256));
}

const tarOf = async (files: Record<string, Uint8Array>) =>
  new Uint8Array(
    await packTar(Object.entries(files).map(([name, body]) => ({ header: { name, size: body.length, type: "file" as const }, body }))),
  );

const load = (name: string, data: Uint8Array, options?: DatasetOptions) => loadDataset([{ name, data }], options);
const all = ({ train, heldOut }: Dataset) => join([train, heldOut]);
/** A folder, as a program opens one. */
const folder = (files: Record<string, Uint8Array>, options?: DatasetOptions) =>
  loadDataset(Object.entries(files).map(([path, data]) => ({ name: `d/${path}`, data, path, size: data.length })), options, "d");

const GREY = Array.from({ length: 4 }, (_, n) => noise(16, n).map((x) => x & 127));
const pngs = GREY.map((values) =>
  encodePng({ width: 4, height: 4, rgb: Uint8Array.from({ length: 48 }, (_, i) => values[Math.floor(i / 3)]) })
);
const named = Object.fromEntries(pngs.map((bytes, n) => [`${n}.png`, bytes]));

/** A tone of half full scale, 16 bits. */
const TONE = Int16Array.from({ length: 600 }, (_, i) => 16384 * Math.sin(i / 7));

interface Header {
  kind?: string;
  all?: number;
  says?: number;
  /** Chunks between format and data. */
  before?: Uint8Array;
  tag?: number;
  channels?: number;
  bits?: number;
  width?: number;
  extensible?: boolean;
  ds64?: bigint;
}

/** A WAV file around these bytes of samples, saying whatever it is told to. */
function wav(
  data: Uint8Array,
  { kind = "RIFF", all, says = data.length, before, tag = 1, channels = 1, bits = 16, width = bits / 8, extensible, ds64 }: Header = {},
) {
  const format = new Uint8Array(extensible ? 48 : 24), view = new DataView(format.buffer);
  format.set(utf8("fmt "));
  view.setUint32(4, format.length - 8, true);
  view.setUint16(8, extensible ? 0xfffe : tag, true);
  view.setUint16(10, channels, true);
  view.setUint32(12, 12000, true);
  view.setUint32(16, 12000 * channels * width, true);
  view.setUint16(20, channels * width, true);
  view.setUint16(22, bits, true);
  if (extensible) {
    view.setUint16(24, 22, true);
    view.setUint16(26, bits, true);
    view.setUint16(32, tag, true);
    format.set([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71], 34);
  }
  const long = new Uint8Array(ds64 === undefined ? 0 : 36);
  if (ds64 !== undefined) {
    long.set(utf8("ds64\x1c"));
    new DataView(long.buffer).setBigUint64(8, ds64, true);
    new DataView(long.buffer).setBigUint64(16, ds64, true);
  }
  const head = new Uint8Array(8), body = join([utf8("WAVE"), long, format, before ?? new Uint8Array(), head, data]);
  // Behind the join, so that the lengths can lie.
  new DataView(body.buffer).setUint32(body.length - data.length - 4, says, true);
  body.set(utf8("data"), body.length - data.length - 8);
  const riff = new Uint8Array(8);
  riff.set(utf8(kind));
  new DataView(riff.buffer).setUint32(4, all ?? body.length, true);
  return join([riff, body]);
}

const bytesOf = (samples: Int16Array | Int32Array | Float32Array) =>
  new Uint8Array(samples.buffer as ArrayBuffer, samples.byteOffset, samples.byteLength);
const CODES = await encodeMulaw(Float32Array.from(TONE, (x) => x / 32768));

/** An IDX file, as MNIST has them. */
function idx(axes: number[], data: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(4 + 4 * axes.length), view = new DataView(head.buffer);
  view.setUint32(0, 0x800 + axes.length);
  axes.forEach((size, axis) => view.setUint32(4 + 4 * axis, size));
  return join([head, data]);
}

Deno.test("any bytes behind any container: what is whole is taken, what follows is said", async () => {
  const random = new Random(1, 5), tar = await tarOf({ "a.txt": TEXT });
  const containers: [string, Uint8Array, Uint8Array, DatasetOptions][] = [
    ["gzip", gzipSync(TEXT), TEXT, {}],
    ["gzip of two members", join([gzipSync(TEXT.subarray(0, 700)), gzipSync(TEXT.subarray(700))]), TEXT, {}],
    ["zip", zipSync({ "a.txt": TEXT }), TEXT, {}],
    ["zip, stored", zipSync({ "a.txt": TEXT }, { level: 0 }), TEXT, {}],
    ["tar", tar, TEXT, {}],
    ["tar.gz", gzipSync(tar), TEXT, {}],
    ["PNG", pngs[0], GREY[0], { shape: [4, 4, 1], heldOut: 0 }],
    ["IDX", idx([4, 4, 4], join(GREY)), join(GREY), {}],
    ["WAV", wav(bytesOf(TONE)), CODES, {}],
    ["WAV with a chunk behind", join([wav(bytesOf(TONE)), utf8("LIST\x05\0\0\0INFOx\0")]), CODES, {}],
  ];
  for (const [what, whole, want, options] of containers) {
    assertEquals((await load(what, whole, options)).notices, [], what);
    for (let round = 0; round < 48; round++) {
      const kind = round % 4, length = [1, 2, 3, 4, 7, 8, 22, 100, 512, 1024, 1025, 70_000][Math.floor(round / 4)];
      // Zeros, noise, line ends, and letters, which look like the beginning of a chunk.
      const make = [() => 0, () => random.below(256), () => 10 + random.below(4), () => 97 + random.below(26)][kind];
      const more = Uint8Array.from({ length }, make);
      // Another member of gzip is none of these; zeros are a tar's own.
      if (kind === 1) more[0] = 0xfe;
      const { notices, ...found } = await load(what, join([whole, more]), options);
      assertEquals(all(found as Dataset), want, `${what} with ${length} bytes behind`);
      if (what === "tar" && kind === 0) assertEquals(notices, []);
      else {
        assertEquals(notices.length, 1, `${what} with ${length} bytes behind: ${notices}`);
        assertStringIncludes(notices[0], what);
        assertStringIncludes(notices[0], `${length.toLocaleString("en")} byte`);
      }
    }
  }
  // A file of the same format behind: zip's ends are told apart by whether the directory fits.
  const behind = await load("a.zip", join([zipSync({ a: TEXT }), zipSync({ b: noise(99) })]));
  assertEquals(all(behind), TEXT);
  // Of the shortest gzip there is, whose trailer is zeros as well.
  for (const length of [1, 3, 4, 600]) {
    const { notices } = await load("e.gz", join([gzipSync(new Uint8Array()), new Uint8Array(length)]), { heldOut: 0 });
    assertStringIncludes(notices[0], `${length} byte${length > 1 ? "s" : ""} behind the end of its gzip data, at byte 20`);
  }
});

Deno.test("any path form in any archive and folder: the same files, the same order", async () => {
  const parts = [TEXT.subarray(0, 500), TEXT.subarray(500, 900), TEXT.subarray(900)];
  const forms: ((path: string) => string)[] = [
    (path) => path,
    (path) => `./${path}`,
    (path) => `/${path}`,
    (path) => `.//./${path}`,
    (path) => `../${path}`,
    (path) => path.replaceAll("/", "\\"),
    (path) => `C:\\${path.replaceAll("/", "\\")}`,
    (path) => path.replaceAll("/", "//"),
  ];
  for (const form of forms) {
    const paths = ["b/1.txt", "b/2.txt", "c.txt"];
    for (const path of paths) assertEquals(canonicalPath(form(path)), path);
    // In any order, beside what is hidden in the same form.
    const files = { [form("c.txt")]: parts[2], [form(".git/x")]: utf8("x"), [form("b/2.txt")]: parts[1], [form("b/1.txt")]: parts[0] };
    const tar = await tarOf(files), zip = zipSync(files);
    const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => canonicalPath(a) < canonicalPath(b) ? -1 : 1));
    for (const found of [await load("a", tar), await load("a", gzipSync(tar)), await load("a", zip), await folder(sorted)]) {
      assertEquals(all(found), TEXT, form("b/1.txt"));
      assertEquals(found.about.startsWith("3 files of text"), true);
      assertEquals(found.skipped.map(({ bytes, why }) => [bytes, why]), [[1, "hidden or the system's"]]);
      assertEquals(found.notices.length, 1);
    }
  }
  for (const path of [".x", "a/.x", "a/.x/b", "__MACOSX/a", "Thumbs.db", "a/thumbs.db", "desktop.ini", "a/Desktop.ini"]) {
    assert(isHidden(path), path);
  }
  for (const path of ["a", "a.b/c", "xThumbs.db", "a__MACOSX/b", "thumbs.dbx", "x/desktop.ini.txt"]) assert(!isHidden(path), path);
});

Deno.test("side files beside images: one rule for folders and archives, with a notice", async () => {
  for (
    const [name, why] of [["Thumbs.db", "hidden or the system's"], ["desktop.ini", "hidden or the system's"], [
      "metadata.csv",
      "neither image nor sound",
    ], ["README", "neither image nor sound"]]
  ) {
    const files = { ...named, [name]: utf8("x\0y") };
    for (const found of [await folder(files), await load("d", zipSync(files)), await load("d", await tarOf(files))]) {
      assertEquals([found.shape, all(found).length, found.skipped.length], [[4, 4, 3], 192, 1]);
      assertEquals([found.skipped[0].bytes, found.skipped[0].why], [3, why]);
      assertStringIncludes(found.notices[0], `left out as ${why}: `);
      assertStringIncludes(found.notices[0], name);
    }
  }
  // A file that was given by itself is meant.
  await assertRejects(
    () => loadDataset([{ name: "0.png", data: pngs[0] }, { name: "README", data: utf8("x") }]),
    DataError,
    "README is neither",
  );
  // What is unread but of another kind than the rest is a side file; of the same kind it is missed.
  const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), beside = await folder({ ...named, "a.pdf": utf8("%PDF-1.4") });
  assertStringIncludes(beside.notices[0], "left out as of a format that is not read: d/a.pdf (8 bytes)");
  assertEquals(all(await folder({ "a.txt": TEXT, "b.jpg": jpeg })), TEXT);
  await assertRejects(() => folder({ ...named, "5.jpg": jpeg }), DataError, "d/5.jpg: it is JPEG");
  await assertRejects(() => folder({ "0.jpg": jpeg, ...named }), DataError, "d/0.jpg: it is JPEG");
  await assertRejects(() => folder({ "a.txt": TEXT, "b.xz": Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0) }), DataError, "it is xz");
});

Deno.test("archives: texts are joined, the fewer of text and bytes left out, nothing is called empty where something was left out", async () => {
  const books = Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => [`books/b${String(i).padStart(2, "0")}.txt`, TEXT.subarray(0, 1000 + i)]),
  );
  for (const found of [await load("d", zipSync(books)), await load("d", await tarOf(books)), await folder(books)]) {
    assertEquals([all(found), found.notices], [join(Object.values(books)), []]);
  }
  const mixed = await load(
    "a.zip",
    zipSync({ "a.txt": TEXT, "b.bin": noise(100), "c.bin": noise(50), "d.bin": noise(9), "e.bin": noise(7), "f.bin": noise(5) }),
  );
  assertEquals([all(mixed), mixed.skipped.length], [TEXT, 5]);
  assertEquals(mixed.notices, [
    'a.zip: left out as bytes among text: "b.bin" of a.zip (100 bytes), "c.bin" of a.zip (50 bytes), "d.bin" of a.zip (9 bytes) and 2 files more (12 bytes)',
  ]);
  const binary = await load("a.zip", zipSync({ "a.bin": noise(100), README: utf8("x") }));
  assertEquals([binary.kind, all(binary), binary.skipped[0].why], ["bytes", noise(100), "text among bytes"]);
  const links = new Uint8Array(await packTar([{ header: { name: "a.txt", size: 0, type: "symlink", linkname: "b" } }]));
  for (
    const [archive, said] of [
      [links, 'all of it was left out: "a.txt" of x is a link'],
      [zipSync({ ".a": TEXT, "b/.c": TEXT }), `all of it was left out: ".a" of x is hidden or the system's, as are 1 more`],
      [zipSync({ "a.pdf": utf8("%PDF-1.4") }), '"a.pdf" of x: it is PDF'],
      [new Uint8Array(await packTar([{ header: { name: "d/", size: 0, type: "directory" } }])), "there is no file in it"],
    ] as const
  ) {
    const error = await assertRejects(() => load("x", archive), DataError);
    assertStringIncludes(error.message, said);
    assert(!error.message.includes("empty"), error.message);
  }
  await assertRejects(() => folder({ ".a": TEXT }), DataError, "all of it was left out: d/.a is hidden");
});

Deno.test("kinds taken for bytes are read or named; --as bytes insists", async () => {
  // One character is two units of 16 bits.
  const text = new TextDecoder().decode(TEXT) + "Ärger, 日本語, 👩";
  const little = bytesOf(Int16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))), big = little.map((_, i) => little[i ^ 1]);
  for (
    const [bytes, ends] of [[join([Uint8Array.of(0xff, 0xfe), little]), "little"], [join([Uint8Array.of(0xfe, 0xff), big]), "big"]] as const
  ) {
    const found = await load("u.txt", bytes);
    assertEquals([found.kind, new TextDecoder().decode(all(found)), found.notices], ["text", text, [
      `u.txt: it is UTF-16 of ${ends} ends and was made UTF-8`,
    ]]);
    assertEquals(all(await load("u.zip", zipSync({ u: bytes }))), utf8(text));
    const insisted = await load("u.txt", bytes, { as: "bytes" });
    assertEquals([insisted.kind, all(insisted), insisted.notices], ["bytes", bytes, []]);
  }
  // Without a mark, where every other byte is zero.
  const spread = (bytes: Uint8Array) => Uint8Array.from({ length: bytes.length * 2 }, (_, i) => i % 2 ? 0 : bytes[i >> 1]);
  assertEquals(all(await load("u", spread(TEXT))), TEXT);
  assertEquals((await load("small numbers of 16 bits", spread(Uint8Array.from({ length: 1000 }, (_, i) => i)))).kind, "bytes");
  const damaged = await load("u", join([Uint8Array.of(0xff, 0xfe), little, Uint8Array.of(0, 0xd8)]));
  assertStringIncludes(damaged.notices[0], "1 character of it were damaged");

  const images = join(GREY), mnist = await load("train-images-idx3-ubyte.gz", gzipSync(idx([4, 4, 4], images)));
  assertEquals([mnist.kind, mnist.shape, all(mnist), mnist.about], ["image", [4, 4, 1], images, "IDX, 4 × 4 × 1; the last image held out"]);
  const whole = await folder({
    "t10k-images-idx3-ubyte": idx([1, 4, 4], GREY[3]),
    "t10k-labels-idx1-ubyte": idx([1], noise(1)),
    "train-images-idx3-ubyte": idx([3, 4, 4], images.subarray(0, 48)),
    "train-labels-idx1-ubyte": idx([3], noise(3)),
  });
  assertEquals([all(whole), whole.test, whole.skipped.map(({ why }) => why)], [images.subarray(0, 48), GREY[3], ["labels", "labels"]]);
  // A shape that is the header's may be given; another is told from it.
  assertEquals(all(await load("m", idx([4, 4, 4], images), { shape: [4, 4, 1] })), images);
  await assertRejects(() => load("m", idx([4, 4, 4], images), { shape: [4, 3, 1] }), DataError, "its width differs");
  await assertRejects(() => load("labels", idx([9], noise(9))), DataError, "it is IDX of 9, which are labels; give the file of images");
  assertEquals((await load("x", idx([4, 4, 4], images).subarray(0, 50))).kind, "bytes");

  const rows = join(Array.from({ length: 5 }, (_, n) => join([Uint8Array.of(n, n + 20), noise(3072, n)])));
  assertEquals((await load("cifar100_train.bin", rows)).about, "CIFAR-100 binary, 32 × 32 × 3; the last image held out");
  const hundred = await load(
    "c.tar",
    await tarOf({ "cifar-100-binary/test.bin": rows.subarray(0, 3074), "cifar-100-binary/train.bin": rows }),
  );
  assertEquals([all(hundred).length, hundred.test?.length], [5 * 3072, 3072]);

  const mp3 = new Uint8Array(2000);
  for (let at = 0; at < 2000; at += 417) mp3.set([0xff, 0xfb, 0x90, 0x64], at);
  for (
    const [bytes, said] of [
      [utf8("%PDF-1.7\n%…"), "it is PDF"],
      [Uint8Array.of(0xff, 0xd8, 0xff, 0xe1), "it is JPEG"],
      [mp3, "it is MP3"],
      [zipSync({ "[Content_Types].xml": utf8("<x/>"), "word/document.xml": utf8("<x/>") }), "it is an Office document"],
      [zipSync({ mimetype: utf8("application/epub+zip"), "a.xhtml": utf8("<x/>") }), "it is an EPUB"],
      [zipSync({ "archive/data.pkl": utf8("x") }), "it is a file of PyTorch"],
      [utf8("SQLite format 3\0"), "it is SQLite"],
      [Uint8Array.of(0xff, 0xfe, 0, 0, 65, 0, 0, 0), "it is UTF-32 text"],
      [
        utf8("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "it is a Git LFS pointer in place of the file; fetch it: git lfs pull",
      ],
    ] as const
  ) {
    const error = await assertRejects(() => load("x", bytes), DataError, `Cannot read x: ${said}`);
    assertStringIncludes(error.message, "--as bytes takes it as it is");
    const insisted = await load("x", bytes, { as: "bytes" });
    assertEquals([insisted.kind, all(insisted)], ["bytes", bytes]);
    if (!said.includes("LFS")) {
      assertStringIncludes((await assertRejects(() => load("a.zip", zipSync({ x: bytes })), DataError)).message, `"x" of a.zip: ${said}`);
    }
  }
  await assertRejects(
    () => load("a.zip", utf8("<!DOCTYPE html><html>")),
    DataError,
    "found 3c 21 44 4f 43 54 59 50 at byte 0: it is a web page in place of the file",
  );
  assertEquals((await load("a.html", utf8("<html>".repeat(9)))).kind, "text");
  // Random bytes are hardly ever taken for anything.
  for (let seed = 0; seed < 300; seed++) assertEquals((await load("x", noise(600, seed))).kind, "bytes");
});

Deno.test("sound that cannot be meant: refused with what to divide by, or said", async () => {
  const float = (scale: number, more: Header = {}) =>
    wav(bytesOf(Float32Array.from(TONE, (x) => x / 32768 * scale)), { tag: 3, bits: 32, ...more });
  await assertRejects(
    () => load("t.wav", float(32768)),
    DataError,
    "of it is beyond full scale, its peak is 16400; divide its samples by 32768: ffmpeg -i in.wav -af volume=1/32768 out.wav",
  );
  await assertRejects(() => load("t.wav", float(2 ** 31)), DataError, "divide its samples by 2147483648");
  await assertRejects(() => load("t.wav", float(5)), DataError, "divide its samples by 2.5");
  const hot = await load("t.wav", float(2.4)),
    clipped = TONE.filter((x) => Math.abs(Math.fround(x / 32768 * 2.4)) > 1).length / TONE.length;
  assertEquals([hot.levels!.peak.toFixed(3), hot.levels!.clipped], ["1.200", clipped]);
  assertEquals(hot.notices, [
    `t.wav: ${Number((100 * clipped).toPrecision(2))} % of it is beyond full scale and was cut there, its peak is 1.2`,
  ]);
  const quiet = await load("t.wav", float(1));
  assertEquals([quiet.notices, quiet.levels!.clipped, quiet.levels!.silent], [[], 0, 1 / 600]);
  // A few seconds of integers in long silence are no better.
  const mostly = new Float32Array(9000);
  mostly.set(Float32Array.from(TONE), 100);
  await assertRejects(() => load("t.wav", wav(bytesOf(mostly), { tag: 3, bits: 32 })), DataError, "divide its samples by 32768");

  const stereo = (right: (x: number) => number) =>
    wav(bytesOf(Int16Array.from({ length: 1200 }, (_, i) => i % 2 ? right(TONE[i >> 1]) : TONE[i >> 1])), { channels: 2 });
  assertEquals((await load("t.wav", stereo((x) => x))).notices, []);
  assertEquals((await load("t.wav", stereo(() => 0))).notices, []);
  await assertRejects(() => load("t.wav", stereo((x) => -x)), DataError, "its 2 channels cancel each other, their mean has");
  await assertRejects(() => load("t.wav", stereo((x) => -0.9 * x)), DataError, "give one of them: ffmpeg");
  assertStringIncludes((await load("t.wav", stereo((x) => -0.7 * x))).notices[0], "cancel each other in part");

  const silence = await load("t.wav", wav(new Uint8Array(1200)));
  assertEquals([silence.levels, silence.train.every((code) => code === SILENCE)], [{ peak: 0, clipped: 0, silent: 1 }, true]);
  assertEquals(silence.notices, [
    "t.wav: it is silence from beginning to end",
    "t.wav: all of its 570 tokens to train on are 128: there is nothing to learn",
  ]);
  // The levels of several are those of all together; the same notice of many is one.
  const many = await folder({
    "a.wav": wav(new Uint8Array(1200)),
    "b.wav": wav(new Uint8Array(600)),
    "c.wav": wav(bytesOf(TONE)),
    "cover.jpg": Uint8Array.of(0xff, 0xd8, 0xff),
  });
  assertEquals(many.levels!.silent.toFixed(3), ((600 + 300 + 1) / 1500).toFixed(3));
  assertEquals(many.notices, [
    "d/a.wav: it is silence from beginning to end; and so in 1 more",
    "d: left out as of a format that is not read: d/cover.jpg (3 bytes)",
  ]);
  const { levels } = await decodeWav(await encodeWav(Float32Array.of(0.5, -0.25)), "t.wav");
  assertEquals(levels.peak.toFixed(3), "0.500");
});

Deno.test("lengths never filled in: read to the end and said, in every form of WAV", async () => {
  const data = bytesOf(TONE), left = [0, 0x7fffffff, 0x7ffff000, 0x7ffff024, 0x80000000, 0xffffffdb, 0xffffff00, 0xffffffff];
  const forms: [string, Header][] = [["plain", {}], ["extensible", { extensible: true }], ["RF64 without its lengths", { kind: "RF64" }]];
  const read = async (file: Uint8Array) => {
    const told: string[] = [], { codes } = await decodeWav(file, "t.wav", 12000, (_, what) => told.push(what));
    return { codes, told };
  };
  for (const [form, header] of forms) {
    for (const says of left) {
      for (const whole of [0, 36, 0x7fffffff, 0xffffffff, says]) {
        const { codes, told } = await read(wav(data, { ...header, says, all: whole }));
        assertEquals(codes, CODES, `${form}, ${says} of ${whole}`);
        assertEquals(told, [`its data chunk says ${says} bytes; all 1200 up to the end of the file were read`]);
      }
    }
  }
  for (const kind of ["RF64", "BW64"]) {
    for (const ds64 of [0n, 2n ** 63n - 1n, 2n ** 64n - 1n]) {
      const { codes, told } = await read(wav(data, { kind, ds64, says: 0xffffffff, all: 0xffffffff }));
      assertEquals([codes, told.length], [CODES, 1], `${kind}, ${ds64}`);
    }
    assertEquals(await read(wav(data, { kind, ds64: 1200n, says: 0xffffffff, all: 0xffffffff })), { codes: CODES, told: [] });
    await assertRejects(
      () => read(wav(data, { kind, ds64: 6000n, says: 0xffffffff })),
      DataError,
      "cut short, its data chunk at byte 80 has 6000 bytes, the file ends after 1200",
    );
  }
  // One too many, a part of a frame, and both.
  const odd = join([data, Uint8Array.of(1)]), { codes, told } = await read(wav(odd, { says: 0xffffffff }));
  assertEquals([codes, told.length], [CODES, 2]);
  assertEquals(await read(wav(odd, {})), {
    codes: CODES,
    told: ["the last 1 byte of its samples are no whole frame of 2 and were left out"],
  });
  assertEquals((await read(wav(data, { says: 1201 }))).told, [
    "its data chunk says 1201 bytes; all 1200 up to the end of the file were read",
  ]);
  const frames = await read(wav(join([data, Uint8Array.of(1, 2)]), { channels: 2 }));
  assertEquals([frames.codes.length, frames.told], [300, ["the last 2 bytes of its samples are no whole frame of 4 and were left out"]]);
  // Nothing is there, and nothing was promised.
  await assertRejects(() => read(wav(new Uint8Array())), DataError, "its data chunk at byte 44 is empty");
  await assertRejects(
    () => read(join([wav(new Uint8Array(), { all: 48 }), utf8("LIST\x04\0\0\0INFO")])),
    DataError,
    "its data chunk at byte 44 is empty",
  );
});

Deno.test("WAV: chunks without their padding, 24 bits in 4 bytes, every length field wrong", async () => {
  const odd = utf8("LIST\x11\0\0\0INFOISFT\x05\0\0\0Lavf\0"), data = bytesOf(TONE);
  assertEquals(odd.length % 2, 1);
  for (const before of [odd, join([odd, Uint8Array.of(0)]), join([odd, Uint8Array.of(7)])]) {
    assertEquals((await decodeWav(wav(data, { before }), "t.wav")).codes, CODES);
  }
  const words = bytesOf(Int32Array.from(TONE, (x) => x << 16));
  assertEquals((await decodeWav(wav(words, { bits: 24, width: 4 }), "t.wav")).codes, CODES);
  const told: string[] = [];
  await decodeWav(wav(bytesOf(Int32Array.from(TONE, (x) => x << 8)), { bits: 24, width: 4 }), "t.wav", 12000, (_, what) => told.push(what));
  assertStringIncludes(told[0], "the upper 8 bits of its samples, taken for the loudest, hold nothing");

  const file = wav(data, { before: join([odd, Uint8Array.of(0)]) });
  for (const at of [4, 16, 40, 40 + 26]) {
    const right = new DataView(file.buffer).getUint32(at, true);
    for (const says of [0, 0xffffffff, right + 1]) {
      const lying = file.slice();
      new DataView(lying.buffer).setUint32(at, says, true);
      const found = await load("t.wav", lying).then((found) => found, (error) => error);
      if (found instanceof Error) assert(found instanceof DataError, `${found.stack}`);
      else assertEquals(all(found), CODES, `${says} at ${at}`);
    }
  }
});

Deno.test("every length field of archives and PNG: 0, all ones, one too many give the file or an error", async () => {
  const zip = zipSync({ "a.txt": TEXT }),
    tar = await tarOf({ "a.txt": TEXT }),
    end = zip.length - 22,
    directory = new DataView(zip.buffer).getUint32(end + 16, true);
  const fields: [string, Uint8Array, number[], number][] = [
    ["zip, 16 bits", zip, [26, 28, directory + 28, directory + 30, directory + 32, end + 8, end + 10, end + 20], 2],
    ["zip, 32 bits", zip, [14, 18, 22, directory + 16, directory + 20, directory + 24, directory + 42, end + 12, end + 16], 4],
    ["gzip", gzipSync(TEXT), [gzipSync(TEXT).length - 4, gzipSync(TEXT).length - 8], 4],
    ["PNG", pngs[0], [8, 16, 20, 33], -4],
    ["IDX", idx([4, 4, 4], join(GREY)), [4, 8, 12], -4],
  ];
  for (const [what, file, places, bytes] of fields) {
    for (const at of places) {
      for (const change of [() => 0, () => -1, (value: number) => value + 1]) {
        const lying = file.slice(), view = new DataView(lying.buffer), little = bytes > 0;
        if (bytes === 2) view.setUint16(at, change(view.getUint16(at, true)), true);
        else view.setUint32(at, change(view.getUint32(at, little)), little);
        const found = await load(what, lying, what === "PNG" ? { heldOut: 0 } : {}).then((found) => found, (error) => error);
        assert(found instanceof DataError || !(found instanceof Error), `${what} at ${at}: ${(found as Error).stack}`);
        if (!(found instanceof Error) && what !== "IDX") {
          assertEquals(all(found).length, what === "PNG" ? 48 : TEXT.length, `${what} at ${at}`);
        }
      }
    }
  }
  for (
    const size of [
      "00000000000",
      "77777777777",
      (TEXT.length + 1).toString(8).padStart(11, "0"),
      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ]
  ) {
    const lying = tar.slice(), header = lying.subarray(0, 512);
    header.set(Uint8Array.from(size, (c) => c.charCodeAt(0)), 124);
    header.fill(32, 148, 156);
    header.set(utf8(header.reduce((a, b) => a + b, 0).toString(8).padStart(6, "0") + "\0"), 148);
    const error = await load("t.tar", lying).then(() => undefined, (error) => error);
    assert(error === undefined || error instanceof DataError, `${error?.stack}`);
  }
});

/** A stored zip64 archive, whose every number is in its 64-bit fields. */
function zip64(files: Record<string, Uint8Array>, count = Object.keys(files).length): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [], central: Uint8Array[] = [];
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    const title = utf8(name), local = new Uint8Array(30 + title.length), entry = new Uint8Array(46 + title.length + 36);
    new DataView(local.buffer).setUint32(0, 0x04034b50, true);
    new DataView(local.buffer).setUint16(26, title.length, true);
    local.set(title, 30);
    const view = new DataView(entry.buffer), extra = 46 + title.length;
    view.setUint32(0, 0x02014b50, true);
    view.setUint32(16, crc32(data), true);
    for (const field of [20, 24, 42]) view.setUint32(field, 0xffffffff, true);
    view.setUint16(28, title.length, true);
    view.setUint16(30, 36, true);
    entry.set(title, 46);
    // Another extra field first.
    view.setUint16(extra, 0x5455, true);
    view.setUint16(extra + 2, 4, true);
    view.setUint16(extra + 8, 1, true);
    view.setUint16(extra + 10, 24, true);
    [data.length, data.length, at].forEach((value, i) => view.setBigUint64(extra + 12 + 8 * i, BigInt(value), true));
    parts.push(local, data);
    central.push(entry);
    at += local.length + data.length;
  }
  const length = central.reduce((sum, { length }) => sum + length, 0), end = new Uint8Array(56 + 20 + 22), view = new DataView(end.buffer);
  view.setUint32(0, 0x06064b50, true);
  view.setBigUint64(4, 44n, true);
  [count, count, length, at].forEach((value, i) => view.setBigUint64(24 + 8 * i, BigInt(value), true));
  view.setUint32(56, 0x07064b50, true);
  view.setBigUint64(64, BigInt(at + length), true);
  view.setUint32(76, 0x06054b50, true);
  for (const field of [8, 10]) view.setUint16(76 + field, 0xffff, true);
  for (const field of [12, 16]) view.setUint32(76 + field, 0xffffffff, true);
  return join([...parts, ...central, end]);
}

Deno.test("zip64: numbers of 64 bits, 70,000 files, and read in parts from where it is", async () => {
  const file = zip64({ "a.txt": TEXT.subarray(0, 100), "b.txt": TEXT.subarray(100) });
  assertEquals(all(await load("a.zip", file)), TEXT);
  assertEquals((await load("a.zip", join([file, noise(30)]))).notices.length, 1);
  for (let at = file.length - 98; at < file.length; at++) {
    for (const flip of [1, 0x80]) {
      const changed = file.slice();
      changed[at] ^= flip;
      const found = await load("a.zip", changed).then(() => undefined, (error) => error);
      assert(found === undefined || found instanceof DataError, `${at}: ${found?.stack}`);
    }
  }
  const many = zip64(Object.fromEntries(Array.from({ length: 70_000 }, (_, n) => [`${n}`, Uint8Array.of(n)])));
  assertEquals(zipEntries(many, "many.zip").length, 70_000);
  // Exactly as many as 16 bits say, without zip64.
  const full = zip64(Object.fromEntries(Array.from({ length: 3 }, (_, n) => [`${n}`, Uint8Array.of(n)])), 2 ** 53 - 1);
  await assertRejects(() => load("full.zip", full), DataError, "damaged");

  // 6 GiB of which hardly anything is there.
  const gap = 6 * 2 ** 30,
    head = zip64({ "a.txt": TEXT }),
    first = head.length - 98 - (46 + 5 + 36),
    tail = head.slice(first),
    view = new DataView(tail.buffer);
  const front = head.slice(0, first);
  // The directory moves by the gap; the local header stays.
  view.setBigUint64(46 + 5 + 36 + 48, BigInt(first + gap), true);
  view.setBigUint64(46 + 5 + 36 + 64, BigInt(first + gap + 46 + 5 + 36), true);
  let read = 0;
  const place = {
    size: gap + head.length,
    slice: (from: number, to: number) => ({
      arrayBuffer() {
        const bytes = new Uint8Array(to - from);
        for (let i = 0; i < bytes.length; i++) {
          const at = from + i;
          bytes[i] = at < first ? front[at] : at >= first + gap ? tail[at - first - gap] : 0;
        }
        read += bytes.length;
        return Promise.resolve(bytes.buffer);
      },
    }),
  };
  const found = await loadDataset([{ name: "large.zip", data: place }]);
  assertEquals(all(found), TEXT);
  assert(read < 3e6, `${read} bytes were read`);
  // A Blob is such a place.
  assertEquals(all(await loadDataset([{ name: "a.zip", data: new Blob([file]) }])), TEXT);
  assertEquals(all(await loadDataset([{ name: "a.gz", data: new Blob([gzipSync(TEXT)]) }])), TEXT);
  const failing = { size: file.length, slice: () => ({ arrayBuffer: () => Promise.reject(new TypeError("gone")) }) };
  await assertRejects(() => loadDataset([{ name: "a.zip", data: failing }]), DataError, "Cannot read a.zip: its source failed");
});

Deno.test("images: grey PNG as one channel; a hint names the axis that differs", async () => {
  for (const found of [await folder(named, { shape: [4, 4, 1] }), await load("a.zip", zipSync(named), { shape: [4, 4, 1] })]) {
    assertEquals([found.shape, all(found)], [[4, 4, 1], join(GREY)]);
  }
  assertEquals((await folder(named)).shape, [4, 4, 3]);
  const colour = encodePng({ width: 4, height: 4, rgb: noise(48) });
  const refuse = async (shape: [number, number, number], file: Uint8Array, said: string) => {
    const error = await assertRejects(() => load("x.png", file, { shape }), DataError);
    assertStringIncludes(error.message, said);
  };
  await refuse(
    [4, 4, 1],
    colour,
    "its images are 4 × 4 × 3, wanted are 4 × 4 × 1: its number of channels differs; PNG is read with 1 channel, grey, or 3: give --shape 4x4x3",
  );
  await refuse([4, 4, 4], colour, "its number of channels differs; PNG is read with 1 channel, grey, or 3: give --shape 4x4x3");
  await refuse(
    [8, 4, 1],
    pngs[0],
    "its size at byte 16 is 4 × 4, wanted is 4 × 8: its height differs; resize it first: ffmpeg -i in.png -vf scale=4:8",
  );
  await refuse([4, 8, 3], pngs[0], "its width differs; resize it first");
  await refuse([8, 8, 3], pngs[0], "its height and width differ; resize it first");
  const mixed = { ...named, "x.png": colour };
  await assertRejects(() => folder(mixed, { shape: [4, 4, 1] }), DataError, "d/x.png: its images are 4 × 4 × 3");
});
