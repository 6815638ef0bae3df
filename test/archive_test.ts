/**
 * Archives as they come, in pieces. (What gzip and zip say of themselves is data_test.ts's.)
 *
 * Plan. What the whole gives, pieces of any size give; a bomb is counted as it grows; tar by another packer and by hand; cut off or
 * changed anywhere, it is an error that names file and place.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { gzipSync } from "fflate";
import { packTar } from "modern-tar";
import { gunzip, gunzipPieces } from "../src/data/gzip.ts";
import { tarFiles } from "../src/data/tar.ts";
import { join, pieces } from "../src/data/reader.ts";
import { DataError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";

async function* split(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function all(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const piece of bytes) parts.push(piece);
  return join(parts);
}

function noise(length: number): Uint8Array<ArrayBuffer> {
  const random = new Random(3, 2);
  return Uint8Array.from({ length }, () => random.below(64));
}

const file = (name: string, body: Uint8Array) => ({ header: { name, size: body.length, type: "file" as const }, body });

/** A small archive of every kind of entry that a tar of data has. */
async function archive(): Promise<{ tar: Uint8Array<ArrayBuffer>; files: Map<string, Uint8Array> }> {
  const long = "deep/".repeat(40) + "ünïcode.txt";
  const files = new Map([["a.txt", noise(5)], ["d/b.bin", noise(1024)], [long, noise(513)], ["empty", new Uint8Array()], [
    "z",
    noise(70_000),
  ]]);
  const entries = [...files].map(([name, body]) => file(name, body));
  const tar = await packTar([
    { header: { name: "d/", size: 0, type: "directory" } },
    { header: { name: "link", size: 0, type: "symlink", linkname: "/etc/passwd" } },
    ...entries,
  ]);
  return { tar: new Uint8Array(tar), files };
}

Deno.test("gzip in pieces: what the whole gives, of one member and several, pieces of any size", async () => {
  const one = noise(200_000), two = noise(30);
  const packed = join([gzipSync(one), gzipSync(new Uint8Array()), gzipSync(two, { filename: "x".repeat(300) })]);
  assertEquals(gunzip(packed, "t.gz"), join([one, two]));
  for (const size of [packed.length, 65536, 4099, 17]) assertEquals(await all(gunzipPieces(split(packed, size), "t.gz")), join([one, two]));
  assertEquals(await all(gunzipPieces(new Blob([packed]).stream(), "t.gz")), join([one, two]));
  for (const length of [0, 1, 17, 18, 40, gzipSync(one).length - 1, packed.length - 1]) {
    await assertRejects(() => all(gunzipPieces(split(packed.subarray(0, length), 999), "cut.gz")), DataError, "Cannot unpack cut.gz: ");
  }
  const damaged = packed.slice();
  damaged[gzipSync(one).length - 6] ^= 1;
  const error = await assertRejects(() => all(gunzipPieces(split(damaged, 999), "bad.gz")), DataError);
  assertStringIncludes(error.message, `the trailer at byte ${gzipSync(one).length - 8} promises 200000 bytes`);
});

Deno.test("gzip in pieces: a bomb is counted as it grows, and nothing of it is kept", async () => {
  const packed = gzipSync(new Uint8Array(64 << 20));
  await assertRejects(
    () => all(gunzipPieces(packed, "bomb.gz", 1e6)),
    DataError,
    "Cannot unpack bomb.gz: it gives more than 1000000 bytes",
  );
  let length = 0;
  for await (const piece of gunzipPieces(packed, "large.gz")) length += piece.length;
  assertEquals(length, 64 << 20);
});

Deno.test("tar: files in order, folders left out, links named, unread files passed over, pieces of any size", async () => {
  const { tar, files } = await archive();
  for (const size of [tar.length, 10240, 512, 77]) {
    const found = new Map<string, Uint8Array>();
    for await (const { name, data, other } of tarFiles(split(tar, size), "t.tar")) {
      if (other) assertEquals([name, other, (await all(data)).length], ["link", "a link", 0]);
      else found.set(name, await all(data));
    }
    assertEquals([...found], [...files]);
  }
  const names: string[] = [];
  for await (const { name, data, other } of tarFiles(tar, "t.tar")) {
    if (!other) names.push(name);
    // Only the beginning of one, nothing of the others.
    if (name === "z") await data.next();
  }
  assertEquals(names, [...files.keys()]);
});

Deno.test("tar: a file left before its end does not keep the next one waiting, however much has come by then", async () => {
  const tar = new Uint8Array(await packTar(["a", "b", "c"].map((name) => file(name, noise(1600)))));
  for (let size = 300; size <= 1500; size += 100) {
    for (let reads = 1; reads <= 4; reads++) {
      const names: string[] = [];
      for await (const { name, data } of tarFiles(split(tar, size), "t.tar")) {
        names.push(name);
        for (let i = 0; i < reads; i++) await data.next();
        await new Promise((resume) => setTimeout(resume, 0));
        await data.return(undefined);
      }
      assertEquals(names, ["a", "b", "c"], `${reads} of pieces of ${size} bytes`);
    }
  }
});

