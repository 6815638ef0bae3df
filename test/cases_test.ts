/**
 * The conformance suite's cases are data.
 *
 * Plan. Names are unique, since they seed the numbers; the index has every file; queries pick by fields, and refuse what no case has.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { generateCases } from "../tools/gen_cases.ts";
import { only, parseQueries, pick } from "./cases.ts";

Deno.test("cases: every name is one case's", () => {
  const names = pick({ dtype: "f32" }).map(({ name }) => name);
  assertEquals(names.filter((name, i) => names.indexOf(name) !== i), []);
});

Deno.test("cases: the index has the file of every operation", async () => {
  for (const [path, text] of generateCases()) assertEquals(await Deno.readTextFile(path), text, `${path}: run deno task gen`);
});

Deno.test("cases: a query names fields, one value or several, and each case comes once", () => {
  const dense = pick({ op: "attention", pattern: "dense", n: [31, 32], dtype: "f32" });
  assertEquals(dense.map(({ name }) => name), ["attention dense, n 31, 1×1 heads, d 16/16", "attention dense, n 32, 1×1 heads, d 16/16"]);
  const both = pick({ op: "attention", pattern: "dense", n: 31 });
  assertEquals(both.map(({ fields }) => fields.dtype), ["f32", "f16"]);
  assertEquals(pick({ op: "attention", n: 31 }, { op: "attention", n: 31, pattern: "dense" }), pick({ op: "attention", n: 31 }));
  assert(pick({ op: "linear", tags: "norm" }).every(({ problem }) => problem.ops.some((op) => op.op === "linear" && op.norm)));
});

Deno.test("cases: what no case has is refused, and so is one of several", () => {
  assertThrows(() => pick({ op: "attention", pattern: "dens" }), Error, 'No case has {"op":"attention","pattern":"dens"}');
  assertThrows(() => pick({ op: "adam" }, { op: "adam", dtype: "f16" }), Error, 'No case has {"op":"adam","dtype":"f16"}');
  assertThrows(() => only({ op: "adam" }), Error, "3 cases have");
});

Deno.test("cases: queries as text", () => {
  const text = "op=attention n=31,32  causal=true dtype=f32; op=linear tags=norm;";
  assertEquals(parseQueries(text), [
    { op: ["attention"], n: [31, 32], causal: [true], dtype: ["f32"] },
    { op: ["linear"], tags: ["norm"] },
  ]);
  assertEquals(parseQueries(" "), []);
  assertThrows(() => parseQueries("op=linear norm"), Error, 'Cannot read "norm"');
});
