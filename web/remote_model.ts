/**
 * The page's side of a model that works in a worker: the page stays responsive whatever the model costs.
 *
 * @module
 */

import {
  BackendError,
  type BackendName,
  CheckpointError,
  ConfigError,
  DataError,
  KernelError,
  LongstrideError,
  type OpenOptions,
  OutOfMemoryError,
  type SampleOptions,
  ShapeError,
} from "../mod.ts";
import type { Inspected } from "./inspect.ts";
import type { Answer, ModelInfo, Question } from "./model_worker.ts";

/** Choices of {@linkcode RemoteModel.open}. */
export interface RemoteOptions {
  /** Which engine; default `auto`: WebGPU where there is a GPU for it, WASM otherwise. */
  readonly backend?: BackendName;
  /** What the model's files must hash to; see `OpenOptions`. */
  readonly integrity?: OpenOptions["integrity"];
  /** Gives up opening, download and all; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as the weights arrive, from the network or a cache: bytes so far, and the true total once the file's header is there. */
  readonly onProgress?: (loaded: number, total: number | undefined) => void;
  /** Called where the GPU's device is lost, before the weights are loaded again. */
  readonly onLost?: (message: string) => void;
  /** Called when the model is open, and again when it has been loaded again after a loss, perhaps on another engine. */
  readonly onOpen?: (info: ModelInfo) => void;
  /** Address of the worker's script, of the page's own origin; default `longstride-sample.worker.js` beside this script. */
  readonly worker?: string | URL;
}

const ERRORS: Readonly<Record<string, new (message: string) => LongstrideError>> = {
  BackendError,
  CheckpointError,
  ConfigError,
  DataError,
  KernelError,
  OutOfMemoryError,
  ShapeError,
};

/** An error as it was before it went through a message. */
const errorOf = ({ name, message }: { name: string; message: string }) => new (ERRORS[name] ?? LongstrideError)(message);

/** Tokens that came together. */
export interface Piece {
  /** The tokens; of several samples one of each in turn. */
  readonly tokens: Uint32Array;
  /** Tokens per second since the first, by the worker's clock, of all samples together; 0 with the first. */
  readonly rate: number;
}

/** What {@linkcode RemoteModel.tokens} makes, and what it tells beside the tokens. */
export interface RemoteSampleOptions extends SampleOptions {
  /** Samples at once, default 1. */
  readonly samples?: number;
  /**
   * Called soon after tokens came, and before the end: −log₂ of their probabilities at temperature 1, of each sample, from that token of its
   * sequence on, prompt included.
   */
  readonly onBits?: (from: number, bits: readonly Float32Array[]) => void;
}

/** A sample under way. */
interface Sampling {
  readonly id: number;
  readonly pieces: Piece[];
  readonly onBits: RemoteSampleOptions["onBits"];
  ended: boolean;
  error?: unknown;
  wake(): void;
}

