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
import { type DataKind, SOUND_RATE, type TokenArray, visible } from "../data.ts";
import { wrongOf } from "../files.ts";
import type { Inspected } from "./inspect.ts";
import { CONTROLS, TOKENS } from "./look.ts";
import type { ModelInfo } from "./model_worker.ts";
import { RemoteModel, type RemoteSampleOptions } from "./remote_model.ts";
import { make, type Shown, type View } from "./view.ts";
import { imageView } from "./view_image.ts";
import { plainView, type TextView, textView } from "./view_text.ts";
import { Vocabulary } from "./vocabulary.ts";

export { type ModelInfo, RemoteModel };
export type { Inspected, Read } from "./inspect.ts";
export type { Piece, RemoteOptions, RemoteSampleOptions } from "./remote_model.ts";

/** What a sample came to. */
export interface Sampled {
  /** All that was made, prompt not included. */
  readonly tokens: TokenArray;
  /** The same as text, where it is text. */
  readonly text?: string;
  /** A picture (PNG) or a sound (WAV), prompt included, where it is one. */
  readonly file?: Blob;
  /** The seed that makes it again. */
  readonly seed: number;
  /** Tokens per second, from the first to the last, of all samples together. */
  readonly tokensPerSecond: number;
  /** Whether it was stopped before its length. */
  readonly stopped: boolean;
  /** Of several samples the others. */
  readonly others: readonly Pick<Sampled, "tokens" | "text" | "file">[];
}

