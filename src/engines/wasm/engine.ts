/**
 * The CPU engine: kernels of `asm/` (f32 × 4 SIMD) on all cores. Results do not depend on the number of threads.
 *
 * Tensors of f16 are kept in f32 here: WebAssembly has no f16 arithmetic, and memory is not what limits a CPU.
 *
 * @module
 */

import { expect } from "../../base/check.ts";
import { KernelError, ShapeError } from "../../base/errors.ts";
import { THREADS } from "../../base/limits.ts";
import { givenKernels, instantiate } from "../../base/kernels.ts";
import {
  type Engine,
  type Executable,
  extent,
  lifetimes,
  type Op,
  type Program,
  size,
  streamOneByOne,
  type Tensor,
  type TensorData,
} from "../../ops/mod.ts";
import { engineModule, sharedModule } from "./binary.ts";
import { PARAMETERS, RESERVED } from "./kernels.gen.ts";
import { Layouts } from "./layouts.ts";
import { loadApart, LOWERINGS } from "./lower/index.gen.ts";
import type { LowerContext, Lowering } from "./lower/lowering.ts";
import { Heap } from "./memory.ts";
import { align, type Argument, type Call, type Claim, planArena, Region, Table } from "./plan.ts";
import type { Exports } from "./thread.ts";
import { type PlacedPlan, Threads, workersHere } from "./threads.ts";

/** Tables that programs share, and how many programs do. */
type Shares = Map<Table, { address: number; users: number }>;

/** Options of {@linkcode WasmEngine.create}. */
export interface WasmOptions {
  /** Threads in all; default: one per core where the platform shares memory between workers. */
  threads?: number;
  /**
   * Address of the file that threads run, of the page's own origin. By default `longstride.worker.js` beside the bundle. Matters in
   * pages, where shared memory is available (cross-origin isolation).
   */
  worker?: string | URL;
}

/** Bytes of a tensor; kernels read int8 eight at a time (asm/lib/int8.ts). */
const bytesOf = (t: Tensor): number => t.dtype === "i8" ? size(t) + 7 : size(t) * 4;

/** What some operations of a program are: a plan, and the kernels of its calls. */
interface Part {
  readonly plan: PlacedPlan;
  readonly kernels: readonly string[];
}

let plans = 0;

/** The kernels in the order by which plans name them. */
const NAMES = Object.keys(PARAMETERS);

/** Milliseconds of a run after which signals, timers and a page's events get their turn; workers go on meanwhile. */
const SLICE = 40;

/**
 * Operations on the CPU through WebAssembly. Workers leave where no run comes for two seconds, and come back with the next, so that
 * an engine that nobody disposed of keeps no process alive.
 */
export class WasmEngine implements Engine {
  readonly name = "wasm";
  // 16 positions of a model of 3.5 M parameters took half the time of one by one, on two cores.
  readonly sideBySide = 16;
  readonly description: string;
  readonly #heap: Heap;
  readonly #threads: Threads;
  readonly #tensors = new Map<Tensor, number>();
  readonly #layouts = new Layouts();
  readonly #tables: Shares = new Map();
  #workspace = 0;
  #stride = 0;

  /** Bytes that WebAssembly's 32-bit addresses leave. */
  get room(): number {
    return this.#heap.room;
  }

  private constructor(heap: Heap, threads: Threads, why: string) {
    this.#heap = heap;
    this.#threads = threads;
    this.description = `WASM SIMD, ${threads.count} thread${threads.count === 1 ? "" : "s"}${why}`;
  }

  /**
   * Compiles the kernels and starts the threads.
   *
   * @throws {ConfigError} where `threads` is not a whole number from 1 to 256
   * @throws {OutOfMemoryError} where not even an empty memory can be made
   */
  static async create(options: WasmOptions = {}): Promise<WasmEngine> {
    const { open, cores } = await workersHere(options.worker),
      wanted = options.threads !== undefined ? options.threads : Math.min(THREADS.to!, cores);
    expect("Cannot start the WASM engine", { threads: [wanted, THREADS] });
    const missing = givenKernels()
      ? "a ready module runs on one"
      : typeof SharedArrayBuffer === "undefined"
      ? "shared memory is not available (a page needs cross-origin isolation)"
      : !open
      ? "workers are not available"
      : undefined;
    const count = missing ? 1 : wanted, heap = new Heap(count > 1);
    const module = await (count > 1 ? sharedModule() : engineModule());
    const threads = await Threads.start(
      count,
      module,
      heap.memory,
      await instantiate(module, heap.memory) as Exports,
      NAMES,
      open,
    );
    const why = wanted === 1 || threads.count === wanted ? "" : ` of ${wanted}: ${missing ?? `workers could not start: ${threads.why}`}`;
    return new WasmEngine(heap, threads, why);
  }

