/**
 * Threads that replay plans together. A plan is cut into tickets, numbered through all its calls; every thread takes the
 * next ticket, waits until the calls before its own are done, runs it, and counts it done. Nobody directs, so a call costs
 * no message: about 1 µs where all threads are awake.
 *
 * @module
 */

import { KERNELS } from "./plan.ts";
import type { KernelExports } from "../kernels.ts";

/** Words of the control block. Tickets count on through all runs, modulo 2³². */
const CONTROL = {
  /** Next ticket to take. */
  cursor: 0,
  /** The one after the last of this run. */
  end: 1,
  /** Tickets done, all in all. */
  done: 2,
  /** First ticket of this run. */
  base: 3,
  /** The plan: which, its address, its f64 words. */
  id: 4,
  plan: 5,
  words: 6,
  /** Where the threads' workspaces start, and how far apart they are. */
  workspace: 7,
  stride: 8,
  /** 1 + index of the first call that trapped. */
  failed: 9,
  /** Workers end. */
  stop: 10,
} as const;

/** Everything a thread needs to start. */
interface Setup {
  readonly memory: WebAssembly.Memory;
  readonly control: Int32Array;
  readonly at: typeof CONTROL;
  readonly names: readonly string[];
  /** Number of the thread, from 0. */
  readonly index: number;
  /** Whether the thread may block: a page's main thread may not. */
  readonly canWait: boolean;
}

type Exports = { readonly [name: string]: (...args: number[]) => unknown };

/**
 * Makes the loop that every thread runs: `work()` helps with the current run until no ticket is left, or until a time
 * (of performance.now()) has come, and answers whether none is left. It is sent to workers as text, so it names nothing
 * outside itself.
 *
 * A plan in memory is f64 words: for each call kernel, units, grain, count of arguments, arguments.
 */
function makeThread(setup: Setup, exports: Exports): { work(until: number): boolean } {
  const { memory, control, at, names, index, canWait } = setup;
  type Step = { kernel: (...args: number[]) => unknown; units: number; grain: number; args: number[]; first: number };
  const plans = new Map<number, Step[]>();
  let base = 0, steps: Step[] = [], step = 0;

  function parse(): Step[] {
    const id = Atomics.load(control, at.id), known = plans.get(id);
    if (known) return known;
    const plan = Atomics.load(control, at.plan) >>> 0, count = Atomics.load(control, at.words);
    let buffer = memory.buffer;
    // Another thread may have grown the memory: this one sees it at its next interrupt.
    while (buffer.byteLength < plan + count * 8) buffer = memory.buffer;
    const words = new Float64Array(buffer, plan, count), made: Step[] = [];
    let ticket = 0;
    for (let i = 0; i < count;) {
      const units = words[i + 1], grain = words[i + 2], after = i + 4 + words[i + 3];
      made.push({ kernel: exports[names[words[i]]], units, grain, args: Array.from(words.subarray(i + 4, after)), first: ticket });
      ticket += Math.ceil(units / grain);
      i = after;
    }
    if (plans.size >= 64) plans.clear();
    plans.set(id, made);
    return made;
  }

  function work(until: number): boolean {
    for (;;) {
      const ticket = Atomics.load(control, at.cursor);
      if (((Atomics.load(control, at.end) - ticket) | 0) <= 0) return true;
      if (Atomics.compareExchange(control, at.cursor, ticket, (ticket + 1) | 0) !== ticket) continue;
      const runBase = Atomics.load(control, at.base), local = (ticket - runBase) | 0;
      if (runBase !== base || steps.length === 0) {
        base = runBase;
        steps = parse();
        step = 0;
        exports.setWorkspace((Atomics.load(control, at.workspace) >>> 0) + index * Atomics.load(control, at.stride));
      }
      while (step + 1 < steps.length && steps[step + 1].first <= local) step++;
      const { kernel, units, grain, args, first } = steps[step];
      for (let spins = 0;; spins++) {
        const done = Atomics.load(control, at.done);
        if (((done - base - first) | 0) >= 0) break;
        // Nobody notifies: the wait is a nap of 50 µs, for machines with fewer free cores than threads.
        if (spins > 4000 && canWait) Atomics.wait(control, at.done, done, 0.05);
      }
      const begin = (local - first) * grain;
      try {
        kernel(begin, Math.min(units, begin + grain), ...args);
      } catch {
        Atomics.compareExchange(control, at.failed, 0, step + 1);
      }
      Atomics.add(control, at.done, 1);
      if (until < Infinity && performance.now() > until) return false;
    }
  }
  return { work };
}

/** What a worker runs. It is sent as text too. */
function workerMain(make: typeof makeThread): void {
  const scope = globalThis as unknown as {
    onmessage: (event: MessageEvent<{ module: WebAssembly.Module; setup: Setup }>) => void;
    postMessage(message: string): void;
    close(): void;
  };
  scope.onmessage = async ({ data: { module, setup } }) => {
    const { memory, control, at } = setup;
    const abort = () => {
      throw new Error("kernels.wasm stopped");
    };
    const instance = await WebAssembly.instantiate(module, { env: { memory, abort } });
    const thread = make(setup, instance.exports as unknown as Exports);
    scope.postMessage("ready");
    while (Atomics.load(control, at.stop) === 0) {
      const seen = Atomics.load(control, at.end);
      thread.work(Infinity);
      // Runs often follow each other closely: waking from a wait costs 50 µs, looking this often about 200 µs.
      for (let spins = 0; spins < 20000 && Atomics.load(control, at.end) === seen; spins++);
      Atomics.wait(control, at.end, seen);
    }
    scope.close();
  };
}