const STYLE = `
:host { ${TOKENS} display: block; container-type: inline-size; color: var(--ls-ink); background: var(--ls-panel); border: 1px solid var(--ls-line);
  border-radius: calc(1.4 * var(--ls-round)); box-shadow: var(--ls-shadow); padding: 1rem; font: 1rem/1.5 var(--ls-sans); box-sizing: border-box }
:host([hidden]) { display: none }
${CONTROLS}
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .9rem; min-height: 2.75rem }
.bar progress { flex: 1 1 8rem; max-width: 18rem }
.rate, .meta { font-size: .85rem; font-variant-numeric: tabular-nums; color: var(--ls-soft) }
.made { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); margin: 1rem 0 .6rem }
.made.image { grid-template-columns: repeat(auto-fit, minmax(min(45%, 17rem), 1fr)) }
.made.audio { grid-template-columns: minmax(0, 1fr) }
.made:empty { min-height: 9rem; border: 2px dashed var(--ls-line); border-radius: var(--ls-round); place-content: center; text-align: center;
  color: var(--ls-soft); font-size: .95rem; padding: 1rem }
.made:empty::before { content: attr(data-empty) }
figure { margin: 0; min-width: 0; display: grid; gap: .5rem; align-content: start; grid-template-columns: minmax(0, 1fr) }
figcaption { display: flex; flex-wrap: wrap; gap: .4rem .5rem; align-items: center }
figcaption .meta { margin-right: auto }
pre { margin: 0; min-height: 9rem; max-height: 34rem; overflow: auto; padding: .9rem 1rem; background: var(--ls-well);
  border: 1px solid var(--ls-line); border-radius: var(--ls-round); white-space: pre-wrap; overflow-wrap: anywhere;
  font: .95rem/1.65 var(--ls-mono) }
pre b { font-weight: 700; color: var(--ls-near) }
pre span { border-radius: .15rem }
.t1 { background: rgb(var(--ls-heat) / .1) } .t2 { background: rgb(var(--ls-heat) / .18) } .t3 { background: rgb(var(--ls-heat) / .27) }
.t4 { background: rgb(var(--ls-heat) / .37) } .t5 { background: rgb(var(--ls-heat) / .48) } .t6 { background: rgb(var(--ls-heat) / .6) }
.read { box-shadow: inset 0 -.28em 0 color-mix(in srgb, var(--ls-near) calc(100% * var(--weight)), transparent) }
.at { outline: 2px solid var(--ls-near); outline-offset: 1px }
canvas { display: block; width: 100%; box-sizing: border-box; border-radius: var(--ls-round); background: var(--ls-well); border: 1px solid var(--ls-line) }
canvas.image { max-width: 32rem; image-rendering: pixelated; border-radius: .35rem }
canvas.wave { height: clamp(6rem, 22cqi, 12rem); color: var(--ls-near) }
.stage { position: relative; cursor: pointer }
.stage ~ button { justify-self: start }
.head { position: absolute; inset-block: 0; width: 2px; background: rgb(var(--ls-heat)) }
audio { display: block; width: 100% }
.key { display: flex; flex-wrap: wrap; gap: .3rem .5rem; align-items: center; font-size: .85rem; color: var(--ls-soft); margin: 0 0 .4rem }
.key i { width: 1.1rem; height: 1.1rem; border-radius: .2rem; border: 1px solid var(--ls-line) }
.key i + i { margin-left: -.4rem }
.key small { font-size: inherit }
.look { border: 1px solid var(--ls-line); border-radius: var(--ls-round); background: var(--ls-well); padding: .8rem 1rem; margin: 0 0 .6rem;
  display: grid; gap: .5rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)) }
.look p { grid-column: 1 / -1; font-size: .95rem }
.look code { font: 600 .9rem var(--ls-mono); background: var(--ls-panel); border: 1px solid var(--ls-line); border-radius: .25rem; padding: 0 .3rem; justify-self: start }
.look ol { width: 100%; list-style: none; margin: 0; padding: 0; display: grid; gap: .2rem; font-size: .85rem; font-variant-numeric: tabular-nums }
.look li { display: grid; grid-template-columns: 5.5rem 1fr 3.2rem; gap: .5rem; align-items: center }
.look li.own { font-weight: 700 }
.look li i { height: .6rem; border-radius: 1rem; background: var(--ls-near); width: calc(100% * var(--share)); min-width: 2px }
.look li span { text-align: end }
.look div { display: flex; flex-wrap: wrap; gap: .3rem; align-content: start }
.look h3 { font-size: .85rem; margin: 0; width: 100%; font-weight: 550; color: var(--ls-soft) }
.look .heads { display: grid; grid-template-columns: 4.5rem minmax(0, 1fr); align-items: center; max-height: 14rem; overflow: auto; padding: 4px }
.look .heads h3 { grid-column: 1 / -1 }
.look .heads span { font-size: .85rem }
.look .heads > button { justify-self: start }
.look button { min-height: 2rem; min-width: 2.4rem; padding: .2rem .5rem; font: .8rem var(--ls-mono) }
.look [aria-pressed=true] { background: var(--ls-near); border-color: var(--ls-near); color: var(--ls-near-ink) }
p { margin: 0; font-size: .85rem }
.about { color: var(--ls-soft) }
.error { color: var(--ls-bad); font-weight: 600 }`;

const CONTENT = `<div class="bar" part="bar"><button type="button" class="primary" part="button"></button>
<progress part="progress" aria-label="Model download" hidden></progress><span class="rate" part="rate"></span></div>
<div class="made" part="made"></div>
<p class="key" part="key" hidden><span>0 bits</span><i></i><i class="t1"></i><i class="t2"></i><i class="t3"></i><i class="t4"></i><i class="t5"></i><i class="t6"></i><span>8 bits and more</span>
<small>Point to a letter, or use the arrow keys, to look into it.</small></p>
<section class="look" part="look" aria-label="The token looked at" aria-live="polite" hidden></section>
<p role="status" part="status"></p><p role="alert" class="error" part="error" hidden></p><p class="about" part="about"></p>`;

/** What the button says, what is said while it works, and what the result is called. */
const WORDS: Readonly<
  Record<DataKind, { readonly make: string; readonly making: string; readonly result: string; readonly empty: string }>
> = {
  text: { make: "Write", making: "Writing", result: "Text", empty: "What it writes appears here, letter by letter" },
  bytes: { make: "Write", making: "Writing", result: "Bytes", empty: "What it writes appears here, byte by byte" },
  image: { make: "Paint", making: "Painting", result: "Image", empty: "What it paints appears here, pixel by pixel" },
  audio: { make: "Compose", making: "Composing", result: "Sound", empty: "What it composes appears here as a wave" },
};

