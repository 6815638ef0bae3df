/**
 * The WebGPU engine on Dawn, and what becomes of Dawn's errors. Names no runtime: the same file runs in Deno and in Node.
 *
 * @module
 */

import { KernelError, LongstrideError } from "../../src/base/errors.ts";
import "../../src/engines/webgpu/plan/late.gen.ts";
import { WebGpuEngine } from "../../src/engines/webgpu/engine.ts";
import { addKernels } from "../../src/engines/webgpu/shader/link.ts";
import { Pipelines } from "../../src/engines/webgpu/shader/pipelines.ts";
import { Program, tensor } from "../../src/ops/mod.ts";
import { pickBackend, type PickOptions } from "../../src/run/backend.ts";
import { pick, type Query } from "../cases.ts";
import { deviations } from "./conformance.ts";

/** Small cases: a software GPU compiles most of a second for each kernel. In f32, since Node 20 rounds to no halves. */
const QUERIES: readonly Query[] = [
  { op: "sum", count: [255, 1025] },
  { op: "clip", square: [16, Infinity] },
  { op: "embedding", rows: 37, weights: "i8", dtype: "f32" },
  { op: "layernorm", rows: 65, dtype: "f32" },
  { op: "linear", rows: 1, in: 64, weights: "i8", tags: "residual", dtype: "f32" },
];

/** A kernel that names what is nowhere, in its ninth line. */
const BROKEN = `struct Params {
  n: u32,
}

var<storage, read_write> x: array<u32>;
var<uniform> A: Params;

@compute @workgroup_size(1) fn main() {
  x[A.n] = nothing;
}
`;

/** What was found. */
export interface DawnReport {
  readonly engine: string;
  readonly features: readonly string[];
  readonly cases: number;
  /** How often the addon asked to look again at once, and later. */
  readonly looks: { readonly atOnce: number; readonly later: number };
  readonly failed: readonly string[];
  /** Class and message of each. */
  readonly errors: Readonly<Record<string, string>>;
}

/** An error as text; one that is not of ours shows as what it is. */
async function told(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return "nothing was thrown";
  } catch (error) {
    return error instanceof LongstrideError ? `${error.name}: ${error.message}` : `${error}`;
  }
}

const summing = (engine: WebGpuEngine, name: string) => {
  const x = tensor("x", [4]), y = tensor("y", [1]), program = new Program(name);
  program.add({ op: "sum", x, y, scale: 1, accumulate: false });
  engine.allocate([x, y]);
  return { x, y, program };
};

/** Counts what reaches the runtime from here on: what is to come at once, and in a millisecond, which is an addon's pause. */
function countLooks(): { atOnce: number; later: number } {
  const counts = { atOnce: 0, later: 0 }, { setImmediate, setTimeout } = globalThis;
  globalThis.setImmediate = ((ask: () => void, ...given: unknown[]) => {
    counts.atOnce++;
    return Reflect.apply(setImmediate, undefined, [ask, ...given]);
  }) as unknown as typeof setImmediate;
  globalThis.setTimeout = ((ask: () => void, ms?: number, ...given: unknown[]) => {
    if (ms === 1) counts.later++;
    return Reflect.apply(setTimeout, undefined, [ask, ms, ...given]);
  }) as unknown as typeof setTimeout;
  return counts;
}

/** Tries all of it. */
export async function tryDawn(options: PickOptions): Promise<DawnReport> {
  const looks = countLooks();
  const { engine } = await pickBackend("webgpu", options), failed: string[] = [], cases = pick(...QUERIES);
  for (const c of cases) for (const what of await deviations(engine, c)) failed.push(`${c.name}, ${what}`);
  const errors: Record<string, string> = {};
  addKernels({ broken: BROKEN });
  errors.shader = await told(() => new Pipelines(engine.device).get("broken", {}));

  const { x, y, program } = summing(engine, "summing freed tensors"), z = tensor("z", [1]), run = await engine.compile(program);
  engine.allocate([z]);
  engine.free([x, y]);
  await run.run();
  errors.run = await told(() => engine.read(z));
  errors.after = await told(async () => {
    if ((await engine.read(z))[0] !== 0) throw new KernelError("it was overwritten");
  });
  // More than a software GPU has, in one piece; one that has it is asked for more.
  const large = Array.from({ length: engine.isSoftware ? 1 : 0 }, () => tensor("large", [engine.limits.maxBufferSize / 4096, 1024]));
  engine.allocate(large);
  errors.memory = await told(() => engine.read(z));
  const description = engine.description, features = [...engine.device.features].sort();
  engine.dispose();

  const other = (await pickBackend("webgpu", options)).engine,
    last = summing(other, "last"),
    executable = await other.compile(last.program);
  await executable.run();
  other.device.destroy();
  await other.device.lost;
  await new Promise((resume) => setTimeout(resume, 0));
  errors.lost = await told(() => executable.run());
  other.dispose();
  return { engine: description, features, cases: cases.length, looks, failed, errors };
}
