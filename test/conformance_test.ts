/**
 * Conformance: every operation on every engine against the float64 oracle, on the same inputs.
 *
 * Plan. Cases are data (cases.ts). Each is run through `allocate`, `write`, `compile`, `run` twice (a recorded program
 * must replay), `read`; outputs are poisoned with NaN first. Pass: ‖got − want‖/‖want‖ ≤ 5e-6, or 2e-3 where
 * activations are stored in f16; integers equal.
 *
 *     LONGSTRIDE_ENGINES=wasm deno test -A test/conformance_test.ts --filter attention
 */

import { assert } from "@std/assert";
import { type Engine, Program, type TensorData } from "../src/ops.ts";
import { ReferenceEngine } from "../src/reference/engine.ts";
import { type Case, CASES, halved } from "./cases.ts";
import { relativeError } from "../src/verify.ts";
import { disposeEngines, engine, ENGINES } from "./engines.ts";

const TOLERANCE = { f32: 5e-6, f16: 2e-3, u32: 0 };

async function outputs(on: Engine, c: Case, times: number): Promise<TensorData[]> {
  const tensors = [...c.inputs.keys()], program = new Program(c.name);
  for (const op of c.ops) program.add(op);
  on.allocate(tensors);
  const executable = await on.compile(program);
  for (let time = 0; time < times; time++) {
    for (const [t, data] of c.inputs) on.write(t, data);
    await executable.run();
  }
  const results = [];
  for (const t of c.outputs) results.push(await on.read(t));
  executable.dispose();
  on.free(tensors);
  return results;
}

const oracle = new Map<Case, Promise<TensorData[]>>();
const expected = (c: Case) => {
  let made = oracle.get(c);
  if (!made) oracle.set(c, made = outputs(new ReferenceEngine(), c, 1));
  return made;
};

for (const name of ENGINES) {
  for (const c of [...CASES, ...CASES.flatMap((c) => halved(c) ?? [])]) {
    Deno.test(`${name}: ${c.name}`, async () => {
      const want = await expected(c), got = await outputs(await engine(name), c, 2), half = c.outputs.some((t) => t.dtype === "f16");
      c.outputs.forEach((t, i) => {
        const error = relativeError(got[i], want[i]), limit = TOLERANCE[half && t.dtype === "f32" ? "f16" : t.dtype];
        assert(error <= limit, `${t.name}: relative error ${error.toExponential(2)}, at most ${limit}`);
      });
    });
  }
}

Deno.test("engines end", disposeEngines);
