/**
 * Conformance: every operation on every engine against the float64 oracle, on the same inputs.
 *
 * Plan. Cases are data (cases/, picked by cases.ts); how one is run and held is runtimes/conformance.ts, which browser_test.ts runs in
 * a page. A device that binds little has the cases with larger tensors again, and refuses by name those that do not split.
 * `LONGSTRIDE_CASES` picks some by their fields, `LONGSTRIDE_ENGINES` engines:
 *
 *     LONGSTRIDE_ENGINES=wasm LONGSTRIDE_CASES="op=attention n=101 dtype=f16" deno test -A test/conformance_test.ts
 */

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { OutOfMemoryError, ShapeError } from "../src/base/errors.ts";
import { size, tensor } from "../src/ops/mod.ts";
import type { Case } from "./case.ts";
import { parseQueries, pick } from "./cases.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";
import { deviations } from "./runtimes/conformance.ts";

const CASES = pick(...parseQueries(Deno.env.get("LONGSTRIDE_CASES") ?? ""));

for (const name of ENGINES.filter((name) => name !== "webgpu-split")) {
  for (const c of CASES) engineTest(name, `${name}: ${c.name}`, async () => assertEquals(await deviations(await engine(name), c), []));
}

/** Whether a case has a tensor that `webgpu-split` does not bind whole; what has none is as on `webgpu-default`. */
const isLarge = ({ problem }: Case) => [...problem.inputs.keys()].some((t) => size(t) * 4 > 128 * 1024);

if (ENGINES.includes("webgpu-split") || !Deno.env.has("LONGSTRIDE_ENGINES")) {
  for (const c of CASES.filter(isLarge)) {
    if (!c.fields.tags.includes("whole")) {
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
      on.free([...c.problem.inputs.keys()]);
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

Deno.test.afterAll(disposeEngines);
