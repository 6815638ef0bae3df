/**
 * What every thread of the CPU engine runs: the loop that takes tickets, and the worker's end of a thread's life. Both
 * functions name nothing outside themselves, for they may be sent to workers as text (see threads.ts).
 *
 * @module
 */

/** Words of the control block. Tickets count on through all runs, modulo 2³². */
export const CONTROL = {
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
  /** Followed by one word per thread: 1 while its worker is there. */
  present: 11,
} as const;

/** Everything a thread needs to start. */
export interface Setup {
  readonly memory: WebAssembly.Memory;
  readonly control: Int32Array;
  readonly at: typeof CONTROL;
  readonly names: readonly string[];
  /** Number of the thread, from 0. */
  readonly index: number;
  /** Whether the thread may block: a page's main thread may not. */
  readonly canWait: boolean;
}

/** What a worker is sent first. */
export interface Start {
  /** The kernels, compiled for shared memory. */
  readonly module: WebAssembly.Module;
  readonly setup: Setup;
  /** Milliseconds without a run after which the worker leaves. */
  readonly patience: number;
}

/** The kernels of one instance. */
export type Exports = { readonly [name: string]: (...args: number[]) => unknown };

/**
 * Makes the loop that every thread runs: `work()` helps with the current run until no ticket is left, or until a time
 * (of performance.now()) has come, and answers whether none is left.
 *
 * A plan in memory is f64 words: for each call kernel, units, grain, whether it begins with the call before it,
 * count of arguments, arguments.
 */
export function makeThread(setup: Setup, exports: Exports): { work(until: number): boolean } {
  const { memory, control, at, names, index, canWait } = setup;
  type Step = { kernel: (...args: number[]) => unknown; units: number; grain: number; args: number[]; first: number; after: number };
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
      const units = words[i + 1], grain = words[i + 2], next = i + 5 + words[i + 4], args = Array.from(words.subarray(i + 5, next));
      // Tickets that must be done before: none of the calls that began together has, so their number tells which.
      const after = words[i + 3] ? made[made.length - 1].after : ticket;
      made.push({ kernel: exports[names[words[i]]], units, grain, args, first: ticket, after });
      ticket += Math.ceil(units / grain);
      i = next;
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
      const { kernel, units, grain, args, first, after } = steps[step];
      for (let spins = 0;; spins++) {
        const done = Atomics.load(control, at.done);
        if (((done - base - after) | 0) >= 0) break;
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

/** What a worker runs. One that nobody needs for a while leaves, so that it keeps no process alive. */
export function workerMain(make: typeof makeThread): void {
  const scope = globalThis as unknown as {
    onmessage: (event: MessageEvent<Start>) => void;
    postMessage(message: string): void;
    close(): void;
  };
  scope.onmessage = async ({ data: { module, setup, patience } }) => {
    const { memory, control, at, index } = setup;
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
      if (Atomics.wait(control, at.end, seen, patience) === "timed-out") break;
    }
    // The last thing it does: another worker may take its number from here on.
    Atomics.store(control, at.present + index, 0);
    scope.close();
  };
}
