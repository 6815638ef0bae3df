/**
 * `<longstride-sample src="model/">`: an element that loads a model folder (`config.json`, `model.safetensors`) and
 * writes text with it in the page.
 *
 *     deno bundle --platform browser --minify -o longstride_sample.js web/longstride_sample.ts
 *
 * ```html
 * <script type="module" src="longstride_sample.js"></script>
 * <longstride-sample src="model/" prompt="Once upon a time" length="400" temperature="0.8"></longstride-sample>
 * ```
 *
 * @module
 */

import { type BackendName, type OpenedModel, openModel } from "../mod.ts";

const CONTENT = `<style>
  :host { display: block; font: 1rem/1.5 system-ui, sans-serif; color-scheme: light dark }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; font: .9rem/1.5 ui-monospace, monospace }
  p { margin: 0; font-size: .85rem; opacity: .75 }
</style>
<button type="button">Write</button><pre aria-live="off"></pre><p role="status"></p>`;

/** A model, and where it came from. */
interface Loaded {
  readonly source: string;
  readonly backend: string;
  readonly model: OpenedModel;
}

/** Attributes: `src`, `prompt`, `length`, `temperature`, `top-k`, `top-p`, `seed`, `backend`; they are read when writing starts. */
export class LongstrideSample extends HTMLElement {
  #button: HTMLButtonElement;
  #text: HTMLElement;
  #status: HTMLElement;
  #loaded?: Loaded;
  #stopping = false;
  #writing?: Promise<string>;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = CONTENT;
    this.#button = root.querySelector("button")!;
    this.#text = root.querySelector("pre")!;
    this.#status = root.querySelector("p")!;
    this.#button.onclick = () => this.#writing ? this.stop() : void this.write().catch(() => {});
  }

  /**
   * Loads the model where that has not happened, and writes. What is written appears as it comes.
   *
   * @returns the text, prompt not included; a second call while one is under way answers with that one's
   */
  write(): Promise<string> {
    return this.#writing ??= this.#write().catch((error) => {
      this.#status.textContent = String(error instanceof Error ? error.message : error);
      throw error;
    }).finally(() => {
      this.#writing = undefined;
      this.#button.textContent = "Write";
    });
  }

  /** Ends the writing under way after its next token. */
  stop(): void {
    this.#stopping = true;
  }

  /** Gives the engine's memory back when the element leaves the page. */
  disconnectedCallback(): void {
    this.stop();
    void Promise.resolve(this.#writing).catch(() => {}).then(() => {
      if (!this.isConnected) this.#release();
    });
  }

  async #write(): Promise<string> {
    const number = (name: string, fallback: number) => Number(this.getAttribute(name) ?? fallback),
      prompt = this.getAttribute("prompt") ?? "";
    this.#stopping = false;
    this.#button.textContent = "Stop";
    this.#text.textContent = prompt;
    const model = await this.#load(),
      begun = performance.now(),
      options = {
        prompt,
        length: number("length", 256),
        temperature: number("temperature", 1),
        topK: number("top-k", 0),
        topP: number("top-p", 1),
        seed: number("seed", 0),
      };
    let text = "";
    for await (const piece of model.text(options)) {
      text += piece;
      this.#text.textContent = prompt + text;
      const rate = Math.round(text.length * 1000 / (performance.now() - begun));
      this.#status.textContent = `${rate} characters/s, ${model.engine.description}`;
      // A turn for the page: without it all of the text would appear at once.
      await new Promise((resume) => setTimeout(resume, 0));
      if (this.#stopping) break;
    }
    this.dispatchEvent(new CustomEvent("written", { detail: text }));
    return text;
  }

  async #load(): Promise<OpenedModel> {
    const source = new URL(this.getAttribute("src") ?? "", document.baseURI).href, backend = this.getAttribute("backend") ?? "auto";
    if (this.#loaded?.source !== source || this.#loaded.backend !== backend) {
      this.#release();
      this.#status.textContent = "loading";
      this.#loaded = { source, backend, model: await openModel(source, { backend: backend as BackendName }) };
    }
    return this.#loaded.model;
  }

  #release(): void {
    this.#loaded?.model.dispose();
    this.#loaded = undefined;
  }
}

customElements.define("longstride-sample", LongstrideSample);
