/**
 * `<longstride-sample src="model/">`: an element that loads a model folder (`config.json`, `model.safetensors`) and makes text,
 * images or sound with it. The model works in a worker; the page stays responsive.
 *
 *     deno task bundle      # dist/longstride-sample.js, and the chunks that it imports
 *
 * ```html
 * <script type="module" src="longstride-sample.js"></script>
 * <longstride-sample src="model/" prompt="Once upon a time" length="400" temperature="0.8"></longstride-sample>
 * ```
 *
 * Its worker is `longstride-sample.worker.js` beside it, which must come from the page's own origin. There is no blob worker, and no text
 * is evaluated; a policy of `script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'` is enough.
 *
 * @module
 */

import { type BackendName, ConfigError, encodeText } from "../mod.ts";
import { type DataKind, encodeWav, mulawAmplitude, SOUND_RATE, TextStream } from "../data.ts";
import type { ModelInfo } from "./model_worker.ts";
import { RemoteModel } from "./remote_model.ts";

export { type ModelInfo, RemoteModel };
export type { Piece, RemoteOptions } from "./remote_model.ts";

/** What a sample came to. */
export interface Sampled {
  /** All that was made, prompt not included. */
  readonly tokens: Uint8Array;
  /** The same as text, where it is text. */
  readonly text?: string;
  /** A picture (PNG) or a sound (WAV), prompt included, where it is one. */
  readonly file?: Blob;
  /** The seed that makes it again. */
  readonly seed: number;
  /** Tokens a second, from the first to the last. */
  readonly tokensPerSecond: number;
  /** Whether it was stopped before its length. */
  readonly stopped: boolean;
}

const STYLE = `
:host { display: block; color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
:host([hidden]) { display: none }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem; min-height: 2.25rem }
button { font: inherit; min-width: 5.5rem; padding: .3rem .9rem; border: 1px solid GrayText; border-radius: .4rem;
  background: ButtonFace; color: ButtonText; cursor: pointer }
button:hover { border-color: currentColor }
:focus-visible { outline: 2px solid Highlight; outline-offset: 2px }
progress { flex: 1 1 8rem; max-width: 18rem; accent-color: Highlight }
.rate { font-size: .85rem; font-variant-numeric: tabular-nums; opacity: .8 }
.made { margin: .6rem 0 }
pre { margin: 0; min-height: 3em; padding: .7rem .9rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; font: .9rem/1.5 ui-monospace, monospace }
pre b { font-weight: 600 }
canvas { display: block; width: 100%; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: .4rem }
canvas.image { max-width: 256px; image-rendering: pixelated; background: #8884 }
canvas.wave { max-width: 640px; height: 96px }
audio { display: block; width: 100%; max-width: 640px; margin-top: .5rem }
p { margin: 0; font-size: .85rem }
.about { opacity: .8 }
.error { color: #b00020; font-weight: 600 }
@media (prefers-color-scheme: dark) { .error { color: #ff8a94 } }
[hidden] { display: none !important }`;

const CONTENT = `<div class="bar" part="bar"><button type="button" part="button"></button>
<progress part="progress" aria-label="Model download" hidden></progress><span class="rate" part="rate"></span>
<a part="save" hidden></a></div>
<div class="made" part="made"></div>
<p role="status" part="status"></p><p role="alert" class="error" part="error" hidden></p><p class="about" part="about"></p>`;

/** What the button says, what is said while it works, and what the result is called. */
const WORDS: Readonly<Record<DataKind, { readonly make: string; readonly making: string; readonly result: string }>> = {
  text: { make: "Write", making: "Writing", result: "Text" },
  bytes: { make: "Write", making: "Writing", result: "Bytes" },
  image: { make: "Paint", making: "Painting", result: "Image" },
  audio: { make: "Compose", making: "Composing", result: "Sound" },
};

const whole = (x: number) => Math.round(x).toLocaleString("en");
const kilobytes = (bytes: number) => `${whole(bytes / 1000)} kB`;

/** Shows tokens of one kind as they come. */
interface Shower {
  /** Answers the text that these complete, where it is text. */
  show(tokens: Uint8Array): string | undefined;
  end(): Promise<{ text?: string; file?: Blob; name?: string }>;
}

/** Characters of a block of text: a browser lays out a whole block when a character is added to it. */
const BLOCK = 1000;