const whole = (x: number) => Math.round(x).toLocaleString("en");
const kilobytes = (bytes: number) => `${whole(bytes / 1000)} kB`;

/** The shadow tree, by the names of its parts. */
interface Parts {
  readonly button: HTMLButtonElement;
  readonly progress: HTMLProgressElement;
  readonly rate: HTMLElement;
  readonly made: HTMLElement;
  readonly key: HTMLElement;
  readonly look: HTMLElement;
  readonly status: HTMLElement;
  readonly error: HTMLElement;
  readonly about: HTMLElement;
}

/** Tokens of a sequence that is shown, to look into. */
interface Sequence {
  readonly view: TextView;
  readonly tokens: readonly number[];
  /** How many of them were given. */
  readonly given: number;
}

/** Samples under way, or there. */
interface Made {
  readonly prompt: readonly number[];
  /** Tokens wanted of each. */
  readonly length: number;
  /** Of each, prompt not included. */
  readonly tokens: readonly number[][];
  /** Sums of their bits. */
  readonly bits: number[];
  readonly seed: number;
  /** Tokens per second. */
  speed: number;
}

/** Most samples at once. */
const SIDE_BY_SIDE = 16;

/** Milliseconds that a pointer rests on a token before it is looked into. */
const REST = 120;

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
  readonly samples?: number | string;
  readonly inspect?: boolean | "";
  readonly disabled?: boolean | "";
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
 * | `kind`        | `kind`        | what a run's zip says, `image` where the model's positions are an image's, else `text` | or `audio` |
 * | `rate`        | `rate`        | 12000   | samples per second of sound                                                |
 * | `samples`     | `samples`     | 1       | how many are made side by side, of one prompt and seed                     |
 * | `inspect`     | `inspect`     |         | of text: each token is tinted by its bits; pointer or arrow keys tell its likeliest others and what the heads read |
 * | `disabled`    | `disabled`    |         | the button begins nothing                                                  |
 * | `integrity`   | `integrity`   |         | `model.safetensors:sha256-… config.json:sha256-…`: other files are refused |
 * | `worker`      | `worker`      | `longstride-sample.worker.js` beside this script | its address on the page's own origin, where this script is of another |
 * | `autoplay`    |               |         | sound plays as it is made                                                  |
 * |               | `file`        |         | a `Blob`: the zip of a run or model folder, instead of `src`               |
 *
 * Events: `progress` (a `ProgressEvent` of the download), `load` and `devicelost` and `tokens` (`CustomEvent`s with
 * {@linkcode ModelInfo}, `{ message }` and `{ tokens, text }` as detail), `end` (with {@linkcode Sampled}), `error` (an `ErrorEvent`).
 * Escape stops. To draw by other means listen to `tokens`, or use {@linkcode RemoteModel} without an element.
 */
export class LongstrideSample extends Base {
  /** What the element answers to at once. */
  static readonly observedAttributes = ["src", "backend", "integrity", "kind", "worker", "disabled"];

