/**
 * The worker's side of a model that works beside the page (remote_model.ts is the page's): opens it, makes tokens and sends them as they
 * come, and loads the weights again where the GPU's device is lost.
 *
 * @module
 */

import { BackendError, type BackendName, type OpenedModel, openModel, type OpenOptions, type SampleOptions } from "../mod.ts";

/** What the page asks for. */
export type Question =
  | { readonly ask: "open"; readonly source: string; readonly backend?: BackendName; readonly integrity?: OpenOptions["integrity"] }
  | { readonly ask: "sample"; readonly id: number; readonly options: SampleOptions }
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
}

/** What the worker answers. */
export type Answer =
  | { readonly is: "progress"; readonly loaded: number; readonly total: number | undefined }
  | { readonly is: "open"; readonly info: ModelInfo }
  | { readonly is: "tokens"; readonly id: number; readonly tokens: Uint32Array; readonly rate: number }
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
  let opening: Extract<Question, { ask: "open" }> | undefined, model: OpenedModel | undefined, stopped = -1, last = Promise.resolve();
  const say = (answer: Answer) => scope.postMessage(answer);
  const fail = (error: unknown, id?: number) => {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    say({ is: "error", id, name, message });
  };

  async function open(): Promise<OpenedModel> {
    const { source, backend, integrity } = opening!;
    model = await openModel(source, { backend, integrity, onProgress: (loaded, total) => say({ is: "progress", loaded, total }) });
    const { engine: { name, description }, why, config } = model;
    say({ is: "open", info: { backend: name, description, why, config } });
    return model;
  }

  async function sample(id: number, options: SampleOptions): Promise<void> {
    const given = Array.from(options.prompt ?? []), made: number[] = [];
    let posted = -Infinity, sent = 0, first = 0;
    const post = () => {
      const rate = (made.length - 1) * 1000 / Math.max(1e-3, performance.now() - first);
      if (made.length > sent) say({ is: "tokens", id, tokens: Uint32Array.from(made.slice(sent)), rate });
      sent = made.length;
      posted = performance.now();
    };
    for (let losses = 0;;) {
      try {
        // Draws depend on the position: what follows a loss is what would have come without it, within one context.
        const rest = { ...options, prompt: [...given, ...made], length: options.length - made.length };
        for await (const token of (model ?? await open()).tokens(rest)) {
          if (made.push(token) === 1) first = performance.now();
          if (performance.now() - posted < FRAME) continue;
          post();
          await turn();
          if (stopped >= id) break;
        }
        post();
        return say({ is: "end", id });
      } catch (error) {
        if (!(error instanceof BackendError) || !model || ++losses > PATIENCE) throw error;
        say({ is: "lost", message: error.message });
        model.dispose();
        model = undefined;
      }
    }
  }

  scope.onmessage = ({ data }) => {
    if (data.ask === "stop") stopped = data.id;
    else if (data.ask === "sample") {
      // A sample that was left ends within a frame; the model makes one at a time.
      last = last.then(() => sample(data.id, data.options)).catch((error) => fail(error, data.id));
    } else {
      opening = data;
      open().catch((error) => fail(error));
    }
  };
}
