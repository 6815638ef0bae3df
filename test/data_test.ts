/**
 * Bytes, text and archives: what is split, drawn and shown.
 *
 * Plan. Held-out parts, batches and entropy by their definitions; text that is cut anywhere or acts on a terminal; archives of this
 * library and the runtime's, damaged and lying ones.
 */

import { assert, assertAlmostEquals, assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { gzipSync, strToU8, Zip, ZipDeflate, ZipPassThrough, zipSync } from "fflate";
import { gunzip } from "../src/data/gzip.ts";
import { unzip, zipEntries } from "../src/data/zip.ts";
import { batchOffsets } from "../src/data/batches.ts";
import { checkSameData, identify } from "../src/data/identity.ts";
import { entropy0 } from "../src/data/entropy.ts";
import { splitHeldOut } from "../src/data/held_out.ts";
import { encodeText, TextStream, visible } from "../src/data/text.ts";
import { ConfigError, DataError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";

const copy = (bytes: Uint8Array) => new Uint8Array(bytes);

/** Bytes that deflate makes blocks of: half runs, half noise. */
function sample(length: number): Uint8Array<ArrayBuffer> {
  const random = new Random(7, 1);
  return Uint8Array.from({ length }, (_, i) => i & 512 ? random.below(256) : i & 64 ? 97 : 98);
}

Deno.test("data: the end is held out, a twentieth of it, at least a context and at most 200 kB", () => {
  const split = (length: number, nCtx: number, heldOut?: number) => {
    const bytes = sample(length), parts = splitHeldOut(bytes, nCtx, "d", heldOut);
    assertEquals(new Uint8Array([...parts.train, ...parts.heldOut]), bytes);
    return parts.heldOut.length;
  };
  assertEquals(split(100_000, 64), 5000);
  assertEquals(split(10_000, 1024), 1024);
  assertEquals(split(2048, 1024), 1024);
  assertEquals(split(100_000, 64, 777), 777);
  const large = new Uint8Array(8_000_000);
  assertEquals(splitHeldOut(large, 1024, "d").heldOut.length, 200_000);
  assertEquals(splitHeldOut(large, 300_000, "d").heldOut.length, 300_000);
  assertThrows(() => splitHeldOut(new Uint8Array(0), 64, "book.txt"), DataError, "Cannot train on book.txt: it is empty");
  assertThrows(() => splitHeldOut(new Uint8Array(127), 64, "book.txt"), DataError, "it has 127 bytes, it must have at least 128");
  for (const wrong of [0, 63, 965, 1.5, NaN]) {
    assertThrows(() => splitHeldOut(sample(1024), 64, "d", wrong), ConfigError, "from 64 to 960");
  }
});

Deno.test("data: a resumed run recognises its data", async () => {
  // SHA-256 of "abc", from FIPS 180-2.
  const abc = await identify("a", encodeText("abc"), 1);
  assertEquals(abc, { name: "a", bytes: 3, sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", heldOut: 1 });
  checkSameData(abc, await identify("another name", encodeText("abc"), 1));
  for (const other of [await identify("a", encodeText("abd"), 1), await identify("a", encodeText("abc"), 2)]) {
    assertThrows(() => checkSameData(abc, other), DataError, "Cannot resume on other data: the run began with a (3 bytes, 1 held out");
  }
});

Deno.test("data: batches depend on seed, step, micro-batch and row alone, and cover the data", () => {
  const draw = (
    step: number,
    micro: number,
    count = 4,
    length = 1000,
    nCtx = 100,
    seed = 1,
  ) => [...batchOffsets(seed, step, micro, count, length, nCtx)];
  assertEquals(draw(3, 0), draw(3, 0));
  assertEquals(draw(3, 0, 2), draw(3, 0, 4).slice(0, 2));
  for (const other of [draw(4, 0), draw(3, 1), draw(3, 0, 4, 1000, 100, 2)]) assertNotEquals(draw(3, 0), other);
  assertEquals(draw(0, 0, 3, 100, 100), [0, 0, 0]);
  const seen = new Set(draw(0, 0, 2000, 20, 10));
  assertEquals([...seen].sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assertThrows(() => draw(0, 0, 1, 99, 100), DataError, "has 99 bytes, one context is n_ctx = 100");
});

Deno.test("data: order-0 entropy", () => {
  assertEquals(entropy0(new Uint8Array(9)), 0);
  assertEquals(entropy0(Uint8Array.from({ length: 512 }, (_, i) => i)), 8);
  assertAlmostEquals(entropy0(new Uint8Array([1, 1, 1, 2])), 0.811278124459, 1e-9);
});

Deno.test("text: a stream of bytes shows whole characters", () => {
  const text = "Ärger, 日本語, 👩‍🚀!\n\tx", bytes = encodeText(text.replace("\u200d", "")), stream = new TextStream();
  let shown = "";
  for (const byte of bytes) shown += stream.push(Uint8Array.of(byte));
  assertEquals(shown + stream.end(), text.replace("\u200d", ""));
  assertEquals(new TextStream().push(Uint8Array.of(0x61, 0xff, 0x62, 0xc3, 0x28)), "a\ufffdb\ufffd(");
  const cut = new TextStream();
  assertEquals(cut.push(Uint8Array.of(0x61, 0xe6, 0x97)), "a");
  assertEquals(cut.end(), "\ufffd");
});

Deno.test("text: no byte sequence acts on a terminal", () => {
  assertEquals(visible("\x1b[2J\x07\r\n\x7f\x9b31m\u202ex\ufeff"), "␛[2J␇␍\n␡\ufffd31m\ufffdx\ufffd");
  const stream = new TextStream(), all: string[] = [];
  for (let a = 0; a < 256; a++) for (let b = 0; b < 256; b++) all.push(stream.push(Uint8Array.of(a, b)));
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(all.join("") + stream.end()));
});

async function nativeGzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer());
}

Deno.test("archive: gzip by this library and by the runtime, of one member and of several", async () => {
  for (const length of [0, 1, 1000, 65536, 300_000]) {
    const bytes = sample(length), packed = gzipSync(bytes, { level: 9, filename: "x" });
    assertEquals(gunzip(packed, "x.gz"), bytes);
    const other = await nativeGzip(bytes);
    assertEquals(gunzip(other, "x.gz"), bytes);
    assertEquals(gunzip(Uint8Array.from([...packed, ...other, ...packed]), "x.gz"), Uint8Array.from([...bytes, ...bytes, ...bytes]));
  }
});

Deno.test("archive: gzip whose first member ends anywhere around the end of a piece", async () => {
  // 65,536 bytes are fed at once: the trailer and the next header are split at each of their bytes.
  const cuts = new Set<number>(), random = new Random(1, 1), all = Uint8Array.from({ length: 65536 }, () => random.below(256));
  for (let length = 65480; length < 65536; length++) {
    const noise = all.slice(0, length), packed = await nativeGzip(noise);
    cuts.add(65536 - packed.length);
    assertEquals(gunzip(Uint8Array.from([...packed, ...packed]), "x.gz"), Uint8Array.from([...noise, ...noise]));
  }
  for (let cut = -8; cut <= 18; cut++) assert(cuts.has(cut), `no member ended ${cut} bytes before the end of a piece`);
});

Deno.test("archive: damaged gzip is an error that names file and offset", () => {
  const bytes = sample(200_000), packed = gzipSync(bytes, { level: 6, mtime: 0 });
  const bad = (file: Uint8Array, includes: string, limit?: number) =>
    assertStringIncludes(assertThrows(() => gunzip(copy(file), "x.gz", limit), DataError, includes).message, "Cannot unpack x.gz");
  bad(new Uint8Array(0), "found nothing in 0 bytes");
  bad(encodeText("plain text, not packed"), "found 70 6c");
  bad(packed.subarray(0, 17), "in 17 bytes");
  for (const cut of [packed.length - 1, packed.length - 8, packed.length - 9, packed.length >> 1, 70_000, 30]) {
    bad(packed.subarray(0, cut), "damaged");
  }
  bad(packed.subarray(0, 70_000), "damaged between bytes 65536 and 70000");
  // A member that begins behind is one, and must be whole.
  bad(Uint8Array.from([...packed, ...packed.subarray(0, 40)]), "damaged");
  for (let at = packed.length - 8; at < packed.length; at++) {
    const changed = copy(packed);
    changed[at] ^= 1;
    bad(changed, `the trailer at byte ${packed.length - 8} promises`);
  }
  for (let at = 30; at < packed.length; at += 997) {
    const changed = copy(packed);
    changed[at] ^= 0x55;
    bad(changed, "damaged");
  }
  bad(packed, "gives more than 199999 bytes", 199_999);
  assertEquals(gunzip(packed, "x.gz", 200_000).length, 200_000);
});

Deno.test("archive: a bomb stops at the limit", () => {
  const bomb = gzipSync(new Uint8Array(50_000_000), { level: 9 });
  assertThrows(() => gunzip(bomb, "x.gz", 1_000_000), DataError, "more than 1000000 bytes");
  const zip = zipSync({ bomb: new Uint8Array(50_000_000) }, { level: 9 });
  assertThrows(() => unzip(zipEntries(zip, "x.zip")[0], "x.zip", 1_000_000), DataError, "more than 1000000 bytes");
});

Deno.test("archive: zip, stored and deflated, with folders, comment and streamed entries", () => {
  const big = sample(150_000),
    zip = zipSync({ "d/": new Uint8Array(0), "d/a.txt": [strToU8("hello"), { level: 0 }], "e": new Uint8Array(0), big });
  const commented = Uint8Array.from([...zip, ...strToU8("a note")]);
  commented[zip.length - 2] = 6;
  for (const file of [zip, commented]) {
    const entries = zipEntries(file, "x.zip");
    assertEquals(entries.map(({ name, size, method }) => [name, size, method]), [["d/a.txt", 5, 0], ["e", 0, 8], ["big", 150_000, 8]]);
    assertEquals(entries.map((entry) => unzip(entry, "x.zip")), [strToU8("hello"), new Uint8Array(0), big]);
  }
  // Written as a stream: sizes and CRC come behind the data, the local header has none.
  const pieces: Uint8Array[] = [], stream = new Zip((_, piece) => pieces.push(piece));
  const deflated = new ZipDeflate("s", { level: 6 }), stored = new ZipPassThrough("t");
  stream.add(deflated);
  deflated.push(big, true);
  stream.add(stored);
  stored.push(strToU8("t"), true);
  stream.end();
  const entries = zipEntries(Uint8Array.from(pieces.flatMap((piece) => [...piece])), "x.zip");
  assertEquals(entries.map((entry) => unzip(entry, "x.zip")), [big, strToU8("t")]);
});

Deno.test("archive: damaged and lying zip is an error that names file and offset", () => {
  const bytes = sample(100_000), zip = zipSync({ "a\x1b": bytes }), view = new DataView(zip.buffer), end = zip.length - 22;
  const directory = view.getUint32(end + 16, true);
  const bad = (change: (file: DataView) => void, includes: string, file = zip) => {
    const changed = copy(file);
    change(new DataView(changed.buffer));
    const error = assertThrows(() => zipEntries(changed, "x.zip").map((entry) => unzip(entry, "x.zip")), DataError, includes);
    assertStringIncludes(error.message, "x.zip");
    assert(!error.message.includes("\x1b"), "names from the file are escaped");
  };
  for (const length of [0, 21, 22, 1000, zip.length - 1]) bad(() => {}, "no zip directory", zip.subarray(0, length));
  bad(() => {}, "no zip directory", new Uint8Array(200_000));
  bad((file) => file.setUint32(end + 16, directory + 1, true), `no directory entry at byte ${directory + 1}`);
  bad((file) => file.setUint32(end + 16, 0xfffffff0, true), "no directory entry at byte 4294967280");
  bad((file) => file.setUint16(end + 10, 2, true), `no directory entry at byte ${end}`);
  bad((file) => file.setUint16(end + 10, 0xffff, true), `no directory entry at byte ${end}`);
  bad((file) => file.setUint16(directory + 28, 0xffff, true), "runs past the end");
  bad((file) => file.setUint32(directory + 42, 1, true), "no header of");
  bad((file) => file.setUint32(directory + 42, 0xfffffff0, true), "no header of");
  bad((file) => file.setUint32(directory + 20, 0xfffffff0, true), "the file has");
  bad((file) => file.setUint32(directory + 24, 0xffffffff, true), "promises 4294967295 bytes");
  bad((file) => file.setUint16(directory + 8, 1, true), "encrypted");
  bad((file) => file.setUint16(directory + 10, 9, true), "method is 9");
  for (const size of [0, 99_999, 100_001, 0x7fffffff]) {
    bad((file) => file.setUint32(directory + 24, size, true), `promises ${size} bytes`);
  }
  bad((file) => file.setUint32(directory + 16, 0, true), "with CRC-32 00000000");
  bad((file) => file.setUint32(directory + 20, 20_000, true), "damaged between bytes");
  const two = zipSync({ a: bytes, b: bytes }), second = new DataView(two.buffer).getUint32(two.length - 22 + 16, true) + 46 + 1;
  bad((file) => file.setUint32(second + 42, 0, true), `"b" begins at byte 31, inside "a", which ends at`, two);
  for (let at = 100; at < directory; at += 997) bad((file) => file.setUint8(at, file.getUint8(at) ^ 0x55), "damaged");
});

Deno.test("archive: errors of unpacking are never others' errors", () => {
  const random = new Random(3, 1), packed = gzipSync(sample(3000)), zip = zipSync({ a: sample(3000) });
  for (let round = 0; round < 2000; round++) {
    const [file, open] = round & 1
      ? [packed, (bytes: Uint8Array) => void gunzip(bytes, "x")]
      : [zip, (bytes: Uint8Array) => zipEntries(bytes, "x").forEach((entry) => unzip(entry, "x"))];
    const changed = copy(file);
    for (let i = 0; i < 3; i++) changed[random.below(changed.length)] = random.below(256);
    try {
      open(changed);
    } catch (error) {
      assert(error instanceof DataError, `round ${round}: ${(error as Error).stack}`);
    }
  }
});