/** A plan in memory: a number that no other plan has, its address and f64 words, and its tickets. */
export interface PlacedPlan {
  readonly id: number;
  readonly address: number;
  readonly words: number;
  readonly tickets: number;
}

/** A plan under way. */
export interface Run {
  /** The ticket after its last. */
  readonly end: number;
  /** Index of the first call that trapped, once it has ended. */
  failed: number | undefined;
}

/** The calling thread and the workers that help it. */
export class Threads {
  readonly #control: Int32Array;
  readonly #workers: readonly Worker[];
  readonly #main: { work(until: number): boolean };
  #current: Run | undefined;
  readonly #canWait: boolean;

  /** Highest number of a thread + 1: a worker that could not start leaves a gap. */
  readonly slots: number;

  private constructor(
    control: Int32Array,
    workers: readonly Worker[],
    main: { work(until: number): boolean },
    slots: number,
    canWait: boolean,
  ) {
    this.slots = slots;
    this.#canWait = canWait;
    this.#control = control;
    this.#workers = workers;
    this.#main = main;
  }

  /**
   * Starts `count − 1` workers, or as many of them as the platform lets start.
   *
   * @param count threads in all; more than one needs shared memory
   * @param module the kernels, compiled for that memory
   */
  static async start(count: number, module: WebAssembly.Module, memory: WebAssembly.Memory, exports: KernelExports): Promise<Threads> {
    const words = Object.keys(CONTROL).length;
    const control = count > 1 ? new Int32Array(new SharedArrayBuffer(words * 4)) : new Int32Array(words);
    const setup = (index: number, canWait: boolean): Setup => ({ memory, control, at: CONTROL, names: KERNELS, index, canWait });
    const starting = Array.from({ length: count - 1 }, (_, i) => startWorker({ module, setup: setup(i + 1, true) }));
    const workers = (await Promise.all(starting)).filter((worker) => worker !== undefined);
    const canWait = count > 1 && canBlock();
    return new Threads(control, workers, makeThread(setup(0, canWait), exports), count, canWait);
  }

  /** Threads in all. */
  get count(): number {
    return 1 + this.#workers.length;
  }

  /**
   * Starts a plan on the workers, after the one before has ended.
   *
   * @param workspace address of the first thread's workspace, each of `stride` bytes
   */
  begin(plan: PlacedPlan, workspace: number, stride: number): Run {
    this.finish();
    const control = this.#control, base = Atomics.load(control, CONTROL.cursor), end = (base + plan.tickets) | 0;
    Atomics.store(control, CONTROL.base, base);
    Atomics.store(control, CONTROL.id, plan.id);
    Atomics.store(control, CONTROL.plan, plan.address | 0);
    Atomics.store(control, CONTROL.words, plan.words);
    Atomics.store(control, CONTROL.workspace, workspace | 0);
    Atomics.store(control, CONTROL.stride, stride);
    Atomics.store(control, CONTROL.failed, 0);
    Atomics.store(control, CONTROL.end, end);
    if (this.#workers.length > 0) Atomics.notify(control, CONTROL.end);
    return this.#current = { end, failed: undefined };
  }

  /** Helps with a run for about so long. Answers whether it has ended. */
  help(run: Run, milliseconds: number): boolean {
    if (run === this.#current && this.#main.work(performance.now() + milliseconds)) this.finish();
    return run !== this.#current;
  }

  /** Ends the run that is under way, if any. */
  finish(): void {
    const run = this.#current, control = this.#control;
    if (!run) return;
    this.#main.work(Infinity);
    // Workers may still be in their last ticket.
    for (let spins = 0;; spins++) {
      const done = Atomics.load(control, CONTROL.done);
      if (done === run.end) break;
      if (spins > 4000 && this.#canWait) Atomics.wait(control, CONTROL.done, done, 0.05);
    }
    const failed = Atomics.load(control, CONTROL.failed);
    run.failed = failed > 0 ? failed - 1 : undefined;
    this.#current = undefined;
  }

  /** Ends the workers. */
  stop(): void {
    this.finish();
    const control = this.#control;
    Atomics.store(control, CONTROL.stop, 1);
    // A changed end wakes those that are about to wait; the cursor goes first, so that there is no ticket.
    Atomics.add(control, CONTROL.cursor, 1);
    Atomics.add(control, CONTROL.end, 1);
    if (this.#workers.length > 0) Atomics.notify(control, CONTROL.end);
    for (const worker of this.#workers) worker.terminate();
  }
}

/** Whether this thread may block. */
function canBlock(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

/** How long a worker may take to start. It is 50 ms where nothing hinders it. */
const START_LIMIT = 10_000;

/** A worker that has instantiated the kernels, or undefined where the platform (a page's policy) does not let it. */
function startWorker(message: { module: WebAssembly.Module; setup: Setup }): Promise<Worker | undefined> {
  // Text in a blob: the same from a file, over http and in a bundle, and it needs no permission in Deno. A data: URL would
  // have another origin in browsers, to which memory cannot be shared.
  const source = `(${workerMain})(${makeThread})`, url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return new Promise<Worker | undefined>((resolve) => {
    let worker: Worker | undefined;
    const fail = (event?: Event) => {
      event?.preventDefault();
      worker?.terminate();
      resolve(undefined);
    };
    const timer = setTimeout(fail, START_LIMIT);
    try {
      worker = new Worker(url, { type: "module" });
      worker.onerror = fail;
      worker.onmessageerror = fail;
      worker.onmessage = () => {
        clearTimeout(timer);
        resolve(worker);
      };
      worker.postMessage(message);
    } catch {
      clearTimeout(timer);
      fail();
    }
  }).finally(() => URL.revokeObjectURL(url));
}
