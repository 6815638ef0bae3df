/**
 * The low-pass of a change of rate: a sinc windowed by Kaiser, I₀(β·√(1 − u²)) / I₀(β) at u of its half width.
 *
 * J. F. Kaiser, “Nonrecursive digital filter design using the I₀-sinh window function”, 1974: β and the width of the fall by the
 * attenuation wanted.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";

/**
 * Zero crossings of the low-pass on each side of its centre: with {@linkcode BETA} it falls from 0.92 of the lower
 * Nyquist frequency (5.53 kHz at 12 kHz) to below −80 dB at that frequency. Codes of 8 bits have about 38 dB.
 */
const CROSSINGS = 64;

/** Kaiser's window for 80 dB: 0.1102 · (80 − 8.7). */
const BETA = 7.857;

/** Width of the fall, of the lower Nyquist frequency: (80 − 7.95) / (14.36 · 2 · CROSSINGS) · 2. */
const FALL = 0.0784;

/** Most numbers of a filter, 128 MiB: rates without a common divisor need one phase for each output sample of a second. */
const FILTER_LIMIT = 2 ** 25;

/** Modified Bessel function of the first kind, order 0, by its series. */
function bessel(x: number): number {
  let term = 1, sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

/** The greatest common divisor. */
export function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Phases of a windowed sinc for a rate change by up / down: [up, taps], each phase with sum 1. */
export function lowPass(up: number, down: number, name: string): { half: number; filter: Float32Array<ArrayBuffer> } {
  const stretch = Math.max(1, down / up), half = Math.ceil(CROSSINGS * stretch / 4) * 4, taps = half * 2;
  if (up * taps > FILTER_LIMIT) {
    throw new ConfigError(
      `Cannot read ${name}: to change its rate by ${up} / ${down} takes a filter of ${up * taps} numbers, at most ${FILTER_LIMIT} are ` +
        `allowed; choose rates with a common divisor (ffmpeg -i in.wav -ar 48000 out.wav)`,
    );
  }
  const filter = new Float32Array(up * taps), cutoff = (1 - FALL / 2) / stretch, scale = bessel(BETA);
  for (let phase = 0; phase < up; phase++) {
    const weights = filter.subarray(phase * taps, (phase + 1) * taps);
    let sum = 0;
    for (let j = 0; j < taps; j++) {
      const t = phase / up + half - 1 - j, u = t / half, x = Math.PI * cutoff * t;
      const weight = Math.abs(u) >= 1 ? 0 : (x === 0 ? 1 : Math.sin(x) / x) * bessel(BETA * Math.sqrt(1 - u * u)) / scale;
      weights[j] = weight;
      sum += weight;
    }
    for (let j = 0; j < taps; j++) weights[j] /= sum;
  }
  return { half, filter };
}
