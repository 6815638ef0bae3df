/**
 * A slice of tools/fuzz.ts; whoever changes a reader runs a million there.
 *
 * Plan. 8,000 cases: a value or a typed error of each kind, both of them; a case is the same by its number alone.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fuzz } from "../tools/fuzz.ts";

const TOOL = new URL("../tools/fuzz.ts", import.meta.url).href;

Deno.test("fuzz: 8,000 mutated files of twelve kinds give a value or a typed error, soon, in bounded memory", async () => {
  const { wrong, values, errors } = await fuzz(8000, 1);
  assertEquals(wrong, []);
  // Both, of each: otherwise the cases would show little.
  for (const counts of [values, errors]) assertEquals(Object.keys(counts).length, 12);
  for (const [name, count] of Object.entries(values)) assert(count >= 10, `only ${count} of ${name} gave a value`);
});

Deno.test("fuzz: a case is the same by its number alone; the tool says what it did", async () => {
  const whole = await fuzz(40, 5), last = await fuzz(8, 5, { from: 32 }), first = await fuzz(32, 5);
  const sum = (a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.keys({ ...a, ...b }).map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]));
  assertEquals(sum(first.values, last.values), whole.values);
  assertEquals(sum(first.errors, last.errors), whole.errors);
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", TOOL, ...args],
      cwd: new URL("..", import.meta.url),
    }).output();
    return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
  };
  const { code, out, err } = await run("--count", "40", "--seed", "5");
  assertEquals([code, err], [0, ""]);
  assertStringIncludes(out, "40 cases in ");
  assertStringIncludes(out, "; 0 went wrong");
  assertEquals((await run("--count", "x")).code, 2);
});
