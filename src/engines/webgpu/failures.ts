/**
 * What fails on a device: kept until somebody can be told, typed, and told as the device's loss where it is lost.
 *
 * @module
 */

import { BackendError, KernelError, LongstrideError, OutOfMemoryError } from "../../base/errors.ts";
import { release } from "./memory.ts";
import { saying, scoped } from "./scopes.ts";

// How long a failure waits for the news that the device is lost, since what was under way may be told of it first: a quarter of a second,
// in turns, because one that other work makes long is one turn only.
const LOSS_TURNS = 10, LOSS_MS = 25;

/** Whom the loss of a device concerns: nobody, once its engine is disposed of. */
interface Watched {
  fail?: (error: BackendError) => void;
}

/**
 * Tells of the loss of a device. Not in a method, whose functions all keep the engine: a caller's device lives on, and would keep every
 * engine that there was, half a megabyte each.
 */
function watch(device: GPUDevice, name: string, watched: Watched): void {
  const lost = (why: string) =>
    watched.fail?.(
      new BackendError(
        `The WebGPU device (${name}) is lost, ${why}; what was on it is gone, make a new engine and load the last checkpoint`,
      ),
    );
  device.lost.then(({ reason, message }) => lost(`${reason}: ${message}`), (error) => lost(saying(error)));
}

const typed = (what: string, error: unknown): LongstrideError =>
  error instanceof LongstrideError ? error : new KernelError(`${what}: ${saying(error)}`, { cause: error });

/** The failures of one engine's device. WebGPU answers late: the next compile, run or read throws what was kept. */
export class Failures {
  /** Name of the program that ran last, for what the device says without a scope. */
  running = "no program yet";
  readonly #watched: Watched = {};
  #kept: LongstrideError | undefined;
  readonly #onError = (event: Event) => {
    const { message } = (event as GPUUncapturedErrorEvent).error;
    const whose = this.owned ? "" : " (or other work on the caller's device)";
    this.fail(new KernelError(`WebGPU failed, last run was ${this.running}${whose}: ${message}`));
  };

  /** @param owned whether nobody else uses the device */
  constructor(readonly device: GPUDevice, readonly owned: boolean) {}

  /** Hears from now on what the device says. */
  listen(name: string): void {
    this.device.addEventListener("uncapturederror", this.#onError);
    this.#watched.fail = (error) => this.fail(error);
    watch(this.device, name, this.#watched);
  }

  /** Hears nothing more; whatever is tried from now on fails. */
  dispose(): void {
    release({ destroy: () => this.device.removeEventListener("uncapturederror", this.#onError) });
    this.#watched.fail = undefined;
    this.fail(new BackendError("Cannot use this WebGPU engine: it has been disposed"));
  }

  /** What is kept. */
  get kept(): LongstrideError | undefined {
    return this.#kept;
  }

  /** Keeps the first failure; a lost device outweighs what follows from it. */
  fail(error: LongstrideError): void {
    if (!this.#kept || (error instanceof BackendError && !this.#gone)) this.#kept = error;
  }

  /** Forgets a failure that was mended, if it is the one kept; whether it was. */
  mend(error: LongstrideError): boolean {
    if (error !== this.#kept) return false;
    this.#kept = undefined;
    return true;
  }

  /** Keeps a failure that says more in the place of the one kept. */
  replace(error: LongstrideError): void {
    this.#kept = error;
  }

  /** Throws a failure once: what is on the device can still be read and saved after it, unless the device is lost. */
  check(): void {
    const failure = this.#kept;
    if (failure && !this.#gone) this.#kept = undefined;
    if (failure) throw failure;
  }

  /** The loss of the device. */
  get #gone(): BackendError | undefined {
    return this.#kept instanceof BackendError ? this.#kept : undefined;
  }

  /**
   * Does work on the device, begun at once. Every error comes out typed, as that of a lost device where it is lost: a call may fail of
   * it before the device says so.
   */
  async guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      this.check();
      return await work();
    } catch (error) {
      const failure = typed(what, error);
      if (!(failure instanceof KernelError || failure instanceof OutOfMemoryError)) throw failure;
      for (let turn = 0; turn < LOSS_TURNS && !this.#gone; turn++) await new Promise((resume) => setTimeout(resume, LOSS_MS));
      throw this.#gone ?? failure;
    }
  }

  /** Does work whose failure on the device the next compile, run or read tells. */
  later(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof LongstrideError && !(error instanceof KernelError)) throw error;
      this.fail(typed(what, error));
    }
  }

  /** Runs `make` inside validation and out-of-memory scopes; returns with what they caught, once their verdict is in. */
  scoped<T>(what: string, make: () => T): [T, Promise<LongstrideError | undefined>] {
    const [made, scopes] = scoped(this.device, ["validation", "out-of-memory"], make);
    return [made, this.#note(what, scopes)];
  }

  /** Notes what error scopes caught, and names what it was about. */
  async #note(what: string, scopes: Promise<(GPUError | null)[]>): Promise<LongstrideError | undefined> {
    let noted: LongstrideError | undefined;
    const errors = await scopes.catch((error) => [new Error(`its error scope gave no answer: ${saying(error)}`)]);
    for (const error of errors) {
      if (!error) continue;
      const memory = error.constructor.name === "GPUOutOfMemoryError";
      noted = memory ? new OutOfMemoryError(`Out of GPU memory: ${what}: ${error.message}`) : new KernelError(`${what}: ${error.message}`);
      this.fail(noted);
    }
    return noted;
  }
}
