/**
 * The µ-law (section 7.4), sign(x)·ln(1 + µ|x|) / ln(1 + µ) with µ = 255: amplitudes companded to 256 codes in order of amplitude, and back.
 * The kernels are in asm/mulaw.ts.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { MULAW_CELLS } from "../base/kernel_exports.gen.ts";
import { lazily, Scratch } from "../base/scratch.ts";

const MU = 255;

/** The code of silence. Codes below it are negative, 128 steps to −1; those above positive, 127 steps to 1. */
export const SILENCE = 128;

const stepsOf = (x: number) => x < 0 ? SILENCE : 255 - SILENCE;

/**
 * The µ-law as a formula, before rounding: sign(x)·ln(1 + 255|x|)/ln 256 in steps from {@linkcode SILENCE}. With as
 * many steps on both sides, 256 codes would have none for 0; so one side has 127 and the other 128, and −1, 0, 1 are
 * exactly codes 0, 128, 255.
 *
 * @param x amplitude in [−1, 1]
 * @returns 0 … 255, the code where it is whole
 */
export function mulaw(x: number): number {
  expect("Cannot encode the amplitude", { x: [x, "a finite number"] });
  return SILENCE + Math.sign(x) * stepsOf(x) * Math.log1p(MU * Math.abs(x)) / Math.log1p(MU);
}

/** The amplitude of a code, or of a place between two: the inverse of {@linkcode mulaw}. */
export function mulawAmplitude(code: number): number {
  expect("Cannot decode the amplitude", { code: [code, "a finite number"] });
  const steps = code - SILENCE;
  return Math.sign(steps) * Math.expm1(Math.abs(steps) / stepsOf(steps) * Math.log1p(MU)) / MU;
}

/** Samples worked on at once: with both ends in a 256 kB cache. */
export const PIECE = 32768;

/** [2 signs, cells] of border and code below it. */
function mulawCells(): ArrayBuffer {
  const cells = new ArrayBuffer(2 * MULAW_CELLS * 8), borders = new Float32Array(cells), codes = new Uint32Array(cells);
  for (const [side, sign] of [1, -1].entries()) {
    const steps = stepsOf(sign), position = (cell: number) => steps * Math.log2(2 ** (cell >> 7) * (1 + (cell & 127) / 128)) / 8;
    for (let cell = 0; cell < MULAW_CELLS; cell++) {
      // A sample belongs to the nearest code; between the cell's ends at most one border, halfway between two codes.
      const first = Math.round(position(cell)), crossed = cell < MULAW_CELLS - 1 && position(cell + 1) > first + 0.5;
      const at = 2 * (side * MULAW_CELLS + cell);
      const border = crossed ? mulawAmplitude(SILENCE + sign * (first + 0.5)) : Infinity;
      borders[at] = border;
      // The last float32 at or below it: then no sample is on the wrong side.
      if (borders[at] > border) codes[at] -= sign;
      codes[at + 1] = SILENCE + sign * first - (crossed && sign < 0 ? 1 : 0);
    }
  }
  return cells;
}

/** The kernels with the tables of the µ-law and room for a piece. */
export class Companding {
  readonly #cells: number;
  readonly #values: number;
  /** Room for {@linkcode PIECE} f32. */
  readonly samples: number;
  readonly #codes: number;

  constructor(readonly scratch: Scratch) {
    const cells = mulawCells();
    this.#cells = scratch.take(cells.byteLength);
    this.#values = scratch.take(256 * 4);
    this.samples = scratch.take(PIECE * 4);
    this.#codes = scratch.take(PIECE);
    scratch.u8(this.#cells, cells.byteLength).set(new Uint8Array(cells));
    scratch.f32(this.#values, 256).forEach((_, code, values) => values[code] = mulawAmplitude(code));
  }

  static readonly create = lazily(async () => new Companding(await Scratch.create()));

  /** Codes of samples that are in WASM memory already. */
  encodeAt(samples: number, count: number, out: Uint8Array): void {
    for (let at = 0; at < count; at += PIECE) {
      const n = Math.min(PIECE, count - at);
      this.scratch.kernels.mulaw_encode(samples + at * 4, this.#codes, n, this.#cells);
      out.set(this.scratch.u8(this.#codes, n), at);
    }
  }

  encode(samples: Float32Array): Uint8Array<ArrayBuffer> {
    const codes = new Uint8Array(samples.length);
    for (let at = 0; at < samples.length; at += PIECE) {
      const n = Math.min(PIECE, samples.length - at);
      this.scratch.f32(this.samples, n).set(samples.subarray(at, at + n));
      this.encodeAt(this.samples, n, codes.subarray(at, at + n));
    }
    return codes;
  }

  decode(codes: Uint8Array): Float32Array<ArrayBuffer> {
    const samples = new Float32Array(codes.length);
    for (let at = 0; at < codes.length; at += PIECE) {
      const n = Math.min(PIECE, codes.length - at);
      this.scratch.u8(this.#codes, n).set(codes.subarray(at, at + n));
      this.scratch.kernels.mulaw_decode(this.#codes, this.samples, n, this.#values);
      samples.set(this.scratch.f32(this.samples, n), at);
    }
    return samples;
  }

  /** 16-bit samples, little-endian, to `out`. */
  pcm(samples: Float32Array, out: Uint8Array): void {
    for (let at = 0; at < samples.length; at += PIECE) {
      const n = Math.min(PIECE, samples.length - at);
      this.scratch.f32(this.samples, n).set(samples.subarray(at, at + n));
      // In place: each sample is read before its half is written.
      this.scratch.kernels.pcm_s16(n, this.samples, this.samples);
      out.set(this.scratch.u8(this.samples, n * 2), at * 2);
    }
  }
}

/**
 * Samples to codes, rounded to the nearest by {@linkcode mulaw}; those beyond ±1 become the extremes.
 *
 * @param samples in [−1, 1], none NaN
 * @example
 * ```ts
 * import { decodeMulaw, encodeMulaw } from "../../data.ts";
 * const codes = await encodeMulaw(Float32Array.of(-1, 0, 0.01, 1));
 * console.log(codes, await decodeMulaw(codes)); // 0, 128, 157, 255
 * ```
 */
export async function encodeMulaw(samples: Float32Array): Promise<Uint8Array<ArrayBuffer>> {
  expect("Cannot encode the samples", { samples: [samples, "an array of floats"] });
  return (await Companding.create()).encode(samples);
}

/** Codes to samples in [−1, 1]. */
export async function decodeMulaw(codes: Uint8Array): Promise<Float32Array<ArrayBuffer>> {
  expect("Cannot decode the codes", { codes: [codes, "an array of bytes"] });
  return (await Companding.create()).decode(codes);
}
