/**
 * Sound as pictures: for each column of pixels the span of its samples, and inside it their root mean square.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import type { Image } from "../data/image.ts";
import { mulawAmplitude } from "../data/mulaw.ts";
import { css, GROUND, INK, WAVE } from "./colors.ts";
import { round, svgHead, svgText, textLines } from "./svg.ts";

/** The most pixels of a side. */
const LARGEST = 16384;

/** Samples in [−1, 1], or µ-law codes. */
export type Wave = Float32Array | Uint8Array;

/** A sound reduced to columns. */
export interface Envelope {
  /** Lowest sample of each column. */
  readonly low: Float32Array;
  /** Highest sample of each column. */
  readonly high: Float32Array;
  /** Root mean square of each column. */
  readonly rms: Float32Array;
  /** Largest magnitude of all samples: pictures reach from −peak to peak, 1 where all is silence. */
  readonly peak: number;
}

/**
 * Reduces samples to columns. Each begins with the last sample of the one before, so that what is drawn hangs together.
 *
 * @throws {ShapeError} where there is no sample
 * @throws {ConfigError} where `columns` is not from 1 to 16,384
 */
export function envelope(samples: Wave, columns: number): Envelope {
  expect("Cannot draw a waveform", { samples: [samples, "a typed array"] });
  if (samples.length === 0) throw new ShapeError("Cannot draw a waveform: there is no sample");
  expect("Cannot draw a waveform", { "its width": [columns, [1, LARGEST]] });
  const low = new Float32Array(columns), high = new Float32Array(columns), rms = new Float32Array(columns), n = samples.length;
  let peak = 0;
  const amplitudes = Float32Array.from({ length: 256 }, (_, code) => mulawAmplitude(code));
  const at = samples instanceof Uint8Array ? (i: number) => amplitudes[samples[i]] : (i: number) => samples[i];
  for (let column = 0; column < columns; column++) {
    const from = Math.min(n - 1, Math.floor(column * n / columns)), to = Math.max(from + 1, Math.floor((column + 1) * n / columns));
    let least = at(Math.max(0, from - 1)), most = least, squares = 0;
    for (let i = from; i < to; i++) {
      const x = at(i);
      if (x < least) least = x;
      if (x > most) most = x;
      squares += x * x;
    }
    peak = Math.max(peak, -least, most);
    low[column] = least;
    high[column] = most;
    rms[column] = Math.sqrt(squares / (to - from));
  }
  return { low, high, rms, peak: peak || 1 };
}

/**
 * A waveform in pixels.
 *
 * @throws {ShapeError} where there is no sample
 * @throws {ConfigError} where the size is out of range
 */
export function waveformImage(samples: Wave, width = 960, height = 240): Image {
  expect("Cannot draw a waveform", { "its height": [height, [2, LARGEST]] });
  const { low, high, rms, peak } = envelope(samples, width), rgb = new Uint8Array(width * height * 3).fill(255);
  const row = (x: number) => Math.max(0, Math.min(height - 1, Math.round((1 - x / peak) / 2 * (height - 1)))), silence = row(0);
  for (let x = 0; x < width; x++) {
    const top = row(high[x]), bottom = row(low[x]), inner = [row(Math.min(rms[x], high[x])), row(Math.max(-rms[x], low[x]))];
    for (let y = 0; y < height; y++) {
      const color = y < top || y > bottom ? (y === silence ? WAVE.silence : GROUND) : y >= inner[0] && y <= inner[1] ? WAVE.rms : WAVE.span;
      rgb.set(color, (y * width + x) * 3);
    }
  }
  return { width, height, rgb };
}

/** Steps of an axis of time, in seconds. */
const CLOCK = [10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600];

/** Seconds as people write them: 7.5 s, 3:05. */
function clock(seconds: number, step: number): string {
  if (seconds >= 60) return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  return `${Number(seconds.toFixed(Math.max(0, -Math.floor(Math.log10(step)))))} s`;
}

/**
 * A waveform as SVG, with a title and an axis of time.
 *
 * @param rate samples per second
 * @throws {ShapeError} where there is no sample
 * @throws {ConfigError} where the width is out of range
 */
export function waveformSvg(samples: Wave, rate: number, title: string, width = 960): string {
  expect("Cannot draw a waveform", { rate: [rate, [1, MOST]], title: [title, "a string"] });
  const { low, high, rms, peak } = envelope(samples, width), height = 240, left = 16, seconds = samples.length / rate;
  const heading = textLines(title, width, 15, true), top = 40 + heading.length * 20;
  const y = (x: number) => (top + (1 - x / peak) / 2 * height).toFixed(1);
  const outline = (upper: (x: number) => number, lower: (x: number) => number) => {
    const points = Array.from(low, (_, x) => `${left + x},${y(upper(x))}`),
      back = Array.from(low, (_, x) => `${left + x},${y(lower(x))}`).reverse();
    return `M${[...points, ...back].join(" ")}Z`;
  };
  // Below 10 s 1, 2 or 5 of a power of ten; above, what clocks show.
  const rough = seconds / 8, power = 10 ** Math.floor(Math.log10(rough));
  const step = [power, 2 * power, 5 * power, 10 * power, ...CLOCK].find((step) => step >= rough && (step <= 10 || CLOCK.includes(step))) ??
    Math.ceil(rough / 3600) * 3600;
  const ticks = Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, k) => k * step);
  return [
    ...svgHead(width + 2 * left, top + height + 36, title),
    ...heading.map((line, at) => svgText(left, 28 + at * 20, line, { size: 15, bold: true })),
    svgText(left, top - 8, `±${Number(peak.toPrecision(2))}`, { size: 11, faint: true }),
    `<path d="${outline((x) => high[x], (x) => low[x])}" fill="${css(WAVE.span)}" stroke="${css(WAVE.span)}" stroke-width="0.6"/>`,
    `<path d="${outline((x) => Math.min(rms[x], high[x]), (x) => Math.max(-rms[x], low[x]))}" fill="${css(WAVE.rms)}"/>`,
    `<path d="M${left} ${y(0)}h${width}" stroke="${css(WAVE.silence)}" stroke-width="0.5"/>`,
    ...ticks.map((t) => {
      const x = left + t / seconds * width, anchor = t === 0 ? "start" : t > seconds * 0.97 ? "end" : "middle";
      return `<path d="M${round(x)} ${top + height}v6" stroke="${INK.label}"/>` +
        svgText(x, top + height + 20, clock(t, step), { size: 11, anchor, faint: true });
    }),
    "</svg>\n",
  ].join("\n");
}
