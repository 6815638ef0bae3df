/**
 * Data that memory does not hold: read by range it is what it is read whole.
 *
 * Plan. Ranges over stretches and arrays against the plain array, at every border. Each kind of file, by range, unpacked into a store, and
 * whole, at a limit of some bytes: the same tokens, held out and trained on. Training on either gives the same weights. A place that shrinks.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { gzipSync } from "node:zlib";
import { DataError } from "../src/base/errors.ts";
import type { DatasetOptions } from "../src/data/dataset.ts";
import { loadDataset, openDataset } from "../src/data/load.ts";
import { encodePng } from "../src/data/png.ts";
import type { Sliceable } from "../src/data/reader.ts";
import { TokenRange, type TokenSource } from "../src/data/token_range.ts";
import type { TokenStore } from "../src/data/token_store.ts";
import { withHeldOut } from "../src/data/valid.ts";
import { encodeWav } from "../src/data/wav.ts";
import { identifyDataset } from "../src/run/identity.ts";
import { train } from "../src/run/train.ts";
import { disposeEngines, engine } from "./engines.ts";
import { SMALL } from "./model.ts";

const bytes = Uint8Array.from({ length: 4000 }, (_, i) => 97 + (i * i + (i >> 3)) % 24);

/** A place that can be read anywhere; counts what is read of it. */
function placeOf(bytes: Uint8Array): Sliceable & { read: number } {
  const place = {
    size: bytes.length,
    read: 0,
    slice: (from: number, to: number) => ({
      arrayBuffer() {
        place.read += Math.min(to, bytes.length) - from;
        return Promise.resolve(bytes.slice(from, to).buffer);
      },
    }),
  };
  return place;
}

function storeOf(): TokenStore & { bytes: Uint8Array } {
  const store = {
    name: "a store",
    bytes: new Uint8Array(),
    write(more: Uint8Array) {
      store.bytes = Uint8Array.of(...store.bytes, ...more);
    },
    place: {
      get size() {
        return store.bytes.length;
      },
      slice: (from: number, to: number) => ({ arrayBuffer: () => Promise.resolve(store.bytes.slice(from, to).buffer) }),
    },
  };
  return store;
}

function rangeOf(tokens: TokenSource): TokenRange {
  assert(tokens instanceof TokenRange);
  return tokens as TokenRange;
}

Deno.test("ranges: of several places, at every border", async () => {
  const table = Uint8Array.from({ length: 256 }, (_, code) => 255 - code), place = placeOf(bytes);
  const range = new TokenRange([
    bytes.subarray(0, 3),
    { place, from: 10, length: 4, name: "p", table },
    new Uint8Array(),
    bytes.subarray(7, 9),
  ]);
  const whole = Uint8Array.of(...bytes.subarray(0, 3), ...bytes.subarray(10, 14).map((code) => 255 - code), ...bytes.subarray(7, 9));
  assertEquals(range.length, 9);
  for (let from = 0; from <= 9; from++) {
    for (let to = from; to <= 10; to++) {
      assertEquals(await range.read(from, to), whole.slice(from, to));
      const part = range.subarray(from, to);
      assertEquals(part.length, Math.min(to, 9) - from);
      assertEquals(await part.read(1), whole.slice(from, to).slice(1));
    }
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of new TokenRange([range, range]).pieces(4)) pieces.push(piece);
  assertEquals(pieces.map(({ length }) => length), [4, 4, 4, 4, 2]);
  assertEquals(Uint8Array.of(...pieces.flatMap((piece) => [...piece])), Uint8Array.of(...whole, ...whole));
  const shorter = new TokenRange([{ place, from: 3990, length: 20, name: "shrunk.bin" }]);
  await assertRejects(() => shorter.read(), DataError, "shrunk.bin: it has become shorter, of 20 bytes at byte 3990 there are 10");
});

