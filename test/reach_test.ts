/**
 * The validity check against brute force over the definition of each pattern.
 *
 * Plan. Every pattern of patterns.ts at small sizes; the ends of words of bits; then the gaps that are known, and what is said of them.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ConfigError } from "../src/base/errors.ts";
import { checkReach, type Schedule, scheduleOf } from "../src/pattern/reach.ts";
import { attends } from "../src/pattern/attends.ts";
import { factorsOf } from "../src/pattern/patterns_in.ts";
import type { ModelAttention } from "../src/pattern/sets.ts";
import { callersBlocks, PATTERNS } from "./patterns.ts";

/** held[i][j]: whether something of j is at i after layers `from` … `from + steps − 1`; straight from the definition. */
function bruteForce(schedule: Schedule, n: number, from: number, steps: number): boolean[][] {
  let held = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => i === j));
  for (let layer = from; layer < from + steps; layer++) {
    const before = held;
    held = before.map((own, i) =>
      own.map((has, j) => has || before.some((other, a) => other[j] && schedule[layer].some((set) => attends(set, i, a))))
    );
  }
  return held;
}

const cases: { name: string; config: ModelAttention }[] = [
  ...PATTERNS.filter(({ layer }) => layer === undefined),
  { name: "caller's blocks", config: callersBlocks(37) },
  { name: "fixed 6/2 interleaved", config: { pattern: "fixed", stride: 6, c: 2, integration: "interleaved" } },
  { name: "fixed 6/2 multihead", config: { pattern: "fixed", stride: 6, c: 2, integration: "multihead" } },
  { name: "strided 5 multihead", config: { pattern: "strided", stride: 5, integration: "multihead" } },
  { name: "strided 3, 14 interleaved", config: { pattern: "strided", stride: [3, 14], integration: "interleaved" } },
  { name: "fixed 3, 14/1 interleaved", config: { pattern: "fixed", stride: [3, 14], c: 1, integration: "interleaved" } },
  { name: "heads", config: { heads: [{ pattern: "fixed", stride: 6, c: 2 }] } },
  {
    name: "layers",
    config: { layers: [{ pattern: "local", stride: 6 }, { pattern: "local", stride: 6 }, { pattern: "column", stride: 6 }] },
  },
];

for (const { name, config } of cases) {
  for (const [layers, heads] of [[1, 1], [2, 2], [5, 2], [3, 3]]) {
    if ("blocks" in config && heads !== 2) continue;
    Deno.test(`reach: ${name}, ${layers} layers of ${heads} heads, against brute force`, async () => {
      const n = 37, schedule = scheduleOf(config, { n, layers, heads }), reach = await checkReach(schedule, n, factorsOf(config));
      const causal = schedule[0][0].causal, end = (i: number) => causal ? i + 1 : n;
      assertEquals(reach.steps, Math.min(layers, factorsOf(config) + 1));
      const starts = reach.starts.flatMap(({ layers }) => [...layers]).sort((a, b) => a - b);
      // Within a round of the factors of fixed a run goes on to the end of the next, and says nothing where layers end before.
      const short = name === "fixed 3, 14/1 interleaved" && layers > 4 ? [1] : [];
      assertEquals(starts, Array.from({ length: layers - reach.steps + 1 }, (_, at) => at).filter((at) => !short.includes(at)));
      for (const { layers, steps, missing, examples, reason } of reach.starts) {
        for (const layer of layers) {
          const held = bruteForce(schedule, n, layer, steps), gaps: [number, number][] = [];
          held.forEach((row, i) => row.slice(0, end(i)).forEach((has, j) => has || gaps.push([i, j])));
          assertEquals(missing, gaps.length);
          assertEquals(examples, gaps.slice(0, 5));
          assertEquals(reason === undefined, gaps.length === 0);
        }
      }
      assertEquals(reach.valid, reach.starts.every(({ missing }) => missing === 0));
      const complete = (steps: number) => bruteForce(schedule, n, 0, steps).every((row, i) => row.slice(0, end(i)).every(Boolean));
      const needed = Array.from({ length: layers + 1 }, (_, steps) => steps).find(complete);
      assertEquals(reach.layersNeeded, needed);
    });
  }
}