/** A model in a worker of its own. One sample at a time. Dispose of it when done: that ends the worker. */
export class RemoteModel {
  readonly #worker: Worker;
  readonly #options: RemoteOptions;
  #info: ModelInfo | undefined;
  #sampling: Sampling | undefined;
  #asked = 0;
  /** Questions with one answer that have not got it. */
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(reason: unknown): void }>();
  #opened: { resolve(): void; reject(reason: unknown): void } | undefined;
  #failure: unknown;

  private constructor(worker: Worker, options: RemoteOptions) {
    this.#worker = worker;
    this.#options = options;
    worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#take(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(new BackendError(`The model's worker failed: ${event.message || "its script could not be loaded"}`));
    };
  }

  /**
   * Opens a model folder (`config.json`, `model.safetensors`) in a new worker.
   *
   * @param source address of the folder, relative to the page, or the folder in a zip archive
   * @throws {BackendError} where there can be no worker, or not the engine asked for
   * @throws {ConfigError} {@linkcode DataError} {@linkcode CheckpointError} as `openModel`
   */
  static async open(source: string | URL | Blob, options: RemoteOptions = {}): Promise<RemoteModel> {
    const { backend, integrity, signal } = options;
    signal?.throwIfAborted();
    let worker: Worker;
    try {
      worker = options.worker === undefined
        // As bundlers know it: they find the file by these words, and put it where its address then leads.
        ? new Worker(new URL("./sample_worker.ts", import.meta.url), { type: "module" })
        : new Worker(new URL(options.worker, document.baseURI), { type: "module" });
    } catch (cause) {
      throw new BackendError(
        `Cannot start the model's worker: ${
          (cause as Error).message
        }; it must be of the page's own origin: put longstride-sample.worker.js ` +
          `and the files that it imports there, and give its address as worker`,
        { cause },
      );
    }
    const model = new RemoteModel(worker, options), abort = () => model.#end(signal!.reason);
    signal?.addEventListener("abort", abort);
    try {
      await new Promise<void>((resolve, reject) => {
        model.#opened = { resolve, reject };
        const place = source instanceof Blob ? { source: "", file: source } : { source: new URL(source, document.baseURI).href };
        model.#ask({ ask: "open", ...place, backend, integrity });
      });
      return model;
    } catch (error) {
      model.dispose();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** What it is and where it runs. */
  get info(): ModelInfo {
    return this.#info!;
  }

  /**
   * Streams tokens, as many at a time as have come. Leaving the loop ends the sample.
   *
   * @throws {ConfigError} {@linkcode ShapeError} where an option is out of range
   * @throws {BackendError} where the device was lost more often than reloading helps, or the model was disposed of
   */
  async *tokens({ samples = 1, onBits, ...options }: RemoteSampleOptions): AsyncGenerator<Piece> {
    if (this.#failure) throw this.#failure;
    if (this.#sampling) throw new ConfigError("Cannot sample: the model's last sample has not ended; leave its loop first");
    const id = ++this.#asked;
    let woken: () => void = () => {};
    const sampling: Sampling = this.#sampling = { id, pieces: [], onBits, ended: false, wake: () => woken() };
    this.#ask({ ask: "sample", id, samples, bits: !!onBits, options: { ...options, prompt: Uint32Array.from(options.prompt ?? []) } });
    try {
      while (true) {
        while (sampling.pieces.length > 0) yield sampling.pieces.shift()!;
        if (sampling.error) throw sampling.error;
        if (sampling.ended) return;
        await new Promise<void>((resolve) => woken = resolve);
      }
    } finally {
      this.stop();
      this.#sampling = undefined;
    }
  }

  /**
   * Looks at the last token of a sequence: its bits, its likeliest others, what the heads read. It waits for a sample under way.
   *
   * @param tokens prompt included
   * @param given tokens of the prompt
   * @returns undefined where another look was asked for before this one's turn came
   * @throws {ShapeError} where a token is outside the vocabulary
   */
  async inspect(tokens: readonly number[], given: number): Promise<Inspected | undefined> {
    const answer = await this.#answer((id) => ({ ask: "inspect", id, tokens, given }));
    return answer.is === "inspected" ? answer.found : undefined;
  }

  /** The tokens of bytes: the bytes themselves, or what the model's tokenizer makes of them. It waits for a sample under way. */
  async encode(bytes: Uint8Array): Promise<ArrayLike<number>> {
    if (!this.info.pieces) return bytes;
    const answer = await this.#answer((id) => ({ ask: "encode", id, bytes }));
    return answer.is === "encoded" ? answer.tokens : [];
  }

  #answer(question: (id: number) => Question): Promise<Answer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#ask(question(id));
    });
  }

  /** Ends the sample under way, if any: its loop ends at once, the worker within a frame. */
  stop(): void {
    if (!this.#sampling || this.#sampling.ended) return;
    this.#ask({ ask: "stop", id: this.#sampling.id });
    this.#sampling.ended = true;
    this.#sampling.wake();
  }

  /**
   * Ends the worker, and with it everything the model has.
   *
   * @param reason what a sample under way is rejected with
   */
  dispose(reason: unknown = new BackendError("Cannot go on: the model was disposed of")): void {
    this.#end(reason);
  }

  #ask(question: Question): void {
    this.#worker.postMessage(question);
  }

  #take(answer: Answer): void {
    const sampling = this.#sampling;
    switch (answer.is) {
      case "progress":
        return this.#options.onProgress?.(answer.loaded, answer.total);
      case "open":
        this.#info = answer.info;
        this.#options.onOpen?.(answer.info);
        return this.#opened?.resolve();
      case "lost":
        return this.#options.onLost?.(answer.message);
      case "error":
        if (answer.id === undefined) return this.#end(errorOf(answer));
    }
    const waiting = this.#waiting.get(answer.id!);
    if (waiting) {
      this.#waiting.delete(answer.id!);
      return answer.is === "error" ? waiting.reject(errorOf(answer)) : waiting.resolve(answer);
    }
    // What a sample that was left still sends is nobody's.
    if (!sampling || answer.id !== sampling.id) return;
    if (answer.is === "bits") return sampling.onBits?.(answer.from, answer.bits);
    if (answer.is === "tokens") sampling.pieces.push({ tokens: answer.tokens, rate: answer.rate });
    else sampling.ended = true;
    if (answer.is === "error") sampling.error = errorOf(answer);
    sampling.wake();
  }

  #end(reason: unknown): void {
    if (this.#failure) return;
    this.#failure = reason;
    this.#worker.terminate();
    this.#opened?.reject(reason);
    for (const { reject } of this.#waiting.values()) reject(reason);
    if (!this.#sampling) return;
    Object.assign(this.#sampling, { ended: true, error: reason });
    this.#sampling.wake();
  }
}