/** Text: what was given in bold, then what comes. */
function textShower(made: HTMLElement, prompt: Uint8Array): Shower {
  const pre = document.createElement("pre"), given = document.createElement("b"), before = new TextStream(), stream = new TextStream();
  let block = document.createElement("div"), node = document.createTextNode(""), text = "";
  given.textContent = before.push(prompt) + before.end();
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", "Text");
  block.append(given, node);
  pre.append(block);
  made.replaceChildren(pre);
  const add = (piece: string): string => {
    text += piece;
    const cut = node.length + piece.length > BLOCK ? piece.indexOf("\n") : -1;
    if (cut < 0 || node.length + cut === 0) node.appendData(piece);
    else {
      // The end of a block stands for the line's.
      node.appendData(piece.slice(0, cut));
      block = document.createElement("div");
      block.append(node = document.createTextNode(piece.slice(cut + 1)));
      pre.append(block);
    }
    return piece;
  };
  return {
    show: (tokens) => add(stream.push(tokens)),
    end: () => {
      add(stream.end());
      return Promise.resolve({ text });
    },
  };
}

/** An image: each pixel when all its channels are there. */
function imageShower(made: HTMLElement, prompt: Uint8Array, [height, width, channels]: readonly number[]): Shower {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d")!;
  Object.assign(canvas, { width, height, className: "image" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Image of ${width} by ${height} pixels, not painted yet`);
  made.replaceChildren(canvas);
  const row: number[] = [], pixels = context.createImageData(width, height);
  let painted = 0;
  const show = (tokens: Uint8Array): undefined => {
    row.push(...tokens);
    const from = painted;
    for (; (painted + 1) * channels <= row.length && painted < width * height; painted++) {
      const at = painted * channels;
      pixels.data.set([row[at], row[at + (channels === 3 ? 1 : 0)], row[at + (channels === 3 ? 2 : 0)], 255], painted * 4);
    }
    if (painted > from) {
      const top = Math.floor(from / width), bottom = Math.ceil(painted / width);
      context.putImageData(pixels, 0, 0, 0, top, width, bottom - top);
    }
  };
  show(prompt);
  return {
    show,
    end: async () => {
      const share = Math.round(painted / (width * height) * 100);
      canvas.setAttribute("aria-label", `Image of ${width} by ${height} pixels${share < 100 ? `, ${share} % painted` : ""}`);
      const file = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
      return file ? { file, name: "sample.png" } : {};
    },
  };
}

/** Sound: its wave as samples come, then something to play it with. */
function soundShower(made: HTMLElement, prompt: Uint8Array, length: number, rate: number, autoplay: boolean): Shower {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d")!, width = 640, height = 96;
  Object.assign(canvas, { width, height, className: "wave" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Waveform of ${(length / rate).toFixed(2)} seconds`);
  made.replaceChildren(canvas);
  const codes: number[] = [];
  const show = (tokens: Uint8Array): undefined => {
    const ratio = width / length, from = Math.max(0, Math.floor((codes.length - 1) * ratio));
    codes.push(...tokens);
    context.fillStyle = getComputedStyle(canvas).color;
    // One bar a column from its least sample to its largest, the last one again.
    for (let x = from; x < codes.length * ratio; x++) {
      const column = codes.slice(Math.floor(x / ratio), Math.max(Math.floor(x / ratio) + 1, Math.floor((x + 1) / ratio)));
      const levels = column.map(mulawAmplitude), high = Math.max(...levels), low = Math.min(...levels);
      context.clearRect(x, 0, 1, height);
      context.fillRect(x, (1 - high) / 2 * (height - 1), 1, Math.max(1, (high - low) / 2 * height));
    }
  };
  show(prompt);
  return {
    show,
    end: async () => {
      if (codes.length === 0) return {};
      const file = new Blob([await encodeWav(Uint8Array.from(codes), rate)], { type: "audio/wav" }),
        audio = document.createElement("audio");
      Object.assign(audio, { controls: true, autoplay, src: URL.createObjectURL(file) });
      audio.setAttribute("aria-label", "Sound");
      made.append(audio);
      return { file, name: "sample.wav" };
    },
  };
}

/** The shadow tree, by the names of its parts. */
interface Parts {
  readonly button: HTMLButtonElement;
  readonly progress: HTMLProgressElement;
  readonly rate: HTMLElement;
  readonly save: HTMLAnchorElement;
  readonly made: HTMLElement;
  readonly status: HTMLElement;
  readonly error: HTMLElement;
  readonly about: HTMLElement;
}

/** The element's attributes, for those who write it in JSX; what each means is {@linkcode LongstrideSample}'s to say. */
export interface LongstrideSampleAttributes {
  readonly src?: string;
  readonly prompt?: string;
  readonly length?: number | string;
  readonly temperature?: number | string;
  readonly "top-k"?: number | string;
  readonly "top-p"?: number | string;
  readonly seed?: number | string;
  readonly backend?: BackendName;
  readonly kind?: DataKind;
  readonly rate?: number | string;
  readonly integrity?: string;
  readonly worker?: string;
  readonly autoplay?: boolean | "";
}

declare global {
  interface HTMLElementTagNameMap {
    /** Makes text, images or sound with a model. */
    "longstride-sample": LongstrideSample;
  }
  /** JSX of those that look for its elements here; React does in a namespace of its own: `import type {} from "@longstride/longstride/react"`. */
  namespace JSX {
    interface IntrinsicElements {
      /** Makes text, images or sound with a model. */
      "longstride-sample": LongstrideSampleAttributes & {
        readonly [attribute: `aria-${string}` | `data-${string}`]: unknown;
        readonly id?: string;
        readonly class?: string;
        readonly className?: string;
        readonly style?: unknown;
        readonly hidden?: boolean;
        readonly key?: unknown;
        readonly ref?: unknown;
        readonly children?: unknown;
      };
    }
  }
}

/** Where there is no page, as on a server, the class is there, but no element. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/**
 * The element. Attributes, each also a property; what makes a sample is read when one begins:
 *
 * | attribute     | property      | default |                                                                            |
 * | ------------- | ------------- | ------- | -------------------------------------------------------------------------- |
 * | `src`         | `src`         |         | the model's folder, relative to the page                                   |
 * | `prompt`      | `prompt`      | empty   | text to go on from; `promptTokens` (a property) for anything else          |
 * | `length`      | `length`      | 256     | tokens to make; of images and sounds what fills the model's context        |
 * | `temperature` | `temperature` | 1       | 0 takes the likeliest                                                      |
 * | `top-k`       | `topK`        | 0       | only the k likeliest; 0 is all                                             |
 * | `top-p`       | `topP`        | 1       | only the likeliest that together reach this probability                    |
 * | `seed`        | `seed`        | a new one each time | same seed, same sample on one engine                           |
 * | `backend`     | `backend`     | `auto`  | `webgpu`, `wasm`; `auto` takes WebGPU where there is a GPU for it          |
 * | `kind`        | `kind`        | `image` where the model's positions are an image's, else `text` | or `audio`         |
 * | `rate`        | `rate`        | 12000   | samples a second of sound                                                  |
 * | `integrity`   | `integrity`   |         | `model.safetensors:sha256-… config.json:sha256-…`: other files are refused |
 * | `worker`      | `worker`      | `longstride-sample.worker.js` beside this script | its address on the page's own origin, where this script is of another |
 * | `autoplay`    |               |         | sound plays when it is ready                                               |
 *
 * Events: `progress` (a `ProgressEvent` of the download), `load` and `devicelost` and `tokens` (`CustomEvent`s with
 * {@linkcode ModelInfo}, `{ message }` and `{ tokens, text }` as detail), `end` (with {@linkcode Sampled}), `error` (an `ErrorEvent`).
 * Escape stops. To draw by other means listen to `tokens`, or use {@linkcode RemoteModel} without an element.
 */
export class LongstrideSample extends Base {
  /** What the element answers to at once. */
  static readonly observedAttributes = ["src", "backend", "integrity", "kind", "worker"];

  readonly #parts: Parts;
  #promptTokens: Uint8Array | undefined;
  #model: RemoteModel | undefined;
  #loading: Promise<RemoteModel> | undefined;
  #sampling: Promise<Sampled> | undefined;
  #cancel = new AbortController();
  #stop: (() => void) | undefined;
  readonly #hide = () => this.#release();

  /** Makes its shadow tree. */
  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true }), sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = CONTENT;
    this.#parts = Object.fromEntries(
      [...root.querySelectorAll("[part]")].map((part) => [part.getAttribute("part"), part]),
    ) as unknown as Parts;
    this.#parts.button.onclick = () => this.#busy ? this.stop() : void this.sample().catch(() => {});
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#busy) this.stop();
    });
    this.#show();
  }

  /** Where the engine is, once it is open. */
  get info(): ModelInfo | undefined {
    return this.#model?.info;
  }

  get src(): string {
    return this.getAttribute("src") ?? "";
  }
  set src(value: string) {
    this.setAttribute("src", value);
  }
  get prompt(): string {
    return this.getAttribute("prompt") ?? "";
  }
  set prompt(value: string) {
    this.setAttribute("prompt", value);
  }
  /** Tokens to go on from instead of a prompt of text: the upper part of an image, the beginning of a sound. */
  get promptTokens(): Uint8Array | undefined {
    return this.#promptTokens;
  }
  set promptTokens(value: Uint8Array | undefined) {
    this.#promptTokens = value;
  }
  get length(): number | undefined {
    return this.#number("length");
  }
  set length(value: number | undefined) {
    this.#set("length", value);
  }
  get temperature(): number {
    return this.#number("temperature") ?? 1;
  }
  set temperature(value: number | undefined) {
    this.#set("temperature", value);
  }
  get topK(): number {
    return this.#number("top-k") ?? 0;
  }
  set topK(value: number | undefined) {
    this.#set("top-k", value);
  }
  get topP(): number {
    return this.#number("top-p") ?? 1;
  }
  set topP(value: number | undefined) {
    this.#set("top-p", value);
  }
  get seed(): number | undefined {
    return this.#number("seed");
  }
  set seed(value: number | undefined) {
    this.#set("seed", value);
  }
  get rate(): number {
    return this.#number("rate") ?? SOUND_RATE;
  }
  set rate(value: number | undefined) {
    this.#set("rate", value);
  }
  get backend(): BackendName {
    return (this.getAttribute("backend") || "auto") as BackendName;
  }
  set backend(value: BackendName) {
    this.setAttribute("backend", value);
  }
  get integrity(): string {
    return this.getAttribute("integrity") ?? "";
  }
  set integrity(value: string) {
    this.setAttribute("integrity", value);
  }
  get worker(): string | undefined {
    return this.getAttribute("worker") ?? undefined;
  }
  set worker(value: string | undefined) {
    this.#set("worker", value);
  }
  /** What tokens stand for: the attribute, or what the model's positions tell once it is open. */
  get kind(): DataKind {
    const given = this.getAttribute("kind");
    if (given !== null && Object.hasOwn(WORDS, given)) return given as DataKind;
    return this.#shape ? "image" : "text";
  }
  set kind(value: DataKind | undefined) {
    this.#set("kind", value);
  }

  /**
   * Loads the model, where that has not happened.
   *
   * @param options a signal gives up: the promise is then rejected with its reason
   * @returns what it is and where it runs
   */
  async load({ signal }: { signal?: AbortSignal } = {}): Promise<ModelInfo> {
    try {
      return (await abortable(this.#load(), signal, () => this.#release())).info;
    } catch (error) {
      throw this.#report(error);
    }
  }

  /**
   * Loads the model where that has not happened, and makes a sample, shown as it comes.
   *
   * @param options a signal gives up, while loading too: the promise is then rejected with its reason. {@linkcode stop} instead
   * ends the sample and gives what there is.
   * @returns the sample; a second call while one is under way answers with that one's
   */
  sample({ signal }: { signal?: AbortSignal } = {}): Promise<Sampled> {
    return this.#sampling ??= this.#follow(signal).finally(() => {
      this.#sampling = this.#stop = undefined;
      this.#show();
    });
  }

  /** Ends the sample under way within a frame; while the model still loads it ends that, and the promise is rejected. */
  stop(): void {
    if (this.#stop) this.#stop();
    else if (this.#busy) this.#release(new DOMException("Stopped while loading", "AbortError"));
  }

  /** Ends the worker where what it loaded is no longer what is asked for. */
  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (name !== "kind" && before !== now && (this.#model || this.#loading)) {
      this.#release(new DOMException(`The element's ${name} was changed`, "AbortError"));
    }
    this.#show();
  }

  /** Takes up properties that were set before the element was defined. */
  connectedCallback(): void {
    for (const name of Object.keys(this)) {
      const value = (this as Record<string, unknown>)[name];
      if (!(name in LongstrideSample.prototype)) continue;
      delete (this as Record<string, unknown>)[name];
      (this as Record<string, unknown>)[name] = value;
    }
    // A page that is kept for the back button keeps its workers.
    globalThis.addEventListener("pagehide", this.#hide);
  }

  /** Ends the worker when the element leaves the page for good, not when it moves. */
  disconnectedCallback(): void {
    globalThis.removeEventListener("pagehide", this.#hide);
    queueMicrotask(() => this.isConnected || this.#release());
  }

  get #busy(): boolean {
    return this.#sampling !== undefined || this.#loading !== undefined;
  }

  get #shape(): readonly number[] | undefined {
    const config = this.#model?.info.config;
    if (config?.position.kind !== "data") return undefined;
    const { shape } = config.position;
    return shape.length === 3 && (shape[2] === 1 || shape[2] === 3) && shape.reduce((a, b) => a * b) === config.n_ctx ? shape : undefined;
  }

  #number(name: string): number | undefined {
    const text = this.getAttribute(name);
    return text === null || text.trim() === "" ? undefined : Number(text);
  }

  #set(name: string, value: unknown): void {
    if (value === undefined || value === null) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  /** Button, and what is said aloud where it changed. */
  #show(status?: string): void {
    const { button, made } = this.#parts, { make } = WORDS[this.kind];
    button.textContent = this.#busy ? "Stop" : make;
    made.setAttribute("aria-busy", String(this.#sampling !== undefined));
    if (status !== undefined) this.#parts.status.textContent = status;
  }

  #report(error: unknown): unknown {
    const aborted = error instanceof DOMException && error.name === "AbortError", message = (error as Error)?.message ?? String(error);
    this.#parts.progress.hidden = true;
    this.#show(aborted ? "Stopped" : "");
    if (aborted) return error;
    this.#parts.error.textContent = message;
    this.#parts.error.hidden = false;
    this.dispatchEvent(new ErrorEvent("error", { error, message }));
    return error;
  }

  #load(): Promise<RemoteModel> {
    if (this.#model) return Promise.resolve(this.#model);
    if (this.#loading) return this.#loading;
    const cancel = this.#cancel = new AbortController();
    this.#loading = this.#open(cancel.signal).finally(() => {
      // Another may be under way, where this one was released.
      if (this.#cancel === cancel) this.#loading = undefined;
      if (!this.#sampling) this.#show(this.#model ? "Model ready" : undefined);
    });
    this.#show("Loading the model");
    return this.#loading;
  }

  async #open(signal: AbortSignal): Promise<RemoteModel> {
    const { progress, rate, error } = this.#parts;
    error.hidden = true;
    if (!this.src) throw new ConfigError("Cannot load a model: the element needs the address of its folder, as src");
    const model = await RemoteModel.open(this.src, {
      backend: this.backend,
      worker: this.worker,
      integrity: parseIntegrities(this.integrity),
      signal,
      onProgress: (loaded, total) => {
        progress.hidden = false;
        if (total === undefined) progress.removeAttribute("value");
        else Object.assign(progress, { max: total, value: loaded });
        rate.textContent = total === undefined ? kilobytes(loaded) : `${whole(loaded / 1000)} of ${kilobytes(total)}`;
        this.dispatchEvent(new ProgressEvent("progress", { lengthComputable: total !== undefined, loaded, total: total ?? 0 }));
      },
      onOpen: (info) => {
        progress.hidden = true;
        rate.textContent = "";
        this.#parts.about.textContent = `${info.description} (${info.why})`;
      },
      onLost: (message) => {
        this.#show("The GPU was lost: loading the model again");
        this.dispatchEvent(new CustomEvent("devicelost", { detail: { message } }));
      },
    });
    // What was released in the meantime is not this element's any more.
    if (signal.aborted) {
      model.dispose();
      throw signal.reason;
    }
    this.#model = model;
    this.dispatchEvent(new CustomEvent("load", { detail: model.info }));
    return model;
  }

  async #follow(signal: AbortSignal | undefined): Promise<Sampled> {
    const abort = () => this.#stop ? this.#stop() : this.#release(signal!.reason);
    try {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", abort);
      const sampled = await this.#sample();
      signal?.throwIfAborted();
      this.dispatchEvent(new CustomEvent("end", { detail: sampled }));
      return sampled;
    } catch (error) {
      throw this.#report(error);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async #sample(): Promise<Sampled> {
    const { rate, save, error, made } = this.#parts;
    error.hidden = save.hidden = true;
    this.#forget();
    // Taken before anything waits: what the element is told later is for the next sample.
    const { temperature, topK, topP, seed = crypto.getRandomValues(new Uint32Array(1))[0] } = this, asked = this.length;
    const prompt = this.promptTokens ?? encodeText(this.prompt);
    const model = await this.#load(), { config } = model.info, kind = this.kind, words = WORDS[kind];
    if (config.vocab_size > 256) {
      throw new ConfigError(`Cannot show samples: tokens are bytes only with a vocab_size of at most 256, it is ${config.vocab_size}`);
    }
    const textual = kind === "text" || kind === "bytes", room = config.n_ctx - prompt.length;
    const shower = kind === "image"
      ? imageShower(made, prompt, this.#shape ?? noShape(config.n_ctx))
      : kind === "audio"
      ? soundShower(made, prompt, prompt.length + (asked ?? room), this.rate, this.hasAttribute("autoplay"))
      : textShower(made, prompt);
    const length = kind === "image" ? Math.min(asked ?? room, room) : asked ?? (textual ? 256 : room), tokens: number[] = [];
    let stopped = false, told = 0, speed = 0;
    this.#stop = () => {
      stopped = true;
      model.stop();
    };
    this.#show(words.making);
    for await (const piece of model.tokens({ prompt, length, temperature, topK, topP, seed })) {
      const bytes = Uint8Array.from(piece.tokens), now = performance.now(), text = shower.show(bytes);
      tokens.push(...bytes);
      speed = piece.rate;
      if (now - told > 100) {
        told = now;
        rate.textContent = `${whole(tokens.length)} of ${whole(length)} tokens, ${whole(speed)} tokens/s`;
      }
      this.dispatchEvent(new CustomEvent("tokens", { detail: { tokens: bytes, text } }));
    }
    const { text, file, name } = await shower.end();
    rate.textContent = `${whole(tokens.length)} tokens, ${whole(speed)} tokens/s`;
    if (file && name) {
      Object.assign(save, { href: URL.createObjectURL(file), download: name, hidden: false });
      save.textContent = `Save ${name.slice(name.indexOf(".") + 1).toUpperCase()}`;
    }
    this.#show(stopped ? "Stopped" : `${words.result} ready: ${whole(tokens.length)} tokens`);
    return { tokens: Uint8Array.from(tokens), text, file, seed, tokensPerSecond: speed, stopped };
  }

  /** Files that were offered before. */
  #forget(): void {
    const { save, made } = this.#parts;
    const urls = [save.href, made.querySelector("audio")?.src];
    for (const url of urls) if (url) URL.revokeObjectURL(url);
    save.removeAttribute("href");
  }

  #release(reason: unknown = new DOMException("The element left the page", "AbortError")): void {
    this.#cancel.abort(reason);
    this.#loading = undefined;
    this.#model?.dispose(reason);
    this.#model = undefined;
  }
}

function noShape(nCtx: number): never {
  throw new ConfigError(`Cannot paint: the model's positions must be those of an image of height × width × 1 or 3 = ${nCtx}`);
}

/** `model.safetensors:sha256-… config.json:sha256-…`, each file once or with several digests. */
function parseIntegrities(text: string): { [file: string]: string } | undefined {
  const found: { [file: string]: string } = {};
  for (const part of text.split(/\s+/).filter(Boolean)) {
    const [, file, digest] = /^(config\.json|model\.safetensors):(.+)$/.exec(part) ?? [];
    if (!file) {
      throw new ConfigError(
        `Cannot use integrity ${JSON.stringify(part.slice(0, 60))}: it must be config.json or model.safetensors, a colon and a digest as ` +
          `sha256-…`,
      );
    }
    found[file] = found[file] ? `${found[file]} ${digest}` : digest;
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

/** A promise that a signal gives up. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined, onAbort: () => void): Promise<T> {
  const abort = () => onAbort();
  signal?.throwIfAborted();
  signal?.addEventListener("abort", abort);
  try {
    return await promise;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

// Where there is no page, as on a server, the class is there all the same.
if (typeof customElements !== "undefined") customElements.define("longstride-sample", LongstrideSample);