const png = encodePng({ width: 4, height: 5, rgb: bytes.slice(0, 60) });
const KINDS: Readonly<Record<string, [name: string, data: Uint8Array, options: DatasetOptions, stored: boolean]>> = {
  text: ["a.txt", bytes, {}, false],
  rows: ["a.bin", bytes, { shape: [4, 5, 2] }, false],
  codes: ["a.bin", bytes, { codes: "mulaw", heldOut: 501 }, false],
  "G.711": ["a.bin", bytes, { codes: "g711" }, false],
  "bytes as they are": ["a.png", bytes, { as: "bytes" }, false],
  "text in gzip": ["a.txt.gz", gzipSync(bytes), {}, true],
  sound: ["a.wav", await encodeWav(bytes, 12000), {}, true],
};

for (const [kind, [name, data, options, stored]] of Object.entries(KINDS)) {
  Deno.test(`ranges: ${kind} is the same by range`, async () => {
    const place = placeOf(data),
      file = () => [{ name, data: place }],
      whole = await loadDataset([{ name, data }], options),
      store = storeOf();
    const { train, heldOut, notices, ...rest } = await openDataset(file(), { ...options, hold: 100, store });
    assertEquals(await rangeOf(train).read(), new Uint8Array(whole.train));
    assertEquals(heldOut, new Uint8Array(whole.heldOut));
    assertEquals(store.bytes.length > 0, stored);
    assertEquals(notices.some((notice) => notice.includes("unpacked into a store")), stored);
    const { train: _, heldOut: _h, notices: _n, ...same } = whole;
    assertEquals(rest, same);
    const held = await openDataset(file(), { ...options, hold: 2 ** 20, store: storeOf() });
    assertEquals(held.train, whole.train);
    if (stored) await assertRejects(() => openDataset(file(), { ...options, hold: 100 }), DataError, "there is no store for more");
  });
}

Deno.test("ranges: pictures that are many go into the store", async () => {
  const files = Array.from({ length: 12 }, (_, i) => ({ name: `${i}.png`, data: png, path: `${i}.png` })), store = storeOf();
  const { train, heldOut } = await openDataset(files, { hold: 150, store, heldOut: 3 }), whole = await loadDataset(files, { heldOut: 3 });
  assertEquals([await rangeOf(train).read(), heldOut], [new Uint8Array(whole.train), new Uint8Array(whole.heldOut)]);
  assertEquals(store.bytes.length, 10 * 60);
});

Deno.test("ranges: a run by range is the run of the same data in memory, and reads its windows alone", async () => {
  const place = placeOf(bytes), on = await engine("wasm"), ends: number[][] = [];
  const { train: range } = await openDataset([{ name: "a.txt", data: place }], { hold: 0, heldOut: 100 });
  const begun = place.read;
  for (const data of [range, bytes.subarray(0, 3900)]) {
    for await (const report of train({ engine: on, config: SMALL, train: { steps: 3, batch: 2, windows: "shuffled" }, data })) {
      if (report.last) ends.push([...(await report.snapshot()).weights.get("out.weight")!]);
    }
  }
  assertEquals(ends[0], ends[1]);
  assertEquals(place.read - begun, 3 * 2 * SMALL.n_ctx);
});

Deno.test("ranges: known by pieces of it, and another file may be held out", async () => {
  const open = (data: Uint8Array) => openDataset([{ name: "a.txt", data: placeOf(data) }], { hold: 0, heldOut: 0 });
  const one = await open(bytes), id = await identifyDataset(one, {}), changed = bytes.slice();
  changed[1234] ^= 1;
  assertEquals([id.sampled, id.bytes, id.heldOut], [true, 4000, 0]);
  assert((await identifyDataset(await open(changed), {})).sha256 !== id.sha256);
  assertEquals((await identifyDataset(await open(bytes.slice()), {})).sha256, id.sha256);
  const valid = await loadDataset([{ name: "b.txt", data: bytes.subarray(0, 90) }], { heldOut: 0 }), both = withHeldOut(one, valid);
  assertEquals([both.train.length, both.heldOut.length], [4000, 90]);
  const rows = await loadDataset([{ name: "c.bin", data: bytes.subarray(0, 90) }], { heldOut: 0, shape: [3, 3, 1] });
  await assertRejects(async () => await Promise.resolve(withHeldOut(one, rows)), DataError, "a.txt is text, c.bin is images of 3 × 3 × 1");
});

Deno.test.afterAll(disposeEngines);