for (const n of [1, 2, 31, 32, 33, 64, 65]) {
  Deno.test(`reach: n ${n}, at the ends of words of bits`, async () => {
    for (const integration of ["interleaved", "multihead"] as const) {
      const schedule = scheduleOf({ pattern: "fixed", stride: 8, c: 2, integration }, { n, layers: 3, heads: 2 });
      const { starts, layersNeeded } = await checkReach(schedule, n, 2), held = bruteForce(schedule, n, 0, 3);
      assertEquals(starts[0].missing, held.reduce((sum, row, i) => sum + row.slice(0, i + 1).filter((has) => !has).length, 0));
      const complete = (steps: number) => bruteForce(schedule, n, 0, steps).every((row, i) => row.slice(0, i + 1).every(Boolean));
      assertEquals(layersNeeded, [0, 1, 2, 3].find(complete));
    }
  });
}

Deno.test("reach: both factors of strided and fixed are valid, interleaved and merged", async () => {
  for (const pattern of ["strided", "fixed"] as const) {
    for (const integration of ["interleaved", "merged"] as const) {
      const config = { pattern, stride: 16, c: 4, integration }, shape = { n: 128, layers: 4, heads: 4 };
      assert((await checkReach(scheduleOf(config, shape), 128, 2)).valid, `${pattern} ${integration}`);
    }
  }
});

Deno.test("reach: fixed multihead has a gap where no A2 head reads sub-block 0", async () => {
  const config = { pattern: "fixed", stride: 16, c: 4, integration: "multihead" } as const, shape = { n: 64, layers: 4, heads: 4 };
  // Sub-blocks go round among the heads that read one, so the first always has a reader.
  assertEquals((await checkReach(scheduleOf(config, shape), 64, 2)).valid, true);
  const schedule = scheduleOf(config, shape).map((sets) => sets.filter((_, head) => head !== 1));
  const reach = await checkReach(schedule, 64, 2);
  assertEquals(reach.valid, false);
  assertEquals(reach.layersNeeded, undefined);
  // The last 4 columns of the first 3 windows, from the 48, 32 and 16 positions of later windows.
  assertEquals(reach.starts[0].missing, 4 * (48 + 32 + 16));
  assertEquals(reach.starts[0].examples[0], [16, 12]);
  assertMatch(reach.starts[0].reason!, /sub-block 0: columns 12 to 15 of each window of 16/);
});

Deno.test("reach: both ways a window that is cut short before its columns is the reason, where it is one", async () => {
  const reasons = async (stride: number | number[], n: number, c = 1) => {
    const config = { pattern: "fixed", stride, c, causal: false } as const;
    const { starts } = await checkReach(scheduleOf(config, { n, layers: 4, heads: 1 }), n, factorsOf(config));
    return starts[0].reason;
  };
  assertMatch((await reasons(8, 20))!, /a window of 8 is cut short .* divide each other and 20/);
  assertMatch((await reasons([4, 6], 6))!, /a window of 4 is cut short/);
  assertMatch((await reasons([4, 8], 28))!, /a window of 8 is cut short/);
  assertEquals([await reasons(8, 24), await reasons(8, 20, 5), await reasons([4, 8], 32)], [undefined, undefined, undefined]);
});

Deno.test("reach: a window alone is not valid, and says how far it carries", async () => {
  const reach = await checkReach(scheduleOf({ pattern: "local", stride: 5 }, { n: 40, layers: 6, heads: 1 }), 40, 1);
  assertEquals(reach.valid, false);
  assertEquals(reach.starts[0].examples[0], [11, 0]);
  assertMatch(reach.starts[0].reason!, /at most 10 positions in 2 layers/);
  assertEquals((await checkReach(scheduleOf({ pattern: "local", stride: 5 }, { n: 31, layers: 6, heads: 1 }), 31, 1)).layersNeeded, 6);
});

Deno.test("reach: a pattern per layer is checked from every layer that differs", async () => {
  const local = { pattern: "local", stride: 4 } as const, dense = { pattern: "dense" } as const;
  const attention = [local, dense, local, local], schedule = scheduleOf(attention, { n: 50, layers: 4, heads: 2 });
  const reach = await checkReach(schedule, 50, factorsOf(attention));
  assertEquals(reach.starts.map(({ layers, missing }) => [layers[0], missing > 0]), [[0, false], [1, false], [2, true]]);
});

