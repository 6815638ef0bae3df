/**
 * Data sets: told apart by content, split as the paper splits them, refused with a reason.
 *
 * Plan. Archives of the true formats, made here; the same data in every form gives the same tokens; errors, aborts and lies midway; then
 * the command that shows data.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { gzipSync, zipSync } from "fflate";
import { packTar } from "modern-tar";
import { encodeMulaw } from "../src/data/mulaw.ts";
import { encodeWav } from "../src/data/wav.ts";
import { orderG711 } from "../src/data/g711.ts";
import { batchOffsets } from "../src/data/batches.ts";
import { entropy0, entropyOf, histogram } from "../src/data/entropy.ts";
import { checkDataset, type DatasetOptions } from "../src/data/dataset.ts";
import { loadDataset } from "../src/data/load.ts";
import { encodePng } from "../src/data/png.ts";
import { join } from "../src/data/reader.ts";
import { ConfigError, DataError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = new Random(seed, 3);
  return Uint8Array.from({ length }, () => random.below(256));
}

/** CIFAR-10 rows: image n of file f has the colour (f, n, n + 1) everywhere but in its first pixel. */
function cifar(f: number, count: number): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(3073 * count);
  for (let n = 0; n < count; n++) {
    const row = file.subarray(n * 3073, (n + 1) * 3073);
    row[0] = n % 10;
    [f, n, n + 1].forEach((value, c) => row.fill(value, 1 + c * 1024, 1025 + c * 1024));
    row[1] = 200;
  }
  return file;
}

const image = (f: number, n: number) => Uint8Array.from({ length: 3072 }, (_, i) => i === 0 ? 200 : [f, n, n + 1][i % 3]);

const tarOf = async (files: Record<string, Uint8Array>) =>
  new Uint8Array(
    await packTar(Object.entries(files).map(([name, body]) => ({ header: { name, size: body.length, type: "file" as const }, body }))),
  );

const load = (name: string, data: Uint8Array, options?: DatasetOptions) => loadDataset([{ name, data }], options);

Deno.test("CIFAR-10's archive: rows in the order of the batches, the test batch apart, other files skipped", async () => {
  const files: Record<string, Uint8Array> = {
    "cifar-10-batches-bin/batches.meta.txt": utf8("airplane\n"),
    "cifar-10-batches-bin/test_batch.bin": cifar(9, 3),
  };
  // An archive may have them in any order.
  for (const f of [3, 1, 5, 2, 4]) files[`cifar-10-batches-bin/data_batch_${f}.bin`] = cifar(f, 10);
  files["cifar-10-batches-bin/readme.html"] = utf8("<html>");
  files["._data_batch_1.bin"] = noise(30);
  const dataset = await load("cifar-10-binary.tar.gz", gzipSync(await tarOf(files)));
  const { kind, unit, shape, train, heldOut, test, skipped, about } = dataset;
  assertEquals({ kind, unit, shape }, { kind: "image", unit: 3072, shape: [32, 32, 3] });
  assertEquals(about, "6 files of CIFAR-10 binary, 32 × 32 × 3; the last 2 images held out");
  // 50 images: a twenty-fifth is held out.
  const all = join([1, 2, 3, 4, 5].flatMap((f) => Array.from({ length: 10 }, (_, n) => image(f, n))));
  assertEquals(train, all.subarray(0, 48 * 3072));
  assertEquals(heldOut, all.subarray(48 * 3072));
  assertEquals(test, join([0, 1, 2].map((n) => image(9, n))));
  assertEquals(skipped.map(({ name, bytes, why }) => [name.replace(/ of .*/, ""), bytes, why]), [
    ['"._data_batch_1.bin"', 30, "hidden or the system's"],
    ['"cifar-10-batches-bin/batches.meta.txt"', 9, "neither image nor sound"],
    ['"cifar-10-batches-bin/readme.html"', 6, "neither image nor sound"],
  ]);
});

Deno.test("CIFAR-10 at its size: 48,000 and 2,000; single batches by content alone", async () => {
  async function* batches() {
    for (let f = 1; f <= 5; f++) yield await Promise.resolve({ name: `data_batch_${f}.bin`, data: cifar(f, 10_000) });
  }
  const { train, heldOut, unit, test } = await loadDataset(batches());
  assertEquals([train.length / unit, heldOut.length / unit, test], [48_000, 2000, undefined]);
  // Colours are bytes: image 8,000 of the fifth batch.
  assertEquals(heldOut.subarray(0, 3072), Uint8Array.from({ length: 3072 }, (_, i) => i === 0 ? 200 : [5, 8000 & 255, 8001 & 255][i % 3]));
  const one = await load("batch", cifar(7, 30), { heldOut: 4 });
  assertEquals([one.kind, one.train.length, one.heldOut.length], ["image", 26 * 3072, 4 * 3072]);
});

