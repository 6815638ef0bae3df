/**
 * Archives as the world writes them: paths of any form, lengths that lie, numbers of 64 bits.
 *
 * Plan. Properties first: any path form in any archive and folder, every length field 0, all ones and one too many. Then the cases.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { gzipSync, zipSync } from "fflate";
import { packTar } from "modern-tar";
import { zipEntries } from "../src/data/zip.ts";
import { crc32 } from "../src/data/crc32.ts";
import { canonicalPath, isHidden } from "../src/data/members.ts";
import { loadDataset } from "../src/data/load.ts";
import { join } from "../src/data/reader.ts";
import { DataError } from "../src/base/errors.ts";
import { all, folder, GREY, idx, load, noise, pngs, tarOf, TEXT, utf8 } from "./as_found.ts";

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
