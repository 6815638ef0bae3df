/**
 * The worker's side of a model that works beside the page (remote_model.ts is the page's): opens it, makes tokens and sends them as they
 * come, and loads the weights again where the GPU's device is lost.
 *
 * @module
 */

import { BackendError, type BackendName, type OpenedModel, openModel, type OpenOptions, type SampleOptions } from "../mod.ts";
import type { DataKind } from "../data.ts";
import type { Trained } from "../files.ts";
import type { Inspected, Inspector } from "./inspect.ts";

/** Where a model is. */
export interface ModelPlace {
  /** Address of its folder. */
  readonly source: string;
  /** The folder in a zip archive, instead. */
  readonly file?: Blob;
}

/** What is asked of a sample, or of several at once. */
export interface Wanted {
  readonly options: SampleOptions;
  /** Sequences at once. */
  readonly samples: number;
  /** Whether the bits of their tokens are wanted too. */
  readonly bits: boolean;
}

/** What the page asks for. */
export type Question =
  | ({ readonly ask: "open"; readonly backend?: BackendName; readonly integrity?: OpenOptions["integrity"] } & ModelPlace)
  | ({ readonly ask: "sample"; readonly id: number } & Wanted)
  | { readonly ask: "inspect"; readonly id: number; readonly tokens: readonly number[]; readonly given: number }
  | { readonly ask: "encode"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly ask: "stop"; readonly id: number };

/** What a page knows about a model. */
export interface ModelInfo {
  /** `webgpu`, `wasm` or `reference`. */
  readonly backend: string;
  /** The engine in words: the GPU's name, or the CPU's threads. */
  readonly description: string;
  /** Why that engine: one sentence. */
  readonly why: string;
  /** The model's shape. */
  readonly config: OpenedModel["config"];
  /** What its tokens stand for, where a run's zip says so. */
  readonly kind?: DataKind;
  /** Samples per second of sound, where a run's zip says so. */
  readonly rate?: number;
  /** Bytes of each token, where they are not bytes. */
  readonly pieces?: readonly Uint8Array[];
}

/** What the worker answers. */
export type Answer =
  | { readonly is: "progress"; readonly loaded: number; readonly total: number | undefined }
  | { readonly is: "open"; readonly info: ModelInfo }
  | { readonly is: "tokens"; readonly id: number; readonly tokens: Uint32Array; readonly rate: number }
  | { readonly is: "bits"; readonly id: number; readonly from: number; readonly bits: readonly Float32Array[] }
  | { readonly is: "inspected"; readonly id: number; readonly found: Inspected }
  | { readonly is: "encoded"; readonly id: number; readonly tokens: ArrayLike<number> }
  | { readonly is: "end"; readonly id: number }
  | { readonly is: "lost"; readonly message: string }
  | { readonly is: "error"; readonly id?: number; readonly name: string; readonly message: string };

/** What of a worker's global scope is used. */
export interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(answer: Answer): void;
}

/** Milliseconds of tokens in one message: about a frame, so that a page shows them as they come and is not woken more often. */
const FRAME = 16;

/** Devices lost during one sample after which it is given up. */
const PATIENCE = 3;

/** Bits of tokens are looked at after so many milliseconds, and after so many times what looking took: a fifth of the time at most. */
const LOOK = { after: 150, times: 4 };

/** Lets messages through. Not setTimeout: browsers make that 4 ms at least. */
function turns(): () => Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return () =>
    new Promise((resume) => {
      port1.onmessage = () => resume();
      port2.postMessage(0);
    });
}

/** Answers a page's questions about one model. */
export function serveModel(scope: WorkerScope): void {
  const server = new Server((answer) => scope.postMessage(answer));
  scope.onmessage = ({ data }) => server.take(data);
}

type Sampling = Extract<Question, { ask: "sample" }>;

/** Samples under way: what has come, what was sent and looked at of it. */
class Progress {
  readonly given: readonly number[];
  readonly made: readonly number[][];
  sent = 0;
  looked = 0;
  /** When the first token came, and the last message went. */
  first = 0;
  posted = -Infinity;
  /** Milliseconds spent looking, and when to look again. */
  spent = 0;
  next = 0;

  constructor({ options, samples }: Wanted) {
    this.given = Array.from(options.prompt ?? []);
    this.made = Array.from({ length: samples }, () => []);
  }

  /** Tokens of each. */
  get count(): number {
    return this.made[0].length;
  }

  /** The sequences, prompts included. */
  get sequences(): number[][] {
    return this.made.map((tokens) => [...this.given, ...tokens]);
  }

  /** What was not sent, of each in turn; it counts as sent. */
  unsent(): Uint32Array {
    const { made, sent } = this, samples = made.length;
    this.sent = this.count;
    this.posted = performance.now();
    return Uint32Array.from({ length: (this.count - sent) * samples }, (_, at) => made[at % samples][sent + Math.floor(at / samples)]);
  }

  /** Tokens per second since the first. */
  get rate(): number {
    return (this.count - 1) * this.made.length * 1000 / Math.max(1e-3, performance.now() - this.first - this.spent);
  }
}

