/**
 * Conformance: every operation on every engine against the float64 oracle, on the same inputs.
 *
 * Plan. Cases are data (cases.ts); how one is run and held is runtimes/conformance.ts, which browser_test.ts runs in a page.
 *
 *     LONGSTRIDE_ENGINES=wasm deno test -A test/conformance_test.ts --filter attention
 */

import { assertEquals } from "@std/assert";
import { disposeEngines, engine, ENGINES } from "./engines.ts";
import { ALL, deviations } from "./runtimes/conformance.ts";

for (const name of ENGINES) {
  for (const c of ALL) Deno.test(`${name}: ${c.name}`, async () => assertEquals(await deviations(await engine(name), c), []));
}

Deno.test("engines end", disposeEngines);
