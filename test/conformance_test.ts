/**
 * Conformance: every operation on every engine against the float64 oracle, on the same inputs.
 *
 * Plan. Cases are data (cases.ts); how one is run and held is runtimes/conformance.ts, which browser_test.ts runs in a page.
 * A device that binds little has the cases with larger tensors again, and refuses by name those that do not split.
 *
 *     LONGSTRIDE_ENGINES=wasm deno test -A test/conformance_test.ts --filter attention
 */

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { OutOfMemoryError, ShapeError } from "../src/base/errors.ts";
import { size, tensor } from "../src/ops/mod.ts";
import type { Case } from "./cases.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";
import { ALL, deviations } from "./runtimes/conformance.ts";

for (const name of ENGINES.filter((name) => name !== "webgpu-split")) {
  for (const c of ALL) engineTest(name, `${name}: ${c.name}`, async () => assertEquals(await deviations(await engine(name), c), []));
}

/** What does not split by nature: decoding, whose operations have a row a sequence, where a tensor is beyond one binding. */
const WHOLE =
  /^(embedding_decode .*×132, 3 tables|attention_decode dense, position \d+ of 300|attention_decode .* d (64|128)\/128|attention_decode .* 17000)/;

/** Whether a case has a tensor that `webgpu-split` does not bind whole; what has none is as on `webgpu-default`. */
const isLarge = (c: Case) => [...c.inputs.keys()].some((t) => size(t) * 4 > 128 * 1024);

if (ENGINES.includes("webgpu-split") || !Deno.env.has("LONGSTRIDE_ENGINES")) {
  for (const c of ALL.filter(isLarge)) {
    if (!WHOLE.test(c.name)) {
      engineTest(
        "webgpu-split",
        `webgpu-split: ${c.name}`,
        async () => assertEquals(await deviations(await engine("webgpu-split"), c), []),
      );
      continue;
    }
    engineTest("webgpu-split", `webgpu-split: ${c.name}, refused by name`, async () => {
      const on = await engine("webgpu-split");
      const error = await assertRejects(() => deviations(on, c), OutOfMemoryError, "the device binds at most 128.0 KiB");
      assertStringIncludes(error.message, "use fewer sequences at once");
      on.free([...c.inputs.keys()]);
    });
  }
}

for (const name of ENGINES) {
  engineTest(name, `${name}: a tensor has one place at a time, and is named where it has none`, async () => {
    const on = await engine(name), x = tensor("x", [4]), y = tensor("y", [4]);
    on.allocate([x]);
    assertThrows(() => on.allocate([y, x]), ShapeError, "Cannot allocate x: it already has a place; free it first");
    on.free([x]);
    assertThrows(() => on.write(x, new Float32Array(4)), ShapeError, "x: it is not allocated");
    on.allocate([y, x]);
    on.free([x, y]);
  });
}

Deno.test("engines end", disposeEngines);
