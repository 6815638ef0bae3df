/**
 * What this program packs into zip archives, its own reader and others unpack.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { unzipSync } from "fflate";
import { unzip, zipChunks, zipEntries } from "../data.ts";
import { DataError } from "../mod.ts";
import { join } from "../src/data/reader.ts";

const FILES = new Map([
  ["run/config.json", new TextEncoder().encode("{}")],
  ["run/größe", new Uint8Array(0)],
  ["run/state-3/model", Uint8Array.from({ length: 70_000 }, (_, at) => at * 7)],
]);

Deno.test("zip chunks: read again as they were, by two readers", () => {
  const packed = join([...zipChunks(FILES)]), entries = zipEntries(packed, "run.zip");
  assertEquals(new Map(entries.map((entry) => [entry.name, unzip(entry, "run.zip")])), FILES);
  assertEquals(new Map(Object.entries(unzipSync(packed))), FILES);
});

Deno.test("zip chunks: of no file there is an empty archive", () => {
  assertEquals(zipEntries(join([...zipChunks(new Map())]), "run.zip"), []);
});

Deno.test("zip chunks: more files than the format counts are refused", () => {
  const many = new Map(Array.from({ length: 65_535 }, (_, at) => [String(at), new Uint8Array(0)]));
  assertThrows(() => [...zipChunks(many)], DataError, "fewer than 65,535");
});