Deno.test("tar: reading may stop early, and then the source is let go", async () => {
  const { tar } = await archive();
  let closed = false;
  async function* source() {
    try {
      yield* pieces(split(tar, 512));
    } finally {
      closed = true;
    }
  }
  for await (const { name } of tarFiles(source(), "t.tar")) if (name === "a.txt") break;
  assert(closed);
});

Deno.test("tar: cut off anywhere, or with a header that differs, is an error that names file and place", async () => {
  const { tar } = await archive();
  const read = async (bytes: Uint8Array) => {
    for await (const { data } of tarFiles(split(bytes, 4096), "bad.tar")) await all(data);
  };
  for (let length = 0; length < tar.length; length += 509) {
    const error = await assertRejects(() => read(tar.subarray(0, length)), DataError, "Cannot read bad.tar: cut short, ");
    assert(Number(/at byte (\d+)/.exec(error.message)![1]) <= length, error.message);
  }
  // The second header: name, size, checksum, type.
  for (const at of [512, 512 + 124, 512 + 148, 512 + 156]) {
    const changed = tar.slice();
    changed[at] ^= 2;
    await assertRejects(() => read(changed), DataError, "Cannot unpack bad.tar: damaged, the header at byte 512 has the sum");
  }
  // A size beyond the archive.
  const changed = tar.slice(), header = changed.subarray(1024, 1536);
  header.set(new TextEncoder().encode("77777777777"), 124);
  header.fill(32, 148, 156);
  header.set(new TextEncoder().encode(header.reduce((a, b) => a + b, 0).toString(8).padStart(6, "0") + "\0"), 148);
  await assertRejects(() => read(changed), DataError, 'Cannot read bad.tar: cut short, file "a.txt" at byte 1536');
});

Deno.test("tar in gzip: what is wrong with the gzip is told as that", async () => {
  const { tar } = await archive(), packed = gzipSync(tar);
  const read = async (bytes: Uint8Array) => {
    let count = 0;
    for await (const { data } of tarFiles(gunzipPieces(split(bytes, 1000), "t.tar.gz"), "t.tar.gz")) count += (await all(data)).length;
    return count;
  };
  assertEquals(await read(packed), 5 + 1024 + 513 + 70_000);
  await assertRejects(() => read(packed.subarray(0, packed.length - 3)), DataError, "Cannot unpack t.tar.gz: damaged");
  const changed = packed.slice();
  changed[changed.length - 5] ^= 1;
  await assertRejects(() => read(changed), DataError, "the trailer at byte");
});

Deno.test("tar: pax and GNU paths and sizes, v7, as the test's packer and by hand", async () => {
  const header = (fields: Record<number, string | Uint8Array>) => {
    const block = new Uint8Array(512);
    for (const [at, value] of Object.entries(fields)) {
      block.set(typeof value === "string" ? new TextEncoder().encode(value) : value, Number(at));
    }
    block.fill(32, 148, 156);
    block.set(new TextEncoder().encode(block.reduce((a, b) => a + b, 0).toString(8).padStart(6, "0") + "\0"), 148);
    return block;
  };
  const padded = (text: string) => {
    const bytes = new TextEncoder().encode(text), block = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
    block.set(bytes);
    return block;
  };
  const path = "p/".repeat(150) + "é",
    record = (key: string, value: string) => {
      const rest = new TextEncoder().encode(` ${key}=${value}\n`).length;
      let length = rest + 1;
      while (String(length).length + rest !== length) length = String(length).length + rest;
      return `${length} ${key}=${value}\n`;
    };
  const pax = record("path", path) + record("size", "3"), size = (n: number) => n.toString(8).padStart(11, "0");
  const tar = join([
    header({ 0: "plain", 124: size(2) }),
    padded("v7"),
    header({ 0: "x", 124: size(new TextEncoder().encode(pax).length), 156: "x", 257: "ustar\x0000" }),
    padded(pax),
    // What the header says is not believed: sizes beyond its 11 digits are in the extension alone.
    header({ 0: "short", 124: size(9), 156: "0", 257: "ustar\x0000" }),
    padded("pax"),
    header({ 0: "././@LongLink", 124: size(201), 156: "L", 257: "ustar  " }),
    padded("g".repeat(200)),
    // 4 bytes in base 256.
    header({ 0: "gggg", 124: Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4), 156: "0", 257: "ustar  ", 345: "14000000000" }),
    padded("gnu!"),
    header({ 0: "b", 124: size(1), 156: "0", 257: "ustar\x0000", 345: "a" }),
    padded("p"),
    new Uint8Array(1024),
  ]);
  const found: [string, string][] = [];
  for await (const { name, data } of tarFiles(tar, "t.tar")) found.push([name, new TextDecoder().decode(await all(data))]);
  assertEquals(found, [["plain", "v7"], [path, "pax"], ["g".repeat(200), "gnu!"], ["a/b", "p"]]);
});
