/**
 * Frames of a file to codes: mean of channels, new rate, µ-law. The kernels are in asm/pcm.ts and asm/resample.ts.
 *
 * @module
 */

import { PCM_F32, PCM_F64, PCM_S16, PCM_S24, PCM_S32, PCM_U8 } from "../base/kernel_exports.gen.ts";
import { Scratch } from "../base/scratch.ts";
import { Companding, mulawAmplitude, PIECE, SILENCE } from "./mulaw.ts";
import { divisor, lowPass } from "./resample.ts";
import type { SoundEncoding, SoundLevels } from "./sound.ts";

/** Frames that a stage takes at once. */
const FRAMES = 16384;

/** Bytes of raw frames that a stage takes at once: at least 16 of the widest there can be. */
export const RAW = 2 ** 20;

const ENCODING: Readonly<Record<SoundEncoding, number>> = {
  "8-bit": PCM_U8,
  "16-bit": PCM_S16,
  "24-bit": PCM_S24,
  "32-bit": PCM_S32,
  "32-bit float": PCM_F32,
  "64-bit float": PCM_F64,
};

/** Means below this have the code of silence. */
const HUSH = mulawAmplitude(SILENCE + 0.5);

/** Frames of a file to codes, a piece at a time, all in WASM memory: raw → mean of channels → new rate → µ-law. */
export class Stage {
  readonly #companding: Companding;
  readonly #raw: number;
  readonly #mono: number;
  readonly #out: number;
  readonly #filter: number = 0;
  readonly #half: number = 0;
  readonly #up: number;
  readonly #down: number;
  /** Samples at #mono, and where in them the next output's taps begin. */
  #filled = 0;
  #at = 0;
  #phase = 0;
  #frames = 0;
  #made = 0;
  #peak = 0;
  #clipped = 0;
  #silent = 0;
  /** Sums of squares: of the means, and of all samples over the channels. */
  #mixed = 0;
  #heard = 0;

  private constructor(companding: Companding, from: number, to: number, name: string) {
    const { scratch } = companding, common = divisor(from, to);
    this.#companding = companding;
    this.#up = to / common;
    this.#down = from / common;
    this.#raw = scratch.take(RAW);
    let history = 0;
    if (from !== to) {
      const { half, filter } = lowPass(this.#up, this.#down, name);
      this.#half = half;
      this.#filter = scratch.take(filter.byteLength);
      scratch.f32(this.#filter, filter.length).set(filter);
      history = 2 * half;
    }
    this.#mono = scratch.take((FRAMES + history) * 4);
    this.#out = scratch.take((Math.ceil((FRAMES + history) * this.#up / this.#down) + 1) * 4);
    // Before the first sample there is silence; output 0 is at its place.
    this.#filled = history === 0 ? 0 : this.#half - 1;
    scratch.f32(this.#mono, this.#filled).fill(0);
  }

  /** @param name of the file, for messages */
  static async create(from: number, to: number, name: string): Promise<Stage> {
    return new Stage(new Companding(await Scratch.create()), from, to, name);
  }

  /** Takes whole frames. Answers codes, and the first frame that is not finite, if there is one. */
  push(frames: Uint8Array, encoding: SoundEncoding, channels: number, width: number): { codes: Uint8Array[]; bad?: number } {
    const { scratch } = this.#companding, { kernels } = scratch, codes: Uint8Array[] = [], wide = channels * width;
    const most = Math.min(FRAMES, Math.floor(RAW / wide)) * wide;
    for (let at = 0; at < frames.length; at += most) {
      const piece = frames.subarray(at, at + most), count = piece.length / wide;
      scratch.u8(this.#raw, piece.length).set(piece);
      const fine = kernels.pcm_mono(ENCODING[encoding], channels, count, this.#raw, this.#mono + this.#filled * 4);
      if (fine < count) return { codes, bad: this.#frames + fine };
      this.#measure(encoding, channels, count, width);
      this.#filled += count;
      this.#frames += count;
      codes.push(this.#drain(Infinity));
    }
    return { codes };
  }

  /** What the frames pushed have for levels. */
  get levels(): SoundLevels {
    return { peak: this.#peak, clipped: this.#clipped / this.#frames, silent: this.#silent / this.#frames };
  }

  /** Share of the power of its channels that their mean has, of what it would have of channels that have nothing to do with each other. */
  get mixed(): number {
    return this.#heard > 0 ? this.#mixed / this.#heard : 1;
  }

  /** Counts levels of the frames at #raw, whose means follow those of before. */
  #measure(encoding: SoundEncoding, channels: number, frames: number, width: number): void {
    const { scratch } = this.#companding, means = scratch.f32(this.#mono + this.#filled * 4, frames);
    let clipped = 0, silent = 0, mixed = 0, heard = 0, peak = this.#peak;
    for (let i = 0; i < frames; i++) {
      const mean = means[i], magnitude = Math.abs(mean);
      if (magnitude > 1) clipped++;
      if (magnitude < HUSH) silent++;
      mixed += mean * mean;
      if (magnitude > peak) peak = magnitude;
    }
    for (let at = 0, all = channels > 1 ? frames * channels : 0; at < all; at += PIECE) {
      const count = Math.min(PIECE, all - at), { samples } = this.#companding, each = scratch.f32(samples, count);
      // Taken for one channel, each sample is its own mean.
      scratch.kernels.pcm_mono(ENCODING[encoding], 1, count, this.#raw + at * width, samples);
      for (let i = 0; i < count; i++) {
        const x = each[i], magnitude = Math.abs(x);
        heard += x * x;
        if (magnitude > peak) peak = magnitude;
      }
    }
    this.#clipped += clipped;
    this.#silent += silent;
    this.#peak = peak;
    this.#mixed += mixed * channels;
    this.#heard += channels > 1 ? heard / channels : mixed;
  }

  /** What is held back until the taps of its last samples are known: silence. */
  end(): Uint8Array[] {
    const { scratch } = this.#companding, codes: Uint8Array[] = [];
    for (let all = Math.ceil(this.#frames * this.#up / this.#down), left = this.#half; this.#half > 0 && this.#made < all;) {
      const count = Math.min(FRAMES, left);
      scratch.f32(this.#mono + this.#filled * 4, count).fill(0);
      this.#filled += count;
      left -= count;
      codes.push(this.#drain(all));
    }
    return codes;
  }

  /** Codes of what is there, up to `all` in the whole. */
  #drain(all: number): Uint8Array {
    const { scratch } = this.#companding, taps = this.#half * 2;
    let from = this.#mono, count = this.#filled;
    if (taps === 0) this.#filled = 0;
    else {
      // Outputs whose taps end at #filled or before.
      const room = this.#filled - taps - this.#at;
      count = room < 0 ? 0 : Math.min(all - this.#made, Math.ceil(((room + 1) * this.#up - this.#phase) / this.#down));
      scratch.kernels.resample(this.#mono, this.#at, this.#phase, count, this.#up, this.#down, this.#filter, taps, this.#out);
      from = this.#out;
      const moved = this.#phase + count * this.#down, samples = scratch.f32(this.#mono, this.#filled);
      this.#at += Math.floor(moved / this.#up);
      this.#phase = moved % this.#up;
      samples.copyWithin(0, this.#at);
      this.#filled -= this.#at;
      this.#at = 0;
    }
    const codes = new Uint8Array(count);
    this.#companding.encodeAt(from, count, codes);
    this.#made += count;
    return codes;
  }
}