/** One page's model. */
class Server {
  readonly #turn = turns();
  #opening: Extract<Question, { ask: "open" }> | undefined;
  #model: OpenedModel | undefined;
  #inspector: Inspector | undefined;
  #stopped = -1;
  /** The last look that was asked for: those before it are passed over. */
  #asked = -1;
  #last = Promise.resolve();

  constructor(readonly say: (answer: Answer) => void) {}

  take(question: Question): void {
    if (question.ask === "stop") this.#stopped = question.id;
    else if (question.ask === "open") {
      this.#opening = question;
      this.#open().catch((error) => this.#fail(error));
    } else {
      if (question.ask === "inspect") this.#asked = question.id;
      // A sample that was left ends within a frame; the model does one thing at a time.
      this.#last = this.#last.then(() => this.#answer(question)).catch((error) => this.#fail(error, question.id));
    }
  }

  #answer(question: Exclude<Question, { ask: "open" | "stop" }>): Promise<void> {
    return question.ask === "sample"
      ? this.#sample(question)
      : question.ask === "inspect"
      ? this.#inspect(question)
      : this.#encode(question);
  }

  #fail(error: unknown, id?: number): void {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    this.say({ is: "error", id, name, message });
  }

  async #open(): Promise<OpenedModel> {
    const { source, file, backend, integrity } = this.#opening!,
      onProgress = (loaded: number, total?: number) => this.say({ is: "progress", loaded, total });
    const trained = file && await readModelIn(file), { kind, rate } = trained?.state?.data.source ?? {};
    // The element says how: no options are asked for.
    const model = this.#model = trained
      ? await openModel(trained.model, { backend })
      : await openModel(source, { backend, integrity, onProgress, generation: {} });
    const { engine: { name, description }, why, config, tokenizer } = model,
      pieces = tokenizer && Array.from({ length: tokenizer.size }, (_, token) => tokenizer.bytesOf(token));
    this.say({ is: "open", info: { backend: name, description, why, config, kind, rate, pieces } });
    return model;
  }

  /** Frees the model, and what looks into it. */
  #close(): void {
    this.#inspector?.dispose();
    this.#model?.dispose();
    this.#model = this.#inspector = undefined;
  }

  async #inspectorOf(of: OpenedModel): Promise<Inspector> {
    return this.#inspector ??= new (await import("./inspect.ts")).Inspector(of);
  }

  async #sample(wanted: Sampling): Promise<void> {
    const { id } = wanted, progress = new Progress(wanted);
    for (let losses = 0;;) {
      try {
        await this.#goOn(this.#model ?? await this.#open(), wanted, progress);
        return this.say({ is: "end", id });
      } catch (error) {
        if (!(error instanceof BackendError) || !this.#model || ++losses > PATIENCE) throw error;
        this.say({ is: "lost", message: error.message });
        this.#close();
      }
    }
  }

  /** Makes what is missing. Draws depend on the position: what follows a loss is what would have come without it, within one context. */
  async #goOn(model: OpenedModel, { id, options, samples, bits }: Sampling, progress: Progress): Promise<void> {
    const rest = { ...options, prompt: progress.sequences, length: options.length - progress.count, batch: samples };
    for await (const tokens of model.samples(rest)) {
      tokens.forEach((token, at) => progress.made[at].push(token));
      if (progress.count === 1) progress.first = performance.now();
      if (performance.now() - progress.posted < FRAME) continue;
      this.#post(id, progress);
      if (bits && performance.now() > progress.next) await this.#look(model, id, progress);
      await this.#turn();
      if (this.#stopped >= id) break;
    }
    this.#post(id, progress);
    if (bits) await this.#look(model, id, progress);
  }

  #post(id: number, progress: Progress): void {
    const { rate } = progress, tokens = progress.unsent();
    if (tokens.length > 0) this.say({ is: "tokens", id, tokens, rate });
  }

  /** Tells the bits of what came since the last look. */
  async #look(model: OpenedModel, id: number, progress: Progress): Promise<void> {
    const begun = performance.now(), to = progress.count, start = progress.given.length, from = start + progress.looked;
    if (to === progress.looked) return;
    this.say({ is: "bits", id, from, bits: await (await this.#inspectorOf(model)).bits(progress.sequences, start, from) });
    progress.looked = to;
    const took = performance.now() - begun;
    progress.spent += took;
    progress.next = performance.now() + Math.max(LOOK.after, LOOK.times * took);
  }

  async #inspect({ id, tokens, given }: Extract<Question, { ask: "inspect" }>): Promise<void> {
    if (this.#asked > id) return this.say({ is: "end", id });
    const inspector = await this.#inspectorOf(this.#model ?? await this.#open());
    this.say({ is: "inspected", id, found: await inspector.look(tokens, given) });
  }

  async #encode({ id, bytes }: Extract<Question, { ask: "encode" }>): Promise<void> {
    const { tokenizer } = this.#model ?? await this.#open();
    this.say({ is: "encoded", id, tokens: tokenizer ? await tokenizer.encode(bytes) : bytes });
  }
}

/** The model in a zip of its folder, and its run's state, if that is there too. */
async function readModelIn(file: Blob): Promise<Trained> {
  const { readTrained, readZip } = await import("./run_zip.ts");
  return readTrained(await readZip(file, (file as Partial<File>).name ?? "the zip"));
}