Deno.test("reach: beyond the limit the first positions are checked, and it says so", async () => {
  const config = { pattern: "longformer", stride: 1024 } as const;
  const reach = await checkReach(scheduleOf(config, { n: 1 << 20, layers: 4, heads: 2 }), 1 << 20, 2, 1500);
  assertEquals([reach.n, reach.checked, reach.valid], [1 << 20, 1500, true]);
});

Deno.test("reach: distances and factors show of all positions what bits show of the first", async () => {
  for (
    const attention of [
      { pattern: "strided", stride: [3, 14], integration: "interleaved" },
      { pattern: "strided", stride: [2, 5, 17] },
      { pattern: "fixed", stride: [3, 14], c: 2 },
      { pattern: "fixed", stride: [4, 14], c: 2, integration: "multihead" },
      { pattern: "fixed", stride: 9, c: 3, integration: "interleaved" },
      { heads: [{ pattern: "segment", stride: 7 }, { pattern: "summary", stride: 7, c: 2 }] },
    ] as ModelAttention[]
  ) {
    const shape = { n: 90, layers: 5, heads: 4 }, schedule = scheduleOf(attention, shape), p = factorsOf(attention);
    const [few, all] = [await checkReach(schedule, 90, p, 20), await checkReach(schedule, 90, p)];
    assertEquals([few.checked, few.valid, few.layersNeeded], [90, true, all.layersNeeded], JSON.stringify(attention));
    assertEquals(few.starts, all.starts);
    for (let step = 0; step < 5; step++) {
      const needed = bruteForce(schedule, 90, 0, step).every((row, i) => row.slice(0, i + 1).every(Boolean));
      assertEquals(needed, step >= all.layersNeeded!, `${JSON.stringify(attention)} after ${step}`);
    }
  }
});

Deno.test("reach: what only later positions miss is not said to be shown", async () => {
  // Windows carry 12 positions; columns that end before their window's last reach nobody.
  const local = await checkReach(scheduleOf({ pattern: "local", stride: 6 }, { n: 90, layers: 5, heads: 1 }), 90, 1, 10);
  assertEquals([local.valid, local.checked, local.starts[0].missing], [false, 90, 77 * 78 / 2]);
  const late = { kind: "summary", l: 20, from: 15, to: 19, causal: true } as const, own = { kind: "segment", l: 20, causal: true } as const;
  const fixed = await checkReach([[own], [late], [own], [late]], 90, 2, 18);
  assertEquals([fixed.valid, fixed.checked], [true, 18]);
  // The second factor is missing in the layers that the others follow in.
  const three = scheduleOf({ pattern: "fixed", stride: [3, 30], c: 1, integration: "interleaved" }, { n: 90, layers: 3, heads: 1 });
  assertEquals((await checkReach([three[0], three[2], three[0], three[2]], 90, 3, 3)).checked, 3);
});

Deno.test("reach: three factors of a million positions, and rounds that have begun", async () => {
  const stride = [102, 10321];
  for (const pattern of ["strided", "fixed"] as const) {
    for (const [integration, n] of [["interleaved", 1 << 20], ["merged", 1 << 17]] as const) {
      const config = { pattern, stride, c: 1, integration },
        reach = await checkReach(scheduleOf(config, { n, layers: 6, heads: 1 }), n, 3, 512);
      assertEquals([reach.valid, reach.checked, reach.steps, reach.layersNeeded], [true, n, 4, 3], `${pattern} ${integration}`);
      assertEquals(
        reach.starts.map(({ layers, steps }) => [layers.join(), steps]),
        integration === "merged" ? [["0,1,2", 4]] : [["0", 4], ["1", pattern === "fixed" ? 5 : 4], ["2", 4]],
      );
    }
  }
});

Deno.test("reach: no layer, and lists of another length, are errors", async () => {
  await assertRejects(() => checkReach([], 8, 1), ConfigError, "no layer");
  assertThrows(() => scheduleOf([{ pattern: "dense" }], { n: 8, layers: 2, heads: 1 }), ConfigError, "lists 1 layers, there are 2");
});