  readonly #parts: Parts;
  #vocabulary = new Vocabulary();
  #promptTokens: TokenArray | undefined;
  #file: Blob | undefined;
  #views: readonly View[] = [];
  #urls: string[] = [];
  #resting: ReturnType<typeof setTimeout> | undefined;
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
    this.#parts.button.onclick = () => this.busy ? this.stop() : void this.sample().catch(() => {});
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.busy) this.stop();
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
  get promptTokens(): TokenArray | undefined {
    return this.#promptTokens;
  }
  set promptTokens(value: TokenArray | undefined) {
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
    return this.#number("rate") ?? this.#model?.info.rate ?? SOUND_RATE;
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
  get samples(): number {
    return this.#number("samples") ?? 1;
  }
  set samples(value: number | undefined) {
    this.#set("samples", value);
  }
  get inspect(): boolean {
    return this.hasAttribute("inspect");
  }
  set inspect(value: boolean) {
    this.toggleAttribute("inspect", value);
  }
  get disabled(): boolean {
    return this.hasAttribute("disabled");
  }
  set disabled(value: boolean) {
    this.toggleAttribute("disabled", value);
  }
  /** The zip of a run's or a model's folder, opened instead of `src`. */
  get file(): Blob | undefined {
    return this.#file;
  }
  set file(value: Blob | undefined) {
    if (value === this.#file) return;
    this.#file = value;
    this.attributeChangedCallback("file", "", null);
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
    return this.#model?.info.kind ?? (this.#shape ? "image" : "text");
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
    else if (this.busy) this.#release(new DOMException("Stopped while loading", "AbortError"));
  }

  /** Ends the worker where what it loaded is no longer what is asked for. */
  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (name !== "kind" && name !== "disabled" && before !== now) {
      if (this.#model || this.#loading) this.#release(new DOMException(`The element's ${name} was changed`, "AbortError"));
      // What was said and shown is of another model.
      if (this.#sampling) this.#sampling.catch(() => {}).then(() => this.clear());
      else this.clear();
    }
    this.#show();
  }

  /** Takes away what was made and said. A sample under way goes on. */
  clear(): void {
    if (this.#sampling) return;
    this.#forget();
    const { made, error, rate, status, about, key } = this.#parts;
    made.replaceChildren();
    error.hidden = key.hidden = true;
    for (const part of [error, rate, status, about]) part.textContent = "";
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

  /** Whether it loads a model or makes a sample. */
  get busy(): boolean {
    return this.#sampling !== undefined || this.#loading !== undefined;
  }

  /** Whether it shows a sample, whole or not. */
  get hasMade(): boolean {
    return this.#parts.made.hasChildNodes();
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
    const { button, made } = this.#parts, { make, empty } = WORDS[this.kind];
    button.textContent = this.busy ? "Stop" : make;
    button.disabled = this.disabled && !this.busy;
    made.dataset.empty = empty;
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
    if (!this.src && !this.#file) throw new ConfigError("Cannot load a model: the element needs the address of its folder, as src");
    const model = await RemoteModel.open(this.#file ?? this.src, {
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
    this.#vocabulary = new Vocabulary(model.info.pieces);
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
    const { error } = this.#parts;
    error.hidden = true;
    this.#forget();
    // Taken before anything waits: what the element is told later is for the next sample.
    const { temperature, topK, topP, seed = crypto.getRandomValues(new Uint32Array(1))[0], samples, inspect, promptTokens } = this;
    const asked = this.length, bytes = encodeText(this.prompt);
    const wrong = wrongOf("samples", samples, [1, SIDE_BY_SIDE]);
    if (wrong) throw new ConfigError(`Cannot sample: ${wrong}`);
    const model = await this.#load(), { config: { n_ctx, vocab_size }, pieces } = model.info, { kind } = this;
    if (vocab_size > 256 && !pieces) {
      throw new ConfigError(`Cannot show samples: the model has ${vocab_size} tokens and no tokenizer.json beside it`);
    }
    const textual = kind === "text" || kind === "bytes";
    const prompt = Array.from(promptTokens ?? await model.encode(bytes)), room = n_ctx - prompt.length;
    const length = kind === "image" ? Math.min(asked ?? room, room) : asked ?? (textual ? 256 : room);
    const made: Made = { prompt, length, tokens: Array.from({ length: samples }, () => []), bits: Array(samples).fill(0), speed: 0, seed };
    const figures = made.tokens.map(() => make("figure", {}, { part: "sample" })), looks = textual && inspect;
    const views = await this.#showViews(figures, made, looks);
    let stopped = false;
    this.#stop = () => {
      stopped = true;
      model.stop();
    };
    this.#show(WORDS[kind].making);
    await this.#followTokens(model, { prompt, length, temperature, topK, topP, seed, samples }, made, looks);
    const shown = await Promise.all(views.map((view) => view.end()));
    shown.forEach((one, at) => figures[at].append(this.#tools(this.#label(made, at), one, prompt)));
    this.#show(stopped ? "Stopped" : `${WORDS[kind].result} ready: ${whole(made.tokens[0].length)} tokens`);
    const [first, ...others] = shown.map(({ text, file }, at) => ({
      tokens: this.#vocabulary.array(made.tokens[at]),
      text,
      file: textual ? undefined : file,
    }));
    return { ...first, others, seed, tokensPerSecond: made.speed, stopped };
  }

  /** Views of samples that begin, each in its figure. */
  async #showViews(figures: readonly HTMLElement[], { prompt, length, tokens }: Made, looks: boolean): Promise<readonly View[]> {
    const { made, key } = this.#parts, { kind } = this;
    const shape = kind === "image" ? this.#shape ?? noShape(this.#model!.info.config.n_ctx) : undefined;
    const sound = kind === "audio" ? await import("./view_sound.ts") : undefined;
    made.className = `made ${kind}`;
    made.replaceChildren(...figures);
    key.hidden = !looks;
    return this.#views = figures.map((figure, at) => {
      if (shape) return imageView(figure, prompt, shape);
      // One plays, where any does.
      if (sound) return sound.soundView(figure, prompt, prompt.length + length, this.rate, at === 0 && this.hasAttribute("autoplay"));
      if (!looks) return plainView(figure, prompt, this.#vocabulary);
      const pick = (place: number, isSure: boolean) => this.#pick(sequence, place, isSure);
      const view = textView(figure, prompt, this.#vocabulary, { pick });
      const sequence: Sequence = {
        view,
        given: prompt.length,
        get tokens() {
          return [...prompt, ...tokens[at]];
        },
      };
      return view;
    });
  }

  /** Shows tokens as they come, until the last. */
  async #followTokens(model: RemoteModel, options: RemoteSampleOptions, made: Made, looks: boolean): Promise<void> {
    const { tokens, bits, length } = made, { rate } = this.#parts, samples = tokens.length, views = this.#views;
    let told = 0;
    const onBits = (from: number, found: readonly Float32Array[]) =>
      found.forEach((some, at) => {
        views[at].tint?.(from, some);
        bits[at] += some.reduce((a, b) => a + b, 0);
      });
    for await (const piece of model.tokens({ ...options, ...looks ? { onBits } : {} })) {
      const texts = views.map((view, at) => {
          const own = Array.from(piece.tokens).filter((_, token) => token % samples === at), text = view.show(own);
          for (const token of own) tokens[at].push(token);
          return { tokens: this.#vocabulary.array(own), text };
        }),
        now = performance.now();
      made.speed = piece.rate;
      if (now - told > 100) {
        told = now;
        rate.textContent = `${whole(tokens[0].length)} of ${whole(length)} tokens, ${whole(piece.rate)} tokens/s`;
      }
      this.dispatchEvent(new CustomEvent("tokens", { detail: { ...texts[0], others: texts.slice(1) } }));
    }
    rate.textContent = `${whole(tokens[0].length)} tokens${samples > 1 ? ` in each of ${samples}` : ""}, ${whole(made.speed)} tokens/s`;
  }

  /** What is said of a sample that is there. */
  #label({ prompt, tokens, bits, seed }: Made, at: number): string {
    return [
      ...tokens.length > 1 ? [`${at + 1} of ${tokens.length}`] : [],
      ...bits[at] > 0 ? [`${(bits[at] / this.#vocabulary.bytesOf(tokens[at]).length).toFixed(2)} bits/byte`] : [],
      ...this.kind === "audio" ? [`${((prompt.length + tokens[at].length) / this.rate).toFixed(2)} s`] : [],
      `seed ${seed}`,
    ].join(" · ");
  }

  /** What can be done with a sample that is there. */
  #tools(label: string, { text, file, name }: Shown, prompt: readonly number[]): HTMLElement {
    const caption = make("figcaption", {}, {}, make("span", { className: "meta", textContent: label }));
    if (text !== undefined) {
      const copy = make("button", { type: "button", className: "quiet", textContent: "Copy" });
      const all = visible(new TextDecoder().decode(this.#vocabulary.bytesOf(prompt))) + text;
      copy.onclick = async () => {
        await navigator.clipboard.writeText(all).then(() => this.#show("Copied"), ({ message }) => this.#show(`Cannot copy: ${message}`));
      };
      caption.append(copy);
      file = new Blob([all], { type: "text/plain" });
    }
    if (file && name) {
      const href = URL.createObjectURL(file);
      this.#urls.push(href);
      caption.append(
        make("a", {
          href,
          download: name,
          className: "button quiet",
          textContent: `Save ${name.slice(name.indexOf(".") + 1).toUpperCase()}`,
        }),
      );
    }
    return caption;
  }

  /** Looks into a token once a pointer rests on it, or at once. */
  #pick(sequence: Sequence, at: number, isSure: boolean): void {
    clearTimeout(this.#resting);
    this.#resting = setTimeout(async () => {
      const { tokens, given } = sequence, model = this.#model;
      // A sample under way has the model to itself.
      if (this.#sampling || !model) return;
      const found = await model.inspect(tokens.slice(0, at + 1), given).catch((error) => void this.#report(error));
      if (found) this.#tell(sequence, at, found);
    }, isSure ? 0 : REST);
  }

  /** Shows what is known of a token. */
  #tell({ view, tokens }: Sequence, at: number, { bits, likeliest, reads }: Inspected): void {
    const { look } = this.#parts, own = tokens[at], percent = (share: number) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
    const code = (token: number) => make("code", { textContent: this.#vocabulary.nameOf(token) });
    const mark = (which: Inspected["reads"]) => {
      const weights = new Map<number, number>();
      for (const { tokens, weights: found } of which) {
        tokens.forEach((token, i) => weights.set(token, (weights.get(token) ?? 0) + found[i]));
      }
      const most = Math.max(...weights.values());
      view.mark(at, new Map([...weights].map(([token, weight]) => [token, Math.sqrt(weight / most)] as const).filter(([, w]) => w > 0.15)));
    };
    const buttons: HTMLButtonElement[] = [];
    const choice = (textContent: string, label: string, which: Inspected["reads"]) => {
      const button = make("button", { type: "button", textContent }, { "aria-label": label, "aria-pressed": String(which === reads) });
      button.onclick = () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        mark(which);
      };
      buttons.push(button);
      return button;
    };
    const heads = make("div", { className: "heads" }, {}, make("h3", { textContent: "Underlined: the earlier ones that its heads read" }));
    heads.append(make("span", { textContent: "All" }), choice("all", "All heads", reads));
    for (const layer of new Set(reads.map(({ layer }) => layer + 1))) {
      const row = reads.filter((read) => read.layer + 1 === layer).map((read) =>
        choice(String(read.head + 1), `Layer ${layer}, head ${read.head + 1}`, [read])
      );
      heads.append(make("span", { textContent: `Layer ${layer}` }), make("div", {}, {}, ...row));
    }
    mark(reads);
    const bars = likeliest.map(({ token, share }) => {
      const bar = make("i");
      bar.style.setProperty("--share", String(share));
      return make("li", { className: token === own ? "own" : "" }, {}, code(token), bar, make("span", { textContent: percent(share) }));
    });
    look.replaceChildren(
      make("p", {}, {}, code(own), ` took ${bits.toFixed(2)} bits: the model gave it ${percent(2 ** -bits)}.`),
      make("div", {}, {}, make("h3", { textContent: "Likeliest here" }), make("ol", {}, {}, ...bars)),
      heads,
    );
    look.hidden = false;
  }

  /** Files that were offered before, and what was looked into. */
  #forget(): void {
    clearTimeout(this.#resting);
    for (const url of this.#urls.splice(0)) URL.revokeObjectURL(url);
    for (const view of this.#views) view.close?.();
    this.#views = [];
    this.#parts.look.hidden = true;
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