Deno.test("PNG: a folder, a zip and a tar.gz give the same rows; another size says how to resize", async () => {
  const images = Array.from({ length: 6 }, (_, n) => noise(8 * 4 * 3, n)),
    pngs = images.map((rgb) => encodePng({ width: 4, height: 8, rgb }));
  const named = Object.fromEntries(pngs.map((bytes, n) => [`train/${n}.png`, bytes]));
  const sets = [
    await loadDataset(pngs.map((data, n) => ({ name: `${n}.png`, data })), {}, "folder"),
    await load("a.zip", zipSync({ ...named, "__MACOSX/train/._0.png": noise(9), "license.txt": utf8("free") })),
    await load("a.tgz", gzipSync(await tarOf(named))),
    // Content says what it is, whatever the name.
    await load("a.dat", zipSync({ outer: zipSync({ inner: gzipSync(await tarOf(named)) }) })),
  ];
  for (const { kind, unit, shape, train, heldOut } of sets) {
    assertEquals({ kind, unit, shape }, { kind: "image", unit: 96, shape: [8, 4, 3] });
    assertEquals(join([train, heldOut]), join(images));
    assertEquals(heldOut.length, 96);
  }
  assertEquals(sets[1].skipped.map(({ name }) => name), ['"__MACOSX/train/._0.png" of a.zip', '"license.txt" of a.zip']);
  assertEquals(sets[1].notices, [
    `a.zip: left out as hidden or the system's: "__MACOSX/train/._0.png" of a.zip (9 bytes)`,
    'a.zip: left out as neither image nor sound: "license.txt" of a.zip (4 bytes)',
  ]);
  const other = encodePng({ width: 5, height: 8, rgb: noise(120) });
  const error = await assertRejects(() => load("a.zip", zipSync({ ...named, "x.png": other })), DataError);
  assertStringIncludes(
    error.message,
    'Cannot read "x.png" of a.zip: its size at byte 16 is 5 × 8, wanted is 4 × 8: its width differs; resize it first: ffmpeg',
  );
  await assertRejects(() => load("0.png", pngs[0], { shape: [64, 64, 3] }), DataError, "vf scale=64:64");
  await assertRejects(() => load("0.png", pngs[0]), DataError, "it has 1 image, it must have at least 2");
});

Deno.test("nothing held out: all in one part, however short", async () => {
  const one = await load("a.bin", noise(48), { shape: [4, 4, 3], heldOut: 0 });
  assertEquals([one.train.length, one.heldOut.length, one.about], [48, 0, "raw rows, 4 × 4 × 3; nothing held out"]);
  const text = await load("a.txt", utf8("a"), { heldOut: 0, nCtx: 9 });
  assertEquals([text.train, text.heldOut.length], [utf8("a"), 0]);
  const sound = await load("a.ulaw", noise(5), { heldOut: 0 });
  assertEquals([sound.kind, sound.train.length, sound.about], ["audio", 5, "µ-law codes; nothing held out"]);
});

Deno.test("raw rows: whole ones of the shape given", async () => {
  const rows = noise(10 * 12), { kind, unit, train, heldOut } = await load("rows.bin", rows, { shape: [2, 2, 3], heldOut: 3 });
  assertEquals({ kind, unit }, { kind: "image", unit: 12 });
  assertEquals(train, rows.subarray(0, 84));
  assertEquals(heldOut, rows.subarray(84));
  // Rows of CIFAR-10's length are not taken for CIFAR-10 where a shape is given.
  assertEquals((await load("rows.bin", new Uint8Array(3073 * 2), { shape: [1, 3073, 1] })).unit, 3073);
  await assertRejects(
    () => load("rows.bin", rows.subarray(1), { shape: [2, 2, 3] }),
    DataError,
    "cut short, a row of 2 × 2 × 3 at byte 108 has 12 bytes, the file ends after 11",
  );
  for (const shape of [[0, 1, 1], [1, 1], [1.5, 1, 1], [1, 1, 1e9]]) {
    await assertRejects(() => load("r", rows, { shape: shape as unknown as [number, number, number] }), ConfigError, "shape");
  }
  for (const heldOut of [-1, 10, 1.5]) {
    await assertRejects(() => load("r", rows, { shape: [2, 2, 3], heldOut }), ConfigError, "its images must be a whole number from 1 to 9");
  }
});

