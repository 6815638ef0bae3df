/**
 * Layouts against the definition of each set.
 *
 * Plan. For every pattern at odd sizes and several tiles: every pair is in exactly one part, tiles list exactly the non-empty ones with
 * the right flag, the transpose agrees, also of the set as one with bits for pairs. Counts are those that the formulas of the pattern give.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { buildInOrder, buildLayout } from "../src/pattern/layout.ts";
import { attends } from "../src/pattern/attends.ts";
import { type AttentionConfig, type AttentionSet, keysOf, resolveSets } from "../src/pattern/sets.ts";
import { ConfigError, OutOfMemoryError } from "../src/base/errors.ts";
import { checkReach } from "../src/pattern/reach.ts";
import { patternMap } from "../src/pictures/layouts.ts";
import { callersBlocks, PATTERNS } from "./patterns.ts";

async function check(set: AttentionSet, n: number, q: number, k: number) {
  const layout = await buildLayout(set, n, { q, k }), m = keysOf(set, n), seen = new Set<number>();
  for (const part of layout.parts) {
    const row = (map: Uint32Array | null, at: number) => map ? map[at] : at;
    assertEquals(part.queryRows ? new Set(part.queryRows).size : part.queries, n, "queries are a permutation");
    for (let u = 0; u < n; u++) {
      for (let v = part.lo[u]; v < part.hi[u]; v++) {
        const pair = row(part.queryRows, u) * m + row(part.keyRows, v);
        assert(!seen.has(pair), `pair ${pair} twice`);
        seen.add(pair);
      }
    }
    const queryTiles = Math.ceil(n / q),
      keyTiles = Math.ceil(part.keys / k),
      forward: string[] = [],
      backward: string[] = [],
      want: string[] = [];
    for (let a = 0; a < queryTiles; a++) {
      for (let b = 0; b < keyTiles; b++) {
        let inside = 0, all = 0;
        for (let u = a * q; u < Math.min(n, (a + 1) * q); u++) {
          for (let v = b * k; v < Math.min(part.keys, (b + 1) * k); v++, all++) inside += v >= part.lo[u] && v < part.hi[u] ? 1 : 0;
        }
        if (inside > 0) want.push(`${a}:${b * 2 + (inside < all ? 1 : 0)}`);
      }
      for (let e = part.forward.starts[a]; e < part.forward.starts[a + 1]; e++) forward.push(`${a}:${part.forward.list[e]}`);
    }
    for (let b = 0; b < keyTiles; b++) {
      for (let e = part.backward.starts[b]; e < part.backward.starts[b + 1]; e++) {
        const entry = part.backward.list[e];
        backward.push(`${entry >> 1}:${b * 2 + (entry & 1)}`);
      }
    }
    assertEquals(forward, want);
    assertEquals(backward.sort(), want.sort());
  }
  let pairs = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      const has = attends(set, i, j);
      pairs += has ? 1 : 0;
      assertEquals(seen.has(i * m + j), has, `pair (${i}, ${j})`);
    }
  }
  assertEquals(layout.pairs, pairs);
}

/** The same as one, its rows in order, with a bit for every pair. */
async function checkInOrder(set: AttentionSet, n: number, q: number, k: number) {
  const [{ words, bits, forward, backward }] = (await buildInOrder(set, n, { q, k })).parts;
  const m = keysOf(set, n),
    queryTiles = Math.ceil(n / q),
    keyTiles = Math.ceil(m / k),
    want: string[] = [],
    listed: string[] = [],
    transposed: string[] = [];
  assertEquals(bits.length, n * words);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < words * 32; j++) {
      const has = (bits[i * words + (j >> 5)] >>> (j & 31) & 1) === 1;
      if (has !== (j < m && attends(set, i, j))) throw new Error(`pair (${i}, ${j})`);
    }
  }
  assert(words * 32 >= keyTiles * k, "a tile's keys past the end are bits too");
  for (let a = 0; a < queryTiles; a++) {
    for (let b = 0; b < keyTiles; b++) {
      let inside = 0, all = 0;
      for (let i = a * q; i < Math.min(n, (a + 1) * q); i++) {
        for (let j = b * k; j < Math.min(m, (b + 1) * k); j++, all++) inside += attends(set, i, j) ? 1 : 0;
      }
      if (inside > 0) want.push(`${a}:${b * 2 + (inside < all ? 1 : 0)}`);
    }
    for (let e = forward.starts[a]; e < forward.starts[a + 1]; e++) listed.push(`${a}:${forward.list[e]}`);
  }
  for (let b = 0; b < keyTiles; b++) {
    for (let e = backward.starts[b]; e < backward.starts[b + 1]; e++) {
      const entry = backward.list[e];
      transposed.push(`${entry >> 1}:${b * 2 + (entry & 1)}`);
    }
  }
  assertEquals(listed, want);
  assertEquals(transposed.sort(), want.sort());
}

