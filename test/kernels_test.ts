/**
 * The kernels of `asm/` as lowering calls them: no call leaves the workspace that the formula beside its kernel gives, and names and kinds
 * of arguments are held by the type check.
 *
 * Plan. Each case's operations are lowered, and the calls made one after another over a memory that ends where the call's workspace does:
 * whatever is written past it traps.
 *
 * @module
 */

import { assert, assertRejects } from "@std/assert";
import { instantiate } from "../src/base/kernels.ts";
import { engineModule } from "../src/engines/wasm/binary.ts";
import { PARAMETERS, RESERVED, WORKSPACES } from "../src/engines/wasm/kernels.gen.ts";
import { Layouts } from "../src/engines/wasm/layouts.ts";
import { loadApart, LOWERINGS } from "../src/engines/wasm/lower/index.gen.ts";
import { call, type Lowering } from "../src/engines/wasm/lower/lowering.ts";
import { align, type Argument, type Call, Region, Table } from "../src/engines/wasm/plan.ts";
import { type Op, size, tensor } from "../src/ops/mod.ts";
import { pick } from "./cases.ts";

const PAGE = 65536, MEMORY = new WebAssembly.Memory({ initial: 1024, maximum: 1024 });

/** Makes the calls of a case; answers the names of kernels that took workspace. */
async function run(calls: readonly Call[], inputs: ReadonlyMap<unknown, ArrayLike<number>>): Promise<string[]> {
  const exports = await instantiate(await engineModule(), MEMORY) as Readonly<Record<string, (...args: number[]) => unknown>>;
  const buffer = MEMORY.buffer as ArrayBuffer, places = new Map<Argument, number>();
  let top = PAGE;
  const place = (argument: Argument): number => {
    if (typeof argument === "number" || !argument || argument === true) return Number(argument ?? 0);
    const known = places.get(argument);
    if (known !== undefined) return known;
    const at = top,
      bytes = argument instanceof Region ? argument.bytes : 4 * ("words" in argument ? argument.words.length : size(argument));
    places.set(argument, at);
    top += align(bytes + 32);
    if (argument instanceof Table) {
      const words = Array.from(argument.words, (word) => typeof word === "number" ? word : place(word.tensor) + word.offset);
      new Uint32Array(buffer, at, words.length).set(words);
    } else if (!(argument instanceof Region)) {
      const data = inputs.get(argument);
      if (data) new (argument.dtype === "u32" ? Uint32Array : Float32Array)(buffer, at, data.length).set(data);
    }
    return at;
  };
  const placed = calls.map(({ args }) => args.map(place));
  calls.forEach(({ kernel, units, workspace }, i) => {
    const at = buffer.byteLength - RESERVED - align(workspace);
    assert(top <= at, "the case is too large for the test's memory");
    exports.setWorkspace(at);
    exports[kernel](0, units, ...placed[i]);
  });
  return calls.filter(({ workspace }) => workspace > 0).map(({ kernel }) => kernel);
}

Deno.test("kernels: no call leaves the workspace that its formula gives", async () => {
  const seen = new Set<string>();
  for (const { problem: { ops, inputs } } of pick({ dtype: "f32" })) {
    const context = { threads: 1, layouts: new Layouts() }, calls: Call[] = [];
    const all: Record<string, unknown> = { ...LOWERINGS, ...(await loadApart()).APART };
    for (const op of ops) calls.push(...await (all[op.op] as Lowering<Op>)(op, context));
    for (const kernel of await run(calls, inputs)) seen.add(kernel);
  }
  const missing = Object.keys(WORKSPACES).filter((kernel) => !seen.has(kernel));
  assert(missing.length === 0, `no case calls ${missing}`);
});

Deno.test("kernels: a call that gives too little workspace is found", async () => {
  const { ops, inputs } = pick({ op: "linear_weight_grad", dtype: "f32" })[0].problem;
  const lowered = (LOWERINGS.linear_weight_grad as Lowering<Op>)(ops[0], { threads: 1, layouts: new Layouts() }) as Call[];
  await assertRejects(() => run(lowered.map((one) => ({ ...one, workspace: one.workspace - 4096 })), inputs), WebAssembly.RuntimeError);
});

Deno.test("kernels: arguments are checked by name and kind", () => {
  const x = tensor("x", [4]), position = tensor("position", [1], "u32");
  const made = call("choose_advance", { units: 1, args: { position } });
  assert(made.args[0] === position && made.args.length === PARAMETERS.choose_advance.length);
  // @ts-expect-error: there is no such kernel
  const unknown = () => call("choose_advanced", { units: 1, args: { position } });
  // @ts-expect-error: an argument is missing
  const missing = () => call("sum_chunks", { units: 1, args: { x, count: 4, chunk: 4 } });
  // @ts-expect-error: a name that the kernel has not
  const misspelt = () => call("choose_advance", { units: 1, args: { positon: position } });
  // @ts-expect-error: a number where an address belongs
  const number = () => call("sum_chunks", { units: 1, args: { x: 4, count: 4, chunk: 4, partials: new Region(8) } });
  // @ts-expect-error: a table of words where numbers belong
  const table = () => call("sum_chunks", { units: 1, args: { x: new Table([1]), count: 4, chunk: 4, partials: new Region(8) } });
  // @ts-expect-error: an operand that must be there
  const absent = () => call("choose_advance", { units: 1, args: { position: undefined } });
  assert([unknown, missing, misspelt, number, table, absent].length === 6);
});