Deno.test("sound: WAV of any rate, several one after another, raw codes of two kinds", async () => {
  const codes = noise(4000), wav = await encodeWav(codes), { kind, unit, rate, train, heldOut, about } = await load("a.wav", wav);
  assertEquals({ kind, unit, rate }, { kind: "audio", unit: 1, rate: 12000 });
  assertEquals(about, "WAV of 16-bit, 12000 Hz, mono; the last 200 samples held out");
  assertEquals(join([train, heldOut]), codes);
  const two = await load("a.zip", zipSync({ "a.wav": wav, "b.wav": await encodeWav(codes, 24000), "list.txt": utf8("a b") }), {
    rate: 12000,
  });
  assertEquals(two.train.length + two.heldOut.length, 6000);
  assertEquals(two.skipped.length, 1);
  assertEquals((await load("a.wav", wav, { rate: 6000 })).rate, 6000);
  const raw = await load("a.ulaw", codes, { heldOut: 1000 });
  assertEquals([raw.kind, raw.heldOut], ["audio", codes.subarray(3000)]);
  const ordered = await load("a.raw", codes, { codes: "g711" });
  assertEquals([ordered.kind, join([ordered.train, ordered.heldOut])], ["audio", orderG711(codes)]);
  const short = await encodeWav(await encodeMulaw(new Float32Array(100).fill(0.5)));
  const error = await assertRejects(() => load("short.wav", short, { nCtx: 65536 }), DataError);
  assertStringIncludes(error.message, "Cannot train on short.wav: it has 100 bytes, it must have at least 131072");
  await assertRejects(() => load("a.wav", wav, { rate: 10 }), ConfigError, "from 1000 to 384000");
});

Deno.test("text: plain, gzip, zip of one and of several in order of their names; enwik8 by 90 / 5 / 5", async () => {
  const text = utf8("It was a bright cold day in April, and the clocks were striking thirteen.\n".repeat(40));
  const packed = [
    await load("a.txt", text),
    await load("a.txt.gz", gzipSync(text)),
    await load("a.zip", zipSync({ "a.txt": text })),
    await load("a.zip", zipSync({ "b.txt": text.subarray(700), "b/2": text.subarray(600, 700), "a/z": text.subarray(0, 600) })),
    await loadDataset([{ name: "a", data: text.subarray(0, 100) }, { name: "b", data: new Blob([text.subarray(100)]).stream() }]),
  ];
  for (const { kind, unit, train, heldOut } of packed) {
    assertEquals({ kind, unit }, { kind: "text", unit: 1 });
    assertEquals(join([train, heldOut]), text);
    assertEquals(heldOut.length, Math.floor(text.length / 20));
  }
  assertEquals(packed.map(({ notices }) => notices), packed.map(() => []));
  assertEquals(packed[3].about, `3 files of text; the last ${Math.floor(text.length / 20)} bytes held out`);
  assertEquals((await load("a.bin", noise(999))).kind, "bytes");
  const enwik8 = new Uint8Array(100_000_000).fill(32);
  enwik8.set(utf8("<mediawiki xmlns="));
  enwik8[90_000_000] = 1;
  enwik8[95_000_000] = 2;
  const { train, heldOut, test } = await load("enwik8.zip", zipSync({ enwik8 }, { level: 0 }));
  assertEquals([train.length, heldOut.length, test?.length, heldOut[0], test?.[0]], [90e6, 5e6, 5e6, 1, 2]);
});

