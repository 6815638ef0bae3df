/**
 * What benches share: seeded inputs, timing, one operation on one engine, tables.
 *
 * @module
 */

import { cpuUsage } from "node:process";
import { type Engine, type Op, Program, size, type Tensor, tensor } from "../src/ops/mod.ts";
import type { DeviceOptions } from "../src/engines/webgpu/device.ts";
import { Random } from "../src/base/random.ts";

/** `--quick`: whether only to show that a bench runs, by small sizes, each once; what it prints says nothing of speed. */
export const QUICK = Deno.args.includes("--quick");

/** Standard normals from a seed. */
export function normals(count: number, seed: number): Float32Array {
  const values = new Float32Array(count);
  new Random(seed, 0).normals(values, 1);
  return values;
}

/** One measured function, in milliseconds. */
export interface Timing {
  /** Wall time, median. */
  readonly wall: number;
  /** CPU time of the whole process, all threads, median. */
  readonly cpu: number;
  /** CPU time of the best run: what to compare where the machine is shared with others' work. */
  readonly best: number;
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

/** Times runs that together last about `budget` ms, at least `least` of them, after one to warm up. */
export async function time(run: () => unknown, options: { budget?: number; least?: number } = {}): Promise<Timing> {
  return (await timeInTurn([run], options))[0];
}

/** The same of several functions, in turn, so that what else the machine does hinders all alike; `budget` is that of each. */
export async function timeInTurn(runs: readonly (() => unknown)[], { budget = 1500, least = 5 } = {}): Promise<Timing[]> {
  for (const run of runs) await run();
  if (QUICK) [budget, least] = [0, 1];
  const samples = runs.map(() => ({ wall: [] as number[], cpu: [] as number[] })), start = performance.now();
  while (samples[0].wall.length < least || performance.now() - start < budget * runs.length) {
    for (const [i, run] of runs.entries()) {
      const used = cpuUsage(), at = performance.now();
      await run();
      samples[i].wall.push(performance.now() - at);
      const { user, system } = cpuUsage(used);
      samples[i].cpu.push((user + system) / 1000);
    }
  }
  return samples.map(({ wall, cpu }) => ({ wall: median(wall), cpu: median(cpu), best: Math.min(...cpu) }));
}

/** Operations on an engine with their tensors allocated: seeded normals in those of f32, or the numbers given. */
export async function prepare(engine: Engine, name: string, ops: readonly Op[], given: ReadonlyMap<Tensor, Float32Array | Uint32Array>) {
  const program = new Program(name), tensors = [...given.keys()];
  for (const op of ops) program.add(op);
  engine.allocate(tensors);
  for (const [t, data] of given) engine.write(t, data);
  const executable = await engine.compile(program);
  return {
    run: () => executable.run(),
    [Symbol.dispose]() {
      executable.dispose();
      engine.free(tensors);
    },
  };
}

/** Makes tensors of f32 with seeded normals, recording them for {@linkcode prepare}. */
export function inputs(): { given: Map<Tensor, Float32Array | Uint32Array>; make: (name: string, shape: number[]) => Tensor } {
  const given = new Map<Tensor, Float32Array | Uint32Array>();
  const make = (name: string, shape: number[]) => {
    const t = tensor(name, shape);
    given.set(t, normals(size(t), given.size + 1));
    return t;
  };
  return { given, make };
}

/** One line of a result. */
export type Row = Record<string, string | number>;

/** Prints rows as a table, or as one JSON object where the bench was called with --json. */
export function report(bench: string, rows: readonly Row[]): void {
  if (Deno.args.includes("--json")) {
    console.log(JSON.stringify({ bench, rows }));
    return;
  }
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const text = (value: string | number | undefined) =>
    typeof value === "number" ? Number.isInteger(value) ? value.toLocaleString("en") : value.toPrecision(4) : value ?? "";
  const cells = [columns, ...rows.map((row) => columns.map((column) => text(row[column])))];
  const widths = columns.map((_, c) => Math.max(...cells.map((line) => line[c].length)));
  console.log(`\n${bench}`);
  for (const line of cells) console.log(line.map((cell, c) => c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])).join("  "));
}

/** The value of a flag `--name VALUE` or `--name=VALUE`. */
export function flag(name: string): string | undefined {
  const at = Deno.args.findIndex((a) => a === `--${name}` || a.startsWith(`--${name}=`));
  return at < 0 ? undefined : Deno.args[at].includes("=") ? Deno.args[at].slice(name.length + 3) : Deno.args[at + 1];
}

/** Whose GPU a bench runs on: `--gpu dawn` npm's webgpu, or the dawn.node that LONGSTRIDE_DAWN names; else the runtime's own. */
export const GPU_OPTIONS: Pick<DeviceOptions, "gpu" | "dawnPath"> = flag("gpu") === "dawn"
  ? { gpu: "dawn", dawnPath: Deno.env.get("LONGSTRIDE_DAWN") }
  : {};

/** Medians that a peer's script reports for itself. */
export interface PeerTiming {
  readonly cpuMs: number;
  readonly median: number;
}

/**
 * Runs a script of the folder of peers given by --peers in a process of its own; undefined where none was given.
 *
 * @throws {Error} where it ends without a result, with what it printed
 */
export async function peer<Result = PeerTiming>(script: string, args: readonly string[]): Promise<Result | undefined> {
  const folder = flag("peers");
  if (!folder) return undefined;
  const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", `bench/${script}`, ...args], cwd: folder, stderr: "piped" });
  const { stdout, stderr } = await command.output(), text = new TextDecoder().decode(stdout);
  const line = text.split("\n").find((line) => line.startsWith("RESULT "));
  if (!line) throw new Error(`${script} gave no result: ${text}${new TextDecoder().decode(stderr)}`);
  return JSON.parse(line.slice(7));
}
