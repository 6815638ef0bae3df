/**
 * Operations as they describe themselves, and streams of runs on every engine.
 *
 * Plan. Of every case's operations each tensor that one names is among its operands; operands that do not exist are type errors. A program
 * that counts its runs is streamed: results are what so many runs leave, however many an engine begins ahead; a reader that stops knows
 * how many have begun.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { KernelError, ShapeError } from "../src/base/errors.ts";
import { activations, type Adam, type Descriptor, DESCRIPTORS, type Linear, operands, Program, tensor } from "../src/ops/mod.ts";
import { pick } from "./cases.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

/** Every tensor somewhere in a value, by identity. */
function tensorsIn(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return [];
  if ("dtype" in value && "scratch" in value) return [value];
  return Object.values(value).flatMap(tensorsIn);
}

Deno.test("ops: every tensor of an operation is among the operands that its descriptor names", () => {
  const seen = new Set<string>();
  for (const { name, problem: { ops } } of pick({ dtype: "f32" })) {
    for (const op of ops) {
      const { reads, writes } = operands(op), named = new Set<unknown>([...reads, ...writes]);
      seen.add(op.op);
      for (const t of tensorsIn(op)) assert(named.has(t), `${name}: ${op.op} has ${(t as { name: string }).name}`);
      for (const t of activations(op)) assert(named.has(t), `${name}: ${op.op} stores ${t.name} in f16`);
    }
  }
  assertEquals([...seen].sort(), Object.keys(DESCRIPTORS).sort());
});

Deno.test("ops: an operand that an operation has not is a type error", () => {
  const reads: Descriptor<Linear>["reads"] = ["x", "dropout.seeds", "norm.gain"], lists: Descriptor<Adam>["reads"] = ["params"];
  // @ts-expect-error: no such field
  const unknown: Descriptor<Linear>["reads"] = ["xs"];
  // @ts-expect-error: no such option
  const option: Descriptor<Linear>["reads"] = ["dropout.seed"];
  // @ts-expect-error: no tensor
  const scalar: Descriptor<Adam>["reads"] = ["beta1"];
  // @ts-expect-error: a tensor one step down has no row a row
  const rows: Descriptor<Linear>["rows"] = ["norm.gain"];
  assert([reads, lists, unknown, option, scalar, rows].every((names) => names?.length));
});

for (const name of ENGINES) {
  engineTest(name, `ops: ${name}: a stream hands over what its runs leave, in order`, async () => {
    const on = await engine(name), one = tensor("one", [1]), count = tensor("count", [1]), program = new Program("counting");
    program.add({ op: "sum", x: one, y: count, scale: 1, accumulate: true });
    on.allocate([one, count]);
    on.write(one, Float32Array.of(1));
    const executable = await on.compile(program), reads = () => [{ tensor: count }, { tensor: one, range: [0, 1] as const }];
    for (const [times, skip] of [[1, 0], [40, 0], [40, 39], [100, 7]]) {
      on.write(count, Float32Array.of(0));
      let next = skip;
      for await (const { from, to, begun, data: [counted, still] } of executable.stream({ times, skip, reads })) {
        assertEquals([from, counted[0], still[0]], [next, to, 1]);
        assert(from < to && to <= begun && begun <= times, `${from} ${to} ${begun} ${times}`);
        next = to;
      }
      assertEquals([next, (await on.read(count))[0]], [times, times]);
    }
    // A reader that stops.
    on.write(count, Float32Array.of(0));
    let last = 0;
    for await (const { begun } of executable.stream({ times: 50, reads })) {
      last = begun;
      break;
    }
    assertEquals((await on.read(count))[0], last);
    await assertRejects(
      async () => {
        for await (const _ of executable.stream({ times: 3, reads: () => [{ tensor: count, range: [0, 2] }] }));
      },
      ShapeError,
      "its outermost dimension has 1",
    );
    executable.dispose();
    if (name === "wasm") {
      await assertRejects(
        async () => {
          for await (const _ of executable.stream({ times: 1, reads }));
        },
        KernelError,
        "it was disposed of",
      );
    }
    on.free([one, count]);
  });
}

Deno.test.afterAll(disposeEngines);
