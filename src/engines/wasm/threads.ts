/**
 * Threads that replay plans together. A plan is cut into tickets, numbered through all its calls; every thread takes the
 * next ticket, waits until the calls before its own are done, runs it, and counts it done. Nobody directs, so a call costs
 * no message: about 1 µs where all threads are awake.
 *
 * @module
 */

import { BackendError } from "../../base/errors.ts";
import { CONTROL, type Exports, makeThread, type Setup, type Start, workerMain } from "./thread.ts";

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
  /** By number of the thread, 1 and up; none where it could not start. */
  readonly #workers: Map<number, Worker>;
  readonly #main: { work(until: number): boolean };
  readonly #start: (index: number) => Worker;
  #current: Run | undefined;
  readonly #canWait: boolean;

  /** Threads in all. */
  readonly count: number;
  /** Highest number of a thread + 1: a worker that could not start leaves a gap. */
  readonly slots: number;
  /** Why there are fewer than were asked for, if so. */
  readonly why: string | undefined;

  private constructor(
    made: { control: Int32Array; workers: Map<number, Worker>; main: { work(until: number): boolean }; start: (index: number) => Worker },
    slots: number,
    canWait: boolean,
    why: string | undefined,
  ) {
    this.count = 1 + made.workers.size;
    this.slots = slots;
    this.why = why;
    this.#canWait = canWait;
    this.#control = made.control;
    this.#workers = made.workers;
    this.#main = made.main;
    this.#start = made.start;
  }

  /**
   * Starts `count − 1` workers, or as many of them as the platform lets start.
   *
   * @param count threads in all; more than one needs shared memory
   * @param module the kernels, compiled for that memory
   * @param names of the kernels, in the order by which plans name them
   * @param open starts a worker
   */
  static async start(
    count: number,
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    exports: Exports,
    names: readonly string[],
    open?: () => Worker,
  ): Promise<Threads> {
    const words = CONTROL.present + count;
    const control = count > 1 ? new Int32Array(new SharedArrayBuffer(words * 4)) : new Int32Array(words);
    const setup = (index: number, canWait: boolean): Setup => ({ memory, control, at: CONTROL, names, index, canWait });
    const start = (index: number) => {
      const worker = open!();
      Atomics.store(control, CONTROL.present + index, 1);
      worker.postMessage({ module, setup: setup(index, true), patience: PATIENCE } satisfies Start);
      return worker;
    };
    const workers = new Map<number, Worker>();
    let why: string | undefined;
    await Promise.all(Array.from({ length: count - 1 }, async (_, i) => {
      try {
        workers.set(i + 1, await ready(() => start(i + 1)));
      } catch (error) {
        why = (error as Error).message;
      }
    }));
    const canWait = count > 1 && canBlock();
    return new Threads({ control, workers, main: makeThread(setup(0, canWait), exports), start }, count, canWait, why);
  }

  /**
   * Starts a plan on the workers, after the one before has ended.
   *
   * @param workspace address of the first thread's workspace, each of `stride` bytes
   * @throws {BackendError} after {@linkcode stop}
   */
  begin(plan: PlacedPlan, workspace: number, stride: number): Run {
    // Told to stop, no thread takes a ticket: waiting for this one would never end.
    if (Atomics.load(this.#control, CONTROL.stop) === 1) throw new BackendError("Cannot run: the engine was disposed of; make another");
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
    this.#wake();
    return this.#current = { end, failed: undefined };
  }

  /** Rouses the workers; those that left are replaced, and join when they are there. */
  #wake(): void {
    if (this.#workers.size > 0) Atomics.notify(this.#control, CONTROL.end);
    for (const index of this.#workers.keys()) {
      if (Atomics.load(this.#control, CONTROL.present + index) === 1) continue;
      try {
        const worker = this.#start(index);
        worker.onerror = (event) => event.preventDefault();
        this.#workers.set(index, worker);
      } catch {
        // It started before; the others do its work.
        this.#workers.delete(index);
      }
    }
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
    Atomics.notify(control, CONTROL.end);
    for (const worker of this.#workers.values()) worker.terminate();
    this.#workers.clear();
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

/** Milliseconds without a run after which workers leave. Starting them again takes about 50. */
const PATIENCE = 2000;

/** What workers run, as a script. */
const script = () => `(${workerMain})(${makeThread})`;

/** What starts workers, where there are any, and how many threads the machine runs at once. */
export async function workersHere(from?: string | URL): Promise<{ open?: () => Worker; cores: number }> {
  const cores = globalThis.navigator?.hardwareConcurrency || 1;
  if (typeof Worker !== "undefined") return { open: () => openWorker(from), cores };
  // Pages without workers have no others.
  const node = globalThis.location ? undefined : await (await import("./node_workers.ts")).nodeWorkers();
  return node ? { open: () => node.open(script()), cores: node.cores } : { cores };
}

/**
 * Where a page's or a file's address is known, workers come from a file of their own, beside this one unless another is
 * named: a strict policy allows nothing else. Elsewhere (Deno, Bun: no policy, but maybe no permission to read) they come
 * from the same text in their address.
 */
function openWorker(from?: string | URL): Worker {
  if (from !== undefined) return new Worker(from, { type: "module" });
  const { protocol = "file:" } = (globalThis as { location?: Location }).location ?? {};
  if (protocol === "file:") {
    return new Worker(`data:text/javascript,${encodeURIComponent(script())}`, { type: "module" });
  }
  // Bundlers look for exactly this expression.
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
}

/** Waits until a worker has instantiated the kernels; rejects where the platform, such as a page's policy, does not let it. */
function ready(start: () => Worker): Promise<Worker> {
  return new Promise((resolve, reject) => {
    let worker: Worker | undefined;
    const fail = (why: string) => {
      clearTimeout(timer);
      worker?.terminate();
      reject(new Error(why));
    };
    const timer = setTimeout(() => fail(`no answer in ${START_LIMIT / 1000} s`), START_LIMIT);
    try {
      worker = start();
      worker.onerror = (event) => {
        event.preventDefault();
        fail(event.message || "their file did not load (longstride.worker.js beside the bundle, or what the option `worker` names)");
      };
      worker.onmessageerror = () => fail("memory could not be shared with it");
      worker.onmessage = () => {
        clearTimeout(timer);
        resolve(worker!);
      };
    } catch (error) {
      fail((error as Error).message);
    }
  });
}
