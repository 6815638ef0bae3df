/**
 * Axes: where their marks stand, and what is written there.
 *
 * @module
 */

import { textWidth } from "./svg.ts";

/** A mark of an axis. */
export interface Tick {
  readonly value: number;
  readonly text: string;
}

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * A number as an axis has it: 0.25, 1,500, 2.5·10⁷.
 *
 * @param step the smallest difference that must show
 */
export function numberText(value: number, step: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value), sign = value < 0 ? "−" : "", small = Math.floor(Math.log10(step) + 1e-9);
  if (size < 1e6 && (small >= -4 || size >= 1)) {
    const digits = Math.min(12, Math.max(0, -small));
    const [whole, part] = size.toFixed(digits).split(".");
    return sign + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
  }
  const [digits, power] = size.toExponential(Math.min(12, Math.max(0, Math.floor(Math.log10(size) + 1e-9) - small))).split("e");
  const raised = [...power.replace("+", "")].map((c) => c === "-" ? "⁻" : SUPERSCRIPT[Number(c)]).join("");
  return `${sign}${digits === "1" ? "" : `${digits}·`}10${raised}`;
}

/** A loss with three digits behind the point, or three in all where it is huge or tiny. */
export function lossText(loss: number): string {
  const size = Math.abs(loss);
  return size === 0 || (size >= 0.01 && size < 1e6) ? numberText(loss, 0.001) : numberText(loss, 10 ** (Math.floor(Math.log10(size)) - 2));
}

/** The least of 1, 2, 5 times a power of ten that is not below. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5, 10].find((m) => m * power >= rough * (1 - 1e-9)) ?? 10) * power;
}

/** Round numbers that divide [low, high] into about `count` parts; none where the two are too near each other, or too far, to be divided. */
export function linearTicks(low: number, high: number, count: number, least = 0): Tick[] {
  const step = Math.max(least, roundStep((high - low) / count)),
    first = Math.ceil(low / step - 1e-9),
    last = Math.floor(high / step + 1e-9);
  if (!(last - first <= 2 * count && Math.abs(first) < 2 ** 50)) return [];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => {
    const value = Number(((first + at) * step).toPrecision(12));
    return { value, text: numberText(value, step) };
  });
}

/** Round numbers of [low, high] on a logarithmic axis, at most about `count`; both above 0 and finite. */
export function logTicks(low: number, high: number, count: number): Tick[] {
  const decades = Math.log10(high / low),
    every = Math.ceil(decades / count),
    of = decades * 3 <= count ? [1, 2, 5] : [1],
    found: Tick[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1e-9; power++) {
    if (power % every !== 0) continue;
    for (const m of of) {
      const value = Number(`${m}e${power}`);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push({ value, text: numberText(value, value) });
    }
  }
  return found;
}

/** Of whole numbers from 0 to `high`: as many round ones as leave room between their texts on so many pixels. */
export function wholeTicks(high: number, pixels: number, size: number): Tick[] {
  for (let count = 8; count > 1; count--) {
    const ticks = linearTicks(0, high, count, 1), apart = pixels * (ticks.length > 1 ? ticks[1].value - ticks[0].value : high) / high;
    if (ticks.every(({ text }) => textWidth(text, size) + 12 <= apart)) return ticks;
  }
  return [{ value: 0, text: "0" }];
}

/**
 * Which of n things in a row are named where each has so many pixels: multiples of a power of two, for strides and contexts mostly are, and
 * the last.
 *
 * @param room pixels that a name needs
 */
export function namedOf(n: number, each: number, room: number): number[] {
  const apart = Math.max(1, room / each), step = 2 ** Math.ceil(Math.log2(apart)), found: number[] = [];
  for (let at = 0; at <= n - 1 - apart; at += step) found.push(at);
  return [...found, n - 1];
}

/** Pixels that a name needs from row to row. */
export const ROW_ROOM = 14;
/** Pixels between positions that are named from row to row, where not all are. */
export const ROWS_APART = 2 * ROW_ROOM;

/** A position as an axis has it. */
export const positionText = (at: number): string => numberText(at, 1);

/** Pixels that names of positions need from column to column. */
export const positionRoom = (n: number): number => textWidth(positionText(n), 11) + 8;

/** What wants to stand at a height. */
export interface Block {
  /** Where its middle is wanted. */
  readonly y: number;
  readonly height: number;
}

/**
 * Heights of the middles of blocks between `top` and `bottom` such that none overlaps another: in order of what they want, and near it.
 * There must be room for all.
 */
export function spread(blocks: readonly Block[], top: number, bottom: number): number[] {
  const order = blocks.map((_, at) => at).sort((a, b) => blocks[a].y - blocks[b].y), upper: number[] = Array(blocks.length);
  let free = top;
  for (const at of order) {
    upper[at] = Math.max(free, blocks[at].y - blocks[at].height / 2);
    free = upper[at] + blocks[at].height;
  }
  let end = bottom;
  for (const at of order.reverse()) {
    upper[at] = Math.min(upper[at], end - blocks[at].height);
    end = upper[at];
  }
  return upper.map((y, at) => y + blocks[at].height / 2);
}