Deno.test("what is not supported, mixed, empty or by its name something else says so", async () => {
  const png = encodePng({ width: 2, height: 2, rgb: noise(12) }), wav = await encodeWav(noise(50));
  const bytes = (...head: number[]) => Uint8Array.from([...head, ...noise(100)]);
  const cases: [string, Uint8Array, string][] = [
    ["a.xz", bytes(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), "it is xz by its first bytes, which is not supported; unpack it first: xz -d"],
    ["a.zst", bytes(0x28, 0xb5, 0x2f, 0xfd), "it is zstd"],
    ["a.jpg", bytes(0xff, 0xd8, 0xff), "it is JPEG by its first bytes, which is not supported; convert it first: ffmpeg"],
    ["a.flac", utf8("fLaC...."), "it is FLAC"],
    ["a.webp", utf8("RIFF....WEBPVP8 "), "it is WebP"],
    ["data_batch_1", bytes(0x80, 2, 0x7d), "it is Python pickle by its first bytes, which is not supported; take the binary version"],
    ["a.png", noise(100), "Cannot read a.png: by its name it begins with 89 50 4e 47 0d 0a 1a 0a, found"],
    ["a.wav", utf8("plain text"), "by its name it begins with RIFF … WAVE, found 70 6c 61 69 6e 20 74 65 at byte 0"],
    ["a.gz", new Uint8Array(), "by its name it begins with 1f 8b, found nothing"],
    ["a.zip", utf8("PKxx"), "by its name it begins with 50 4b 03 04"],
    ["a.pdf", utf8("%PDF-1.7\n"), "it is PDF by its first bytes, which is not supported; write its text into a file first: pdftotext"],
    ["data_batch_1.bin", cifar(1, 3).subarray(1), "cut short, a CIFAR-10 row at byte 6146 has 3073 bytes, the file ends after 3072"],
    ["a.zip", zipSync({ "a.png": png, "b.wav": wav }), "some files are images, some sound"],
    ["a.txt", new Uint8Array(), "Cannot train on a.txt: it is empty"],
    ["a.zip", zipSync({ "d/": new Uint8Array() }), "there is no file in it"],
    ["a.zip", zipSync({ "b.png": png.subarray(0, 50), "c.png": png }), 'Cannot read "b.png" of a.zip: cut short'],
    ["a.gz", [1, 2, 3, 4, 5].reduce((inner) => gzipSync(inner), utf8("x")), "it is an archive in 4 archives, unpack it first"],
  ];
  for (const [name, data, message] of cases) {
    const error = await assertRejects(() => load(name, data), DataError);
    assertStringIncludes(error.message, message);
    assertStringIncludes(error.message, name);
  }
  await assertRejects(() => loadDataset([]), DataError, "there is no file");
  // Known at the second file: others are not read.
  function* files() {
    yield* [{ name: "a.png", data: png }, { name: "notes.txt", data: utf8("x") }];
    throw new Error("read on");
  }
  await assertRejects(() => loadDataset(files()), DataError, "notes.txt is neither PNG");
});

Deno.test("a zip that lies about sizes, and archives cut off anywhere, never give samples", async () => {
  const text = utf8("word ".repeat(5000)), zip = zipSync({ "a.txt": text }), at = zip.length - 22 - 46 - 5;
  for (const size of [0, 1, 24_999, 25_001, 0xfffffffe]) {
    const lying = zip.slice();
    // The central directory's own word on the size.
    new DataView(lying.buffer).setUint32(at + 24, size, true);
    const error = await assertRejects(() => load("lying.zip", lying), DataError, "lying.zip");
    assertStringIncludes(error.message, `promises ${size} bytes`);
  }
  const files = { "data_batch_1.bin": cifar(1, 4), "data_batch_2.bin": cifar(2, 4) };
  for (const whole of [zip, gzipSync(await tarOf(files)), await tarOf(files), zipSync(files)]) {
    const tar = whole.length > 30_000;
    for (let k = 1; k <= 24; k++) {
      const length = tar ? Math.floor(whole.length * k / 25) : whole.length - k;
      const error = await load("cut", whole.subarray(0, length)).then(() => undefined, (error) => error);
      assert(error instanceof DataError, `${length} of ${whole.length} bytes: ${error}`);
      assertStringIncludes(error.message, "cut");
    }
  }
});

Deno.test("a source that fails midway is an error that names file and place; an abort stays the caller's", async () => {
  const wav = await encodeWav(noise(999)), tar = await packTar([{ header: { name: "b", size: 999 }, body: noise(999) }]);
  for (const [name, bytes] of [["a.wav", wav], ["a.wav.gz", gzipSync(wav)], ["a.tar", tar], ["a.tgz", gzipSync(tar)]] as const) {
    for (const at of [40, 700]) {
      const load = (error: Error) => {
        const data = async function* () {
          yield await Promise.resolve(bytes.subarray(0, at));
          throw error;
        };
        return loadDataset([{ name, data: data() }]);
      };
      await assertRejects(() => load(new TypeError("gone")), DataError, `Cannot read ${name}: its source failed after ${at} bytes: gone`);
      const enough = new DOMException("enough", "AbortError");
      assertEquals(await load(enough).catch((error) => error), enough);
    }
  }
});

