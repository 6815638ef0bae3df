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
  const turn = turns();
  let opening: Extract<Question, { ask: "open" }> | undefined, model: OpenedModel | undefined, inspector: Inspector | undefined;
  let stopped = -1, asked = -1, last = Promise.resolve();
  const say = (answer: Answer) => scope.postMessage(answer);
  const fail = (error: unknown, id?: number) => {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    say({ is: "error", id, name, message });
  };

  async function open(): Promise<OpenedModel> {
    const { source, file, backend, integrity } = opening!,
      onProgress = (loaded: number, total?: number) => say({ is: "progress", loaded, total });
    const trained = file && await readModelIn(file), { kind, rate } = trained?.state?.data.source ?? {};
    // The element says how: no options are asked for.
    model = trained
      ? await openModel(trained.model, { backend })
      : await openModel(source, { backend, integrity, onProgress, generation: {} });
    const { engine: { name, description }, why, config, tokenizer } = model,
      pieces = tokenizer && Array.from({ length: tokenizer.size }, (_, token) => tokenizer.bytesOf(token));
    say({ is: "open", info: { backend: name, description, why, config, kind, rate, pieces } });
    return model;
  }

  /** Frees the model, and what looks into it. */
  function close(): void {
    inspector?.dispose();
    model?.dispose();
    model = inspector = undefined;
  }

  async function inspectorOf(of: OpenedModel): Promise<Inspector> {
    return inspector ??= new (await import("./inspect.ts")).Inspector(of);
  }

  async function sample(id: number, { options, samples, bits }: Wanted): Promise<void> {
    const given = Array.from(options.prompt ?? []), made = Array.from({ length: samples }, (): number[] => []), start = given.length;
    let posted = -Infinity, sent = 0, first = 0, looked = 0, spent = 0, next = 0;
    const count = () => made[0].length;
    const post = () => {
      const rate = (count() - 1) * samples * 1000 / Math.max(1e-3, performance.now() - first - spent);
      const tokens = Uint32Array.from(
        { length: (count() - sent) * samples },
        (_, at) => made[at % samples][sent + Math.floor(at / samples)],
      );
      if (tokens.length > 0) say({ is: "tokens", id, tokens, rate });
      sent = count();
      posted = performance.now();
    };
    const look = async (of: OpenedModel) => {
      const begun = performance.now(), to = count();
      if (to === looked) return;
      const found = await (await inspectorOf(of)).bits(made.map((tokens) => [...given, ...tokens]), start, start + looked);
      say({ is: "bits", id, from: start + looked, bits: found });
      looked = to;
      const took = performance.now() - begun;
      spent += took;
      next = performance.now() + Math.max(LOOK.after, LOOK.times * took);
    };
    for (let losses = 0;;) {
      try {
        const of = model ?? await open();
        // Draws depend on the position: what follows a loss is what would have come without it, within one context.
        const rest = { ...options, prompt: made.map((tokens) => [...given, ...tokens]), length: options.length - count(), batch: samples };
        for await (const tokens of of.samples(rest)) {
          tokens.forEach((token, at) => made[at].push(token));
          if (count() === 1) first = performance.now();
          if (performance.now() - posted < FRAME) continue;
          post();
          if (bits && performance.now() > next) await look(of);
          await turn();
          if (stopped >= id) break;
        }
        post();
        if (bits) await look(of);
        return say({ is: "end", id });
      } catch (error) {
        if (!(error instanceof BackendError) || !model || ++losses > PATIENCE) throw error;
        say({ is: "lost", message: error.message });
        close();
      }
    }
  }

  async function inspect({ id, tokens, given }: Extract<Question, { ask: "inspect" }>): Promise<void> {
    if (asked > id) return say({ is: "end", id });
    say({ is: "inspected", id, found: await (await inspectorOf(model ?? await open())).look(tokens, given) });
  }

  async function encode({ id, bytes }: Extract<Question, { ask: "encode" }>): Promise<void> {
    const { tokenizer } = model ?? await open();
    say({ is: "encoded", id, tokens: tokenizer ? await tokenizer.encode(bytes) : bytes });
  }

  const answer = (question: Exclude<Question, { ask: "open" | "stop" }>) =>
    question.ask === "sample" ? sample(question.id, question) : question.ask === "inspect" ? inspect(question) : encode(question);

  scope.onmessage = ({ data }) => {
    if (data.ask === "stop") stopped = data.id;
    else if (data.ask === "open") {
      opening = data;
      open().catch((error) => fail(error));
    } else {
      if (data.ask === "inspect") asked = data.id;
      // A sample that was left ends within a frame; the model does one thing at a time.
      last = last.then(() => answer(data)).catch((error) => fail(error, data.id));
    }
  };
}

/** The model in a zip of its folder, and its run's state, if that is there too. */
async function readModelIn(file: Blob): Promise<Trained> {
  const { readTrained, readZip } = await import("./run_zip.ts");
  return readTrained(await readZip(file, (file as Partial<File>).name ?? "the zip"));
}