for (const { name, config, layer } of [...PATTERNS, { name: "caller's blocks", config: callersBlocks(61), layer: 0 }]) {
  Deno.test(`layout: ${name}`, async () => {
    for (const n of config.pattern === "blocks" ? [61] : [1, 2, 15, 16, 17, 61]) {
      for (const set of resolveSets(config, { n, layer: layer ?? 0, heads: 2 })) {
        for (const [q, k] of [[16, 16], [8, 5]]) await check(set, n, q, k);
        for (const [q, k] of [[16, 16], [8, 5], [5, 64]]) await checkInOrder(set, n, q, k);
      }
    }
  });
}

Deno.test("layout: intervals, in any order and overlapping, of one query none; lists that are none of n positions are refused", async () => {
  const intervals = Array.from({ length: 61 }, (_, i): [number, number][] => [[i, i + 1], [40, 44], [3, 9], [7, 12], [20, 20]]);
  intervals[5] = [];
  for (const causal of [true, false]) {
    const set = { kind: "intervals", intervals, causal } as const;
    for (const [q, k] of [[16, 16], [8, 5]]) await check(set, 61, q, k);
    for (const [q, k] of [[16, 16], [5, 64]]) await checkInOrder(set, 61, q, k);
    await assertRejects(() => buildLayout(set, 62, { q: 8, k: 8 }), ConfigError, "62 positions need 62 lists of intervals, found 61");
    await check(set, 50, 16, 16);
  }
  const bad = { kind: "blocks", block: 8, blocks: [[0], [-2]], causal: true } as const;
  await assertRejects(() => buildLayout(bad, 16, { q: 8, k: 8 }), ConfigError, "blocks[1][0] must be a whole number from 0");
  await assertRejects(() => buildLayout(bad, 24, { q: 8, k: 8 }), ConfigError, "blocks[1][0]");
  await check({ kind: "blocks", block: 8, blocks: [[0], [2, 1], [0]], causal: false }, 13, 8, 8);
});

Deno.test("layout: keys of another sequence, fewer and more; what asks for places in one sequence refuses them", async () => {
  for (const [n, keys] of [[16, 61], [61, 16], [1, 40], [40, 1], [17, 17]]) {
    const intervals = Array.from(
      { length: n },
      (_, i): [number, number][] =>
        i === 5 ? [] : [[Math.floor(i * keys / n), Math.floor((i + 1) * keys / n) + 1], [0, 2], [keys, keys + 9]],
    );
    const set = { kind: "intervals", intervals, causal: false, keys } as const;
    for (const [q, k] of [[16, 16], [8, 5]]) await check(set, n, q, k);
    for (const [q, k] of [[16, 16], [5, 64]]) await checkInOrder(set, n, q, k);
    await assertRejects(() => checkReach([[set]], n, 1), ConfigError, "Cannot check the reach: keys of another sequence");
    await assertRejects(() => patternMap("a title", [set], n, 8), ConfigError, "keys of another sequence have no places");
    await assertRejects(() => buildLayout({ ...set, causal: true }, n, { q: 8, k: 8 }), ConfigError, "causal must be false");
    await assertRejects(() => buildLayout({ ...set, keys: 0 }, n, { q: 8, k: 8 }), ConfigError, "keys must be a whole number from 1");
  }
});

Deno.test("layout: pair counts of the specification", async () => {
  const table: [number, number, number, number, number, number][] = [
    [3072, 96, 8, 50688, 337968, 529920],
    [12288, 128, 32, 595968, 2148416, 19470336],
    [65536, 256, 32, 8421376, 25100416, 275808256],
    [1048576, 1024, 32, 537395200, 1609564672, 17700487168],
  ];
  const count = async (config: AttentionConfig, n: number) =>
    (await buildLayout(resolveSets(config, { n, layer: 1, heads: 1 })[0], n, { q: 64, k: 64 })).pairs;
  for (const [n, stride, c, column, strided, fixed] of table) {
    assertEquals(await count({ pattern: "strided", stride, integration: "interleaved" }, n), column);
    assertEquals(await count({ pattern: "strided", stride }, n), strided);
    assertEquals(await count({ pattern: "fixed", stride, c }, n), fixed);
  }
  for (const [n, dense] of [[3072, 4720128], [12288, 75503616], [65536, 2147516416]]) {
    assertEquals(await count({ pattern: "dense" }, n), dense);
  }
});