  allocate(tensors: readonly Tensor[]): void {
    const made: Tensor[] = [];
    try {
      for (const t of tensors) {
        if (this.#tensors.has(t)) throw new ShapeError(`Cannot allocate ${t.name}: it already has a place; free it first`);
        this.#tensors.set(t, this.#heap.take(bytesOf(t), `tensor ${t.name}`));
        made.push(t);
      }
    } catch (error) {
      this.free(made);
      throw error;
    }
  }

  free(tensors: readonly Tensor[]): void {
    this.#threads.finish();
    for (const t of tensors) {
      const address = this.#tensors.get(t);
      if (address !== undefined) this.#heap.give(address);
      this.#tensors.delete(t);
    }
  }

  write(t: Tensor, data: TensorData): void {
    if (data.length !== size(t)) throw new ShapeError(`Cannot write ${t.name}: it has ${size(t)} elements, got ${data.length}`);
    this.#view(t).set(data);
  }

  async read(t: Tensor, range?: readonly [number, number]): Promise<TensorData> {
    const { first, count } = extent(t, range);
    // slice() copies shared memory into memory of its own.
    return await Promise.resolve(this.#view(t).slice(first, first + count));
  }

  async compile(program: Program): Promise<Executable> {
    const context: LowerContext = { threads: this.#threads.count, layouts: this.#layouts }, calls: Call[][] = [];
    // Each lowering is given operations of its own name.
    for (const op of program.ops) {
      const own: Partial<Record<string, unknown>> = op.op in LOWERINGS ? LOWERINGS : (await loadApart()).APART;
      calls.push(await (own[op.op] as Lowering<Op>)(op, context));
    }
    return this.#place(program, calls);
  }

  dispose(): void {
    this.#threads.stop();
    this.#tensors.clear();
    this.#layouts.clear();
  }

  /** Tensors, regions, tables and the plan itself get their addresses. */
  #place(program: Program, calls: readonly Call[][]): Executable {
    this.#threads.finish();
    const places = new Map<Tensor | Region | Table, number>(), blocks: number[] = [], tables = new Set<Table>();
    const claims: (Claim & { of: Tensor | Region })[] = [];
    for (const [t, [first, last]] of lifetimes(program)) claims.push({ of: t, bytes: size(t) * 4, first, last });
    calls.forEach((list, at) => {
      const regions = new Set<Region>();
      for (const argument of list.flatMap(({ args }) => args)) {
        if (argument instanceof Region) regions.add(argument);
        if (argument instanceof Table) tables.add(argument);
      }
      for (const of of regions) claims.push({ of, bytes: of.bytes, first: at, last: at });
    });
    const arena = planArena(claims), flat = calls.flat();
    const address = (a: Argument): number => {
      if (typeof a === "number") return a;
      if (!a || a === true) return Number(a ?? 0);
      const at = places.get(a as Tensor) ?? this.#tensors.get(a as Tensor);
      if (at === undefined) throw new ShapeError(`Cannot compile ${program.name}: tensor ${(a as Tensor).name} is not allocated`);
      return at;
    };
    const take = (bytes: number, what: string) => {
      const at = this.#heap.take(bytes, what);
      blocks.push(at);
      return at;
    };
    const release = () => {
      for (const at of blocks) this.#heap.give(at);
      for (const table of tables) this.#drop(table);
    };
    try {
      const base = take(arena.bytes, `the scratch tensors of ${program.name}`);
      claims.forEach(({ of }, i) => places.set(of, base + arena.offsets[i]));
      for (const table of tables) places.set(table, this.#share(table, address));
      this.#reserve(Math.max(64, ...flat.map((call) => call.workspace)));
      const encoded = calls.map((list) =>
        list.flatMap(({ kernel, units, grain, joined, args }) => {
          return [NAMES.indexOf(kernel), units, grain, joined ? 1 : 0, args.length, ...args.map(address)];
        })
      );
      const words = encoded.flat(), start = take(words.length * 8, `the plan of ${program.name}`);
      new Float64Array(this.#heap.memory.buffer, start, words.length).set(words);
      const wordsOf = (from: number, to: number) => encoded.slice(from, to).reduce((sum, { length }) => sum + length, 0);
      const planOf = (from: number, to: number): Part => {
        const own = calls.slice(from, to).flat(), tickets = own.reduce((sum, { units, grain }) => sum + Math.ceil(units / grain), 0);
        const plan = { id: ++plans, address: start + wordsOf(0, from) * 8, words: wordsOf(from, to), tickets };
        return { plan, kernels: own.map(({ kernel }) => kernel) };
      };
      return this.#executable(program, planOf, arena.bytes, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** @param planOf the plan of operations [from, to) */
  #executable(program: Program, planOf: (from: number, to: number) => Part, scratchBytes: number, release: () => void): Executable {
    const whole = planOf(0, program.ops.length), parts = new Map<string, Part>();
    let live = true;
    const run = async (times = 1, { plan, kernels } = whole) => {
      for (let time = 0; time < times; time++) {
        if (!live) throw new KernelError(`Cannot run ${program.name}: it was disposed of`);
        if (plan.tickets === 0) return;
        const begun = this.#threads.begin(plan, this.#workspace, this.#stride);
        while (!this.#threads.help(begun, SLICE)) await new Promise((resume) => setTimeout(resume, 0));
        if (begun.failed === undefined) continue;
        throw new KernelError(`Cannot run ${program.name}: kernel ${kernels[begun.failed]} (call ${begun.failed}) left its memory`);
      }
    };
    return {
      scratchBytes,
      run: (times) => run(times),
      part: (from, to) => {
        const key = `${from} ${to}`, part = parts.get(key) ?? planOf(from, to);
        parts.set(key, part);
        return run(1, part);
      },
      stream: (options) => streamOneByOne(this, run, options),
      dispose: () => {
        this.#threads.finish();
        if (live) release();
        live = false;
      },
    };
  }

  /** Address of a table, which is placed when its first user comes. */
  #share(table: Table, address: (a: Argument) => number): number {
    const known = this.#tables.get(table);
    if (known) {
      known.users++;
      return known.address;
    }
    // Vector loads may read up to 7 words past a list's end.
    const at = this.#heap.take((table.words.length + 8) * 4, "the lists of a layout");
    const words = table.words instanceof Uint32Array
      ? table.words
      : table.words.map((word) => typeof word === "number" ? word : address(word.tensor) + word.offset);
    new Uint32Array(this.#heap.memory.buffer, at, words.length).set(words);
    this.#tables.set(table, { address: at, users: 1 });
    return at;
  }

  #drop(table: Table): void {
    const known = this.#tables.get(table);
    if (!known || --known.users > 0) return;
    this.#heap.give(known.address);
    this.#tables.delete(table);
  }

  /** Gives each thread at least that many bytes of workspace. */
  #reserve(bytes: number): void {
    const stride = align(bytes) + RESERVED;
    if (stride <= this.#stride) return;
    const workspace = this.#heap.take(stride * this.#threads.slots, "the threads' workspaces");
    this.#heap.give(this.#workspace);
    this.#workspace = workspace;
    this.#stride = stride;
  }

  /** A tensor's numbers, once the runs that were asked for are over. */
  #view(t: Tensor): Float32Array | Uint32Array | Int8Array {
    this.#threads.finish();
    const address = this.#tensors.get(t);
    if (address === undefined) throw new ShapeError(`Cannot use tensor ${t.name}: it is not allocated in this engine`);
    const { buffer } = this.#heap.memory, count = size(t);
    if (t.dtype === "i8") return new Int8Array(buffer, address, count);
    return t.dtype === "u32" ? new Uint32Array(buffer, address, count) : new Float32Array(buffer, address, count);
  }
}
