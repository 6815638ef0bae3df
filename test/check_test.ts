/**
 * What values may be: the test, the words and the sentence of one description.
 *
 * Plan. Each kind of description with values on both sides of its bounds; the words that messages have; places within lists and objects;
 * values that are hostile to show.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Allowed, expect, inWords, mustBe, shown, whole, wrongOf } from "../src/base/check.ts";
import { ConfigError } from "../src/base/errors.ts";

Deno.test("check: a description is a test and the words for it", () => {
  const cases: [Allowed, string, unknown[], unknown[]][] = [
    [whole(1, 8), "a whole number from 1 to 8", [1, 8], [0, 9, 1.5, NaN, "1", null, undefined, 1n]],
    [[1, 8], "a whole number from 1 to 8", [1, 8], [0, 9]],
    [whole(0), "a whole number from 0", [0, 2 ** 53 - 1], [-1, 2 ** 53, Infinity]],
    [whole(4, 4), "4", [4], [3, 5]],
    [{ from: 0, below: 1 }, "a number from 0 and below 1", [0, 0.999], [-1e-9, 1]],
    [{ above: 0, to: 1 }, "a number above 0 and up to 1", [1e-9, 1], [0, 1.001, NaN]],
    [{ above: 0, below: 1 }, "a number above 0 and below 1", [0.5], [0, 1]],
    [{ to: 3 }, "a number up to 3", [-9, 3], [4, -Infinity]],
    [{ from: 0, orNull: true }, "a number from 0, or null", [0, null], [-1, undefined]],
    [{ oneOf: ["a", "b"] }, "one of a, b", ["a"], ["c", 0, null]],
    [{ form: /^[0-9a-f]{2}$/, words: "2 hexadecimal digits" }, "2 hexadecimal digits", ["0f"], ["0F", 15]],
    [{ each: whole(1), count: 2 }, "a list of 2", [[1, 2]], [[1], [0, 1], {}, "ab"]],
    [{ each: whole(1), count: 2, words: "width and height" }, "width and height", [[1, 2]], [[1]]],
    [{ fields: { a: "a string" }, optional: { b: whole(1) } }, "an object", [{ a: "x" }, { a: "", b: 1 }, { a: "", b: undefined }], [
      {},
      { a: 1 },
      { a: "", b: 0 },
      { a: "", c: 1 },
      [],
      null,
    ]],
    ["true or false", "true or false", [true, false], [0, "true", null]],
  ];
  for (const [allowed, words, right, wrong] of cases) {
    assertEquals(inWords(allowed), words);
    for (const value of right) assertEquals(wrongOf("it", value, allowed), undefined, `${shown(value)} is ${words}`);
    for (const value of wrong) assert(wrongOf("it", value, allowed), `${shown(value)} is not ${words}`);
  }
  for (const none of ["a thing", 7, null, undefined]) {
    assertThrows(() => wrongOf("it", 1, none as Allowed), ConfigError, "Cannot check a value");
  }
});

Deno.test("check: a sentence says where, what is allowed and what was found", () => {
  const runs: Allowed = { fields: { runs: { each: { fields: { step: whole(0, 5) } } } } };
  assertEquals(wrongOf("it", { runs: [{ step: 1 }, { step: 9 }] }, runs), "runs[1].step must be a whole number from 0 to 5, found 9");
  assertEquals(wrongOf("the file", { runs: 3 }, runs), "the file.runs must be a list, found 3");
  assertEquals(wrongOf("it", {}, runs), "it lacks runs, a list");
  assertEquals(wrongOf("it", { runs: [], more: 1 }, runs), 'it has an unknown field "more", known are runs');
  // Names that every object inherits are no fields.
  assertStringIncludes(wrongOf("it", JSON.parse('{"runs": [], "__proto__": 1}'), runs)!, 'unknown field "__proto__"');
  assertStringIncludes(wrongOf("it", { runs: [], constructor: 1 }, runs)!, 'unknown field "constructor"');
  assertEquals(mustBe("--lr", { from: 0 }, "many"), '--lr must be a number from 0, found "many"');
  const error = assertThrows(() => expect("Cannot train", { batch: [0, whole(1, 65536)] }), ConfigError);
  assertEquals(error.message, "Cannot train: batch must be a whole number from 1 to 65536, found 0");
});

Deno.test("check: any value is shown short and escaped, and nothing large is walked", () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const cases: [unknown, string][] = [
    [undefined, "nothing"],
    ["\x1b[31m", String.raw`"\u001b[31m"`],
    [[1, "a", null], '[1, "a", null]'],
    [{ a: { b: [] } }, '{"a": {"b": []}}'],
    [new Map(), "a Map"],
    [new Uint8Array(1e6), "a Uint8Array"],
    [() => 1, "a function"],
    [10n, "10"],
  ];
  for (const [value, text] of cases) assertEquals(shown(value), text);
  for (const large of [circle, new Array(1e6).fill(0), "x".repeat(1e6), { "x\n": "y".repeat(99) }]) {
    assert(shown(large).length < 140, shown(large).slice(0, 200));
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f]/.test(shown(large)));
  }
});
