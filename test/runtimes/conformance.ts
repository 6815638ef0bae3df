/**
 * Conformance cases on an engine against the float64 oracle, and golden numbers. Names no runtime: the same file runs in Deno and in a page.
 *
 * A case goes through `allocate`, `write`, `compile`, `run` twice (a recorded program must replay), `read`; outputs are poisoned
 * with NaN first. Pass: ‖got − want‖/‖want‖ ≤ 5e-6, or 2e-3 where activations, or what Muon multiplies, are stored in
 * f16; integers equal.
 *
 * @module
 */

import { type BackendName, pickBackend } from "../../src/run/backend.ts";
import { type Engine, NO_KEYS, Program, type TensorData } from "../../src/ops/mod.ts";
import { ReferenceEngine } from "../../src/engines/reference/engine.ts";
import { goldenCases, relativeError } from "../../src/run/verify.ts";
import type { Case } from "../case.ts";
import { pick, type Query } from "../cases.ts";

const TOLERANCE = { f32: 5e-6, f16: 2e-3, u32: 0, i8: 0 };

/** What the case's program leaves in its outputs when it is run so often, its tensors allocated by these pages. */
export async function outputs(on: Engine, { name, problem }: Case, times = 1, pages = problem.pages): Promise<TensorData[]> {
  const tensors = [...problem.inputs.keys()], program = new Program(name);
  for (const op of problem.ops) program.add(op);
  for (const page of pages) on.allocate(page);
  const executable = await on.compile(program);
  for (let time = 0; time < times; time++) {
    for (const [t, data] of problem.inputs) on.write(t, data);
    await executable.run();
  }
  const results = [];
  for (const t of problem.outputs) results.push(await on.read(t));
  executable.dispose();
  on.free(tensors);
  return results;
}

const oracle = new Map<Case, Promise<TensorData[]>>();
const expected = (c: Case) => {
  let made = oracle.get(c);
  if (!made) oracle.set(c, made = outputs(new ReferenceEngine(), c));
  return made;
};

/** What stands for no key is so large that nothing beside it would count in a norm: it must be where the oracle has it, and is then left out. */
function withoutNothing(got: TensorData, want: TensorData): readonly [ArrayLike<number>, ArrayLike<number>] {
  const is = (x: number) => Math.abs(x / NO_KEYS - 1) < 1e-6;
  return [Array.from(got, (x, i) => is(x) && is(want[i]) ? 0 : x), Array.from(want, (x, i) => is(x) && is(got[i]) ? 0 : x)];
}

/** What of a case is not as the oracle has it; empty where it passes. */
export async function deviations(on: Engine, c: Case, pages = c.problem.pages): Promise<string[]> {
  const want = await expected(c), got = await outputs(on, c, 2, pages), tensors = c.problem.outputs;
  const isHalf = tensors.some((t) => t.dtype === "f16");
  // Muon's momentum is f32 whatever its products are made of.
  const stepped = new Set(c.problem.ops.flatMap((op) => op.op === "muon" && op.dtype === "f16" ? op.params : []));
  return tensors.flatMap((t, i) => {
    const error = relativeError(...withoutNothing(got[i], want[i]));
    const limit = TOLERANCE[t.dtype === "f32" && (isHalf || stepped.has(t)) ? "f16" : t.dtype];
    return error <= limit ? [] : [`${t.name}: relative error ${error.toExponential(2)}, at most ${limit}`];
  });
}

/** Runs the cases that fit; answers how many there were and what deviated. */
export async function conformance(backend: BackendName, queries: readonly Query[] = []): Promise<{ cases: number; failed: string[] }> {
  const { engine } = await pickBackend(backend), failed: string[] = [], cases = pick(...queries);
  for (const c of cases) {
    for (const deviation of await deviations(engine, c)) failed.push(`${c.name}, ${deviation}`);
  }
  engine.dispose();
  return { cases: cases.length, failed };
}

/** Runs golden cases whose names begin with `prefix`; answers how many numbers were held, and those that failed. */
export async function golden(
  backend: BackendName,
  base: string,
  prefix: string,
): Promise<{ held: number; failed: string[] }> {
  const { engine } = await pickBackend(backend), failed: string[] = [];
  let held = 0;
  for await (const { name, run } of goldenCases(new URL(base))) {
    if (!name.startsWith(prefix)) continue;
    for await (const found of run(engine)) {
      held++;
      if (!found.pass) failed.push(`${name} ${found.name}: ${found.error} > ${found.limit}`);
    }
  }
  engine.dispose();
  return { held, failed };
}
