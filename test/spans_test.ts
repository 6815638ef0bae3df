/**
 * What attention may have beside its sets: builders of spans and slopes, and what operations refuse.
 *
 * Plan. Builders against what their definitions say, position by position; ALiBi's slopes against the paper's and its authors' numbers.
 * Fields that do not fit are refused by name. What they compute is the conformance suite's to show.
 */

import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ConfigError, ShapeError } from "../src/base/errors.ts";
import { type Attention, Program, tensor } from "../src/ops/mod.ts";
import { alibiSlopes } from "../src/pattern/alibi.ts";
import type { AttentionSet } from "../src/pattern/sets.ts";
import { documentSpans, lengthSpans } from "../src/pattern/spans.ts";

Deno.test("spans: a position sees its own document, one after the last sees nothing", () => {
  const spans = documentSpans([[2, 0, 3], [6], []], 6);
  assertEquals([...spans.subarray(0, 12)], [0, 2, 0, 2, 2, 5, 2, 5, 2, 5, 0, 0]);
  assertEquals([...spans.subarray(12, 24)], [0, 6, 0, 6, 0, 6, 0, 6, 0, 6, 0, 6]);
  assertEquals([...spans.subarray(24)], new Array(12).fill(0));
  assertThrows(() => documentSpans([[3], [4, 3]], 6), ConfigError, "those of sequence 1 have 7 positions or more, it has 6");
  assertThrows(() => documentSpans([[1.5]], 6), ConfigError, "lengths[0][0] must be a whole number");
  assertThrows(() => documentSpans([1] as unknown as number[][], 6), ConfigError, "lengths[0] must be a list, found 1");
});

Deno.test("spans: of padded sequences", () => {
  assertEquals([...lengthSpans([3, 1], 3)], [0, 3, 0, 3, 0, 3, 0, 1, 0, 0, 0, 0]);
  assertThrows(() => lengthSpans([4], 3), ConfigError, "lengths[0] must be a whole number from 0 to 3, found 4");
});

Deno.test("alibi: the paper's slopes, and its authors' for numbers that are no power of two", () => {
  assertEquals(alibiSlopes(8), [1, 2, 3, 4, 5, 6, 7, 8].map((power) => 2 ** -power));
  assertEquals(alibiSlopes(1), [2 ** -8]);
  assertEquals(alibiSlopes(2), [2 ** -4, 2 ** -8]);
  // get_slopes(12) and get_slopes(6) of github.com/ofirpress/attention_with_linear_biases.
  [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256, 0.70710678, 0.35355339, 0.1767767, 0.08838835]
    .forEach((slope, head) => assertAlmostEquals(alibiSlopes(12)[head], slope, 1e-8));
  assertEquals(alibiSlopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]);
  assertThrows(() => alibiSlopes(0), ConfigError, "heads must be a whole number from 1 to 4096, found 0");
});

Deno.test("attention refuses kvHeads, slopes and spans that do not fit", () => {
  const set: AttentionSet = { kind: "dense", causal: true }, batch = 2, n = 3, heads = 4;
  const matrix = (name: string, width: number) => tensor(name, [batch * n, width]);
  const attention = (more: Partial<Attention>, kv = heads): Attention => ({
    op: "attention",
    q: matrix("q", heads * 2),
    k: matrix("k", kv * 2),
    v: matrix("v", kv * 5),
    o: matrix("o", heads * 5),
    lse: tensor("lse", [batch, heads, n]),
    sets: new Array(heads).fill(set),
    batch,
    n,
    ...more,
  });
  const add = (...given: Parameters<typeof attention>) => new Program("p").add(attention(...given));
  const backward = (more: object) => {
    const { o, lse, q, k, v, ...rest } = attention({ kvHeads: 2 }, 2), gradients = { dO: o, delta: lse, dq: q, dk: k, dv: v };
    new Program("p").add({ ...rest, q, k, v, o, lse, ...gradients, ...more, op: "attention_backward" });
  };
  const spans = (...shape: number[]) => tensor("spans", shape, "u32");
  add({});
  add({ kvHeads: 2, slopes: [0, 1, 2, 0.5], spans: spans(batch, n, 2) }, 2);
  backward({});
  assertThrows(() => add({ kvHeads: 3 }, 3), ShapeError, "needs kvHeads that divide its 4 heads, found 3");
  assertThrows(() => add({ kvHeads: 8 }, 8), ConfigError, "Cannot add attention: kvHeads must be a whole number from 1 to 4, found 8");
  assertThrows(() => add({ kvHeads: 2 }), ShapeError, "needs a matrix of [6, 4], got k f32 [6, 8]");
  assertThrows(() => add({}, 2), ShapeError, "needs widths divisible by 4 heads of q and 4 of v, got q f32 [6, 8]; v f32 [6, 10]");
  assertThrows(() => backward({ dk: matrix("dk", 8) }), ShapeError, "needs a matrix of [6, 4], got dk f32 [6, 8]");
  assertThrows(() => backward({ dv: matrix("dv", 20) }), ShapeError, "needs a matrix of [6, 10], got dv f32 [6, 20]");
  assertThrows(() => add({ slopes: [1, 2] }), ConfigError, "slopes must be a list of 4, one per head, found [1, 2]");
  for (const wrong of [-1, NaN, Infinity, true]) {
    assertThrows(
      () => add({ slopes: [0, 0, 0, wrong as number] }),
      ConfigError,
      `Cannot add attention: slopes[3] must be a number from 0, found ${wrong}`,
    );
  }
  for (const wrong of [spans(batch, n), spans(batch * n, 2), spans(batch, 2, n), tensor("spans", [batch, n, 2])]) {
    assertThrows(() => add({ spans: wrong }), ShapeError, "needs spans of u32 [2, 3, 2], got spans ");
  }
});