Deno.test("layout: three factors of a million positions have n·n^(1/3) pairs each, merged what their parts add up to", async () => {
  const n = 1 << 20, stride = [102, 10321], [l, m] = stride, most = n * n ** (1 / 3) * 1.02;
  const count = async (config: AttentionConfig, layer = 0) =>
    (await buildLayout(resolveSets(config, { n, layer, heads: 1 })[0], n, { q: 64, k: 64 })).pairs;
  const want = { window: 0, near: 0, far: 0, strided: 0, own: 0, columns: 0, ends: 0 };
  for (let i = 0; i < n; i++) {
    const reach = Math.min(i, m), inside = i % m;
    want.window += Math.min(i, l) + 1;
    want.near += Math.floor(reach / l) + 1;
    want.far += Math.floor(i / m) + 1;
    // Of the multiples of l the first is in the window; no multiple of m is one of l.
    want.strided += Math.min(i, l) + 1 + Math.max(0, Math.floor(reach / l) - 1) + Math.floor(i / m);
    want.own += inside % l + 1;
    want.columns += Math.floor(inside / l) + 1;
    want.ends += Math.floor(i / m) + 1;
  }
  for (const [layer, pairs] of [want.window, want.near, want.far].entries()) {
    assertEquals(await count({ pattern: "strided", stride, integration: "interleaved" }, layer), pairs);
    assert(pairs < most);
  }
  assertEquals(await count({ pattern: "strided", stride }), want.strided);
  for (const [layer, pairs] of [want.own, want.columns, want.ends].entries()) {
    assertEquals(await count({ pattern: "fixed", stride, c: 1, integration: "interleaved" }, layer), pairs);
    assert(pairs < most);
  }
  // Where a factor of columns stands alone, a row sees itself too.
  assertEquals(await count({ pattern: "fixed", stride, c: 1 }), want.own + want.columns + want.ends - 2 * n);
});

Deno.test("layout: heads of fixed read their own sub-block", () => {
  const sets = resolveSets({ pattern: "fixed", stride: 16, c: 4 }, { n: 64, layer: 0, heads: 6 });
  assertEquals(sets.map((s) => s.kind === "fixed" ? [s.from, s.to] : []), [[12, 16], [8, 12], [4, 8], [0, 4], [12, 16], [8, 12]]);
});

Deno.test("pattern: bad configurations say what is allowed", () => {
  const bad = (config: unknown, includes: string, n = 64) =>
    assertThrows(() => resolveSets(config as AttentionConfig, { n, layer: 0, heads: 2 }), ConfigError, includes);
  bad({ pattern: "sparse" }, "must be one of dense, local");
  bad({ pattern: "strided" }, "stride must be a whole number from 1");
  bad({ pattern: "strided", stride: 0 }, "stride");
  bad({ pattern: "strided", stride: 1.5 }, "found 1.5");
  bad({ pattern: "fixed", stride: 8, c: 9 }, "c must be a whole number from 1 to 8");
  bad({ pattern: "fixed", stride: 8, c: 2, integration: "both" }, "interleaved, merged, multihead");
  bad({ pattern: "strided", stride: 8, causal: 1 }, "causal must be true or false");
  bad({ pattern: "blocks", block: 8, blocks: [[0]] }, "need 8 lists");
  bad({ pattern: "blocks", block: 32, blocks: [[0], [2]] }, "whole numbers from 0 to 1");
  bad({ pattern: "blocks", block: 32, blocks: [[0], [0]] }, "must name itself");
});

Deno.test("layout: more tiles than WASM memory holds is a typed error", async () => {
  const [dense] = resolveSets({ pattern: "dense" }, { n: 400000, layer: 0, heads: 1 });
  await assertRejects(() => buildLayout(dense, 400000, { q: 4, k: 4 }), OutOfMemoryError, "larger tiles");
});