Deno.test("a model and its data: whole images, long enough, inside the vocabulary", async () => {
  const images = await load("rows", new Uint8Array(60), { shape: [2, 2, 3] }),
    text = await load("t", Uint8Array.of(1, 2, 3, 4, 5, 250, 7, 8, 9, 10));
  checkDataset(images, { n_ctx: 12, vocab_size: 256 });
  assertThrows(
    () => checkDataset(images, { n_ctx: 24, vocab_size: 256 }),
    DataError,
    "an image of 2 × 2 × 3 has 12 tokens and n_ctx is 24; resize",
  );
  await assertRejects(
    () => load("rows", new Uint8Array(60), { shape: [2, 2, 3], nCtx: 6 }),
    DataError,
    "set n_ctx to 12 and position.shape to [2, 2, 3]",
  );
  checkDataset(text, { n_ctx: 1, vocab_size: 256 });
  assertThrows(() => checkDataset(text, { n_ctx: 2, vocab_size: 256 }), DataError, "its heldOut part has 1 tokens");
  assertThrows(
    () => checkDataset(text, { n_ctx: 1, vocab_size: 250 }),
    DataError,
    "token 250 at 5 of its train part is outside the vocabulary of 250",
  );
});

Deno.test("batches of images begin at images, the last one too", () => {
  const offsets = batchOffsets(1, 2, 0, 500, 5 * 12, 12, 12);
  assertEquals([...new Set(offsets)].sort((a, b) => a - b), [0, 12, 24, 36, 48]);
  assertEquals([...new Set(batchOffsets(1, 2, 0, 500, 59, 12, 12))].sort((a, b) => a - b), [0, 12, 24, 36]);
});

Deno.test("counting: what counting one by one gives, at any length", async () => {
  for (const length of [0, 1, 7, 8, 9, 65535, 65536, 65545, 200_001]) {
    const bytes = noise(length, 5), counts = new Float64Array(256);
    for (const byte of bytes) counts[byte]++;
    assertEquals(await histogram(bytes), counts);
    if (length > 0) assertEquals(entropyOf(counts), entropy0(bytes));
  }
  assertEquals((await histogram(new Uint8Array(100_000).fill(9)))[9], 100_000);
});

Deno.test("data inspect: a folder of PNG as JSON, with a sheet; sound with a waveform; errors by exit code", async () => {
  const folder = await Deno.makeTempDir();
  const inspect = async (...args: string[]) => {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "cli/main.ts", "data", "inspect", ...args],
      stdout: "piped",
      stderr: "piped",
    });
    const { code, stdout, stderr } = await command.output();
    return { code, out: new TextDecoder().decode(stdout), error: new TextDecoder().decode(stderr) };
  };
  try {
    await Deno.mkdir(`${folder}/images`);
    for (let n = 0; n < 4; n++) {
      await Deno.writeFile(`${folder}/images/${n}.png`, encodePng({ width: 3, height: 3, rgb: new Uint8Array(27).fill(n) }));
    }
    const { code, out } = await inspect(`${folder}/images`, "--json", "--png", `${folder}/sheet.png`);
    assertEquals(code, 0);
    const found = JSON.parse(out);
    assertEquals([found.kind, found.tokens, found.shape, found.train.images, found.heldOut.entropy0], ["image", 108, [3, 3, 3], 3, 0]);
    assert(Math.abs(found.train.entropy0 - Math.log2(3)) < 1e-12);
    assertEquals((await Deno.readFile(`${folder}/sheet.png`)).subarray(1, 4), utf8("PNG"));
    await Deno.writeFile(`${folder}/a.wav`, await encodeWav(noise(24_000)));
    const sound = await inspect(`${folder}/a.wav`, "--svg", `${folder}/a.svg`);
    assertEquals(sound.code, 0);
    assertStringIncludes(sound.out, "WAV of 16-bit, 12000 Hz, mono");
    assertStringIncludes(sound.out, "22,800 (1.90 s)");
    assertStringIncludes(await Deno.readTextFile(`${folder}/a.svg`), "<svg");
    const text = await inspect("README.md", "--png", `${folder}/no.png`);
    assertEquals(text.code, 2);
    assertStringIncludes(text.error, "pictures are of images or sound, this is text");
    assertStringIncludes((await inspect(`${folder}/none`)).error, "there is no such file");
    assertEquals((await inspect("README.md", "--shape", "3x3")).code, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
