/**
 * Sound as a waveform that grows and plays while it is made.
 *
 * @module
 */

import { encodeWav, mulawAmplitude } from "../data.ts";
import { make, type View } from "./view.ts";

/** Pixels of the canvas. */
const WIDTH = 1200, HEIGHT = 200;

/** Seconds of sound that are waited for where playing has caught up with making. */
const AHEAD = 0.25;

/** Where sound that is made is played from: what there is, then, as it comes, what follows. */
class Live {
  readonly #context = new AudioContext();
  #sent = 0;
  /** By the context's clock, when the sound that was handed over ends. */
  #end = 0;

  constructor(readonly rate: number) {}

  /** Hands over what came since; whole pieces while more is to come. */
  feed(codes: readonly number[], isWhole: boolean): void {
    const { rate } = this, more = codes.length - this.#sent;
    if (more < 1 || !isWhole && more < rate * AHEAD) return;
    const piece = this.#context.createBuffer(1, more, rate), source = this.#context.createBufferSource();
    piece.copyToChannel(Float32Array.from({ length: more }, (_, at) => mulawAmplitude(codes[this.#sent + at])), 0);
    source.buffer = piece;
    source.connect(this.#context.destination);
    this.#end = Math.max(this.#end, this.#context.currentTime + 0.02);
    source.start(this.#end);
    this.#end += piece.duration;
    this.#sent = codes.length;
  }

  /** Seconds of the sound that have been played. */
  get played(): number {
    return Math.max(0, this.#sent / this.rate - Math.max(0, this.#end - this.#context.currentTime));
  }

  /** Whether all that was handed over has been played. */
  get isThrough(): boolean {
    return this.#context.currentTime >= this.#end;
  }

  close(): void {
    void this.#context.close();
  }
}

/** A waveform on a canvas. */
class Wave {
  readonly #context: CanvasRenderingContext2D;
  /** The lowest and highest sample of each column; the largest of all fills the height. */
  readonly #low = new Float32Array(WIDTH);
  readonly #high = new Float32Array(WIDTH);
  #peak = 0.02;

  /** @param length codes in all */
  constructor(readonly canvas: HTMLCanvasElement, readonly length: number) {
    this.#context = canvas.getContext("2d")!;
  }

  /** Draws codes from one of them on. */
  draw(codes: readonly number[], first: number): void {
    const ratio = WIDTH / this.length, low = this.#low, high = this.#high, before = this.#peak;
    const from = Math.max(0, Math.floor((first - 1) * ratio)), to = Math.min(WIDTH, codes.length * ratio);
    for (let x = from; x < to; x++) {
      const column = codes.slice(Math.floor(x / ratio), Math.max(Math.floor(x / ratio) + 1, Math.floor((x + 1) / ratio)));
      const levels = column.map(mulawAmplitude);
      high[x] = Math.max(...levels);
      low[x] = Math.min(...levels);
      this.#peak = Math.max(this.#peak, high[x], -low[x]);
    }
    this.#context.fillStyle = getComputedStyle(this.canvas).color;
    for (let x = this.#peak > before ? 0 : from; x < to; x++) this.#column(x);
  }

  #column(x: number): void {
    const y = (level: number) => (1 - level / this.#peak) / 2 * (HEIGHT - 2), top = y(this.#high[x]);
    this.#context.clearRect(x, 0, 1, HEIGHT);
    this.#context.fillRect(x, top, 1, Math.max(2, y(this.#low[x]) - top));
  }
}

/**
 * Shows µ-law codes as a waveform, with something to play them with.
 *
 * @param length codes in all, prompt included
 * @param rate samples per second
 */
export function soundView(into: HTMLElement, prompt: readonly number[], length: number, rate: number, autoplay: boolean): View {
  const canvas = make("canvas", { width: WIDTH, height: HEIGHT, className: "wave" }, {
      role: "img",
      "aria-label": `Waveform of ${(length / rate).toFixed(2)} seconds`,
    }),
    head = make("i", { className: "head", hidden: true }),
    listen = make("button", { type: "button", className: "quiet", textContent: "Listen as it comes" });
  const stage = make("div", { className: "stage" }, {}, canvas, head);
  into.prepend(stage, listen);
  const codes: number[] = [];
  let live: Live | undefined, audio: HTMLAudioElement | undefined, isWhole = false, frame = 0;

  const place = (seconds: number | undefined) => {
    head.hidden = seconds === undefined;
    head.style.insetInlineStart = `${(seconds ?? 0) * rate / length * 100}%`;
  };
  const quiet = () => {
    live?.close();
    live = undefined;
    cancelAnimationFrame(frame);
    place(undefined);
    listen.textContent = "Listen as it comes";
    listen.hidden = isWhole;
  };
  const follow = () => {
    if (!live) return;
    place(live.played);
    if (isWhole && live.isThrough) return quiet();
    frame = requestAnimationFrame(follow);
  };
  listen.onclick = () => {
    if (live) return quiet();
    live = new Live(rate);
    live.feed(codes, isWhole);
    listen.textContent = "Be quiet";
    follow();
  };
  if (autoplay) listen.click();

  const wave = new Wave(canvas, length),
    show = (tokens: readonly number[]): undefined => {
      const from = codes.length;
      for (const token of tokens) codes.push(token);
      wave.draw(codes, from);
      live?.feed(codes, false);
    };
  show(prompt);
  return {
    show,
    async end() {
      isWhole = true;
      live?.feed(codes, true);
      listen.hidden = !live;
      if (codes.length === 0) return {};
      const file = new Blob([await encodeWav(Uint8Array.from(codes), rate)], { type: "audio/wav" });
      const player = audio = make("audio", { controls: true, src: URL.createObjectURL(file) }, { "aria-label": "Sound" });
      stage.after(player);
      player.onplay = quiet;
      player.ontimeupdate = () => place(player.currentTime);
      stage.onclick = ({ offsetX }) => player.currentTime = offsetX / stage.clientWidth * length / rate;
      return { file, name: "sample.wav" };
    },
    close() {
      quiet();
      if (audio) URL.revokeObjectURL(audio.src);
    },
  };
}
