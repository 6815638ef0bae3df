/**
 * Files as the world writes them: bytes behind a format's end, side files, kinds that are taken for others. Nothing is refused that holds
 * what it should, and nothing is left out or read otherwise than it says without a notice. (Archives are as_found_archives_test.ts's,
 * sound as_found_sound_test.ts's.)
 *
 * Plan. The property first, any bytes behind any container; then the cases by kind.
 */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { gzipSync, zipSync } from "fflate";
import type { Dataset, DatasetOptions } from "../src/data/dataset.ts";
import { loadDataset } from "../src/data/load.ts";
import { encodePng } from "../src/data/png.ts";
import { join } from "../src/data/reader.ts";
import { DataError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { all, bytesOf, CODES, folder, GREY, idx, load, named, noise, pngs, tarOf, TEXT, TONE, utf8, wav } from "./as_found.ts";

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
