/**
 * Loss curves.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { linearTicks, logTicks, lossText, numberText, spread, type Tick, wholeTicks } from "./axes.ts";
import { COLORS, css, INK } from "./colors.ts";
import { legend, type LegendEntry, round, svgHead, svgText, textLines, textWidth } from "./svg.ts";

const CANNOT = "Cannot draw";

/** One report of a run, in bits per token. */
export interface CurvePoint {
  /** Updates done. */
  readonly step: number;
  /** Training loss. */
  readonly loss: number;
  /** Held-out loss, where it was measured. */
  readonly heldOut?: number;
}

/** A level to draw across a curve, for example what gzip reaches. */
export interface CurveMark {
  /** What it is. */
  readonly label: string;
  /** Bits per token. */
  readonly bits: number;
}

/** A place on a curve. */
type At = readonly [step: number, bits: number];

/** Above this a logarithmic axis is drawn: on a linear one the lower of two values would lie on its edge. */
const LOG_RATIO = 200;
/** Losses beyond are not drawn: sums of such overflow, and so do the margins of an axis of them and of what is below its inverse. */
const DRAWABLE = 1e250;
/** Held-out losses that have a dot each; of more, the curve alone shows. */
const DOTS = 60;
/** Pixels from line to line. */
const LINE = 16;

/** The vertical axis: where a value stands, 0 at the top and 1 at the bottom. */
interface Scale {
  at(bits: number): number;
  readonly ticks: readonly Tick[];
  readonly isLog: boolean;
}

function scaleOf(levels: readonly number[], count: number): Scale {
  const least = levels.reduce((a, b) => Math.min(a, b), Infinity), most = levels.reduce((a, b) => Math.max(a, b), -Infinity);
  if (levels.length === 0) return { at: (bits) => 1 - bits, ticks: linearTicks(0, 1, count), isLog: false };
  if (least > 1 / DRAWABLE && most / least > LOG_RATIO) {
    const edge = (Math.log(most) - Math.log(least)) * 0.05, high = Math.log(most) + edge, low = Math.log(least) - edge;
    return {
      at: (bits) => (high - Math.log(bits)) / (high - low),
      ticks: logTicks(Math.exp(low), Math.exp(high), count),
      isLog: true,
    };
  }
  // A curve that hardly moves is drawn as one that hardly moves.
  const edge = Math.max((most - least) * 0.06, Math.max(Math.abs(most), Math.abs(least)) * 0.02) || 1;
  const high = most + edge, low = least >= 0 ? Math.max(0, least - edge) : least - edge;
  return { at: (bits) => (high - bits) / (high - low), ticks: linearTicks(low, high, count), isLog: false };
}

/** What the two curves are called, and their latest values. */
function entriesOf(training: readonly At[], heldOut: readonly At[]): LegendEntry[] {
  const line = (color: string, width: number) => (x: number, y: number) =>
    `<path d="M${round(x)} ${round(y)}h20" stroke="${color}" stroke-width="${width}"/>`;
  const least = heldOut.reduce((a, b) => b[1] < a[1] ? b : a, heldOut[0]), last = heldOut.at(-1);
  const lowest = last && least[1] < last[1] ? `, lowest ${lossText(least[1])} at step ${numberText(least[0], 1)}` : "";
  const drawn = line(css(COLORS.far), 2);
  return [
    {
      label: ["training", ...training.slice(-1).map(([, bits]) => lossText(bits))].join(" "),
      width: 20,
      draw: line(css(COLORS.near), 1.5),
    },
    {
      label: ["held out", ...last ? [lossText(last[1])] : []].join(" ") + lowest,
      width: 20,
      draw: (x, y) => drawn(x, y) + `<circle cx="${round(x + 10)}" cy="${round(y)}" r="3" fill="${css(COLORS.far)}"/>`,
    },
  ];
}

/** What a curve is drawn with: its line, and dots where it is one point, or where they are wanted. */
function curve(at: readonly At[], color: string, width: number, dots: boolean): string[] {
  const line = at.map(([x, y], i) => `${i === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
  return [
    ...at.length > 1 ? [`<path d="${line}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round"/>`] : [],
    ...(dots || at.length === 1 ? at : []).map(([x, y]) => `<circle cx="${round(x)}" cy="${round(y)}" r="3" fill="${color}"/>`),
  ];
}

function checkCurve(title: string, points: readonly CurvePoint[], steps: number, marks: readonly CurveMark[], width: number): void {
  expect(CANNOT, {
    title: [title, "a string"],
    points: [points, "a list"],
    steps: [steps, [1, MOST]],
    marks: [marks, "a list"],
    width: [width, [320, 4096]],
  });
  for (const point of points) expect(CANNOT, { point: [point, "an object"], step: [point?.step, [0, MOST]] });
  for (const mark of marks) {
    expect(CANNOT, { mark: [mark, "an object"], label: [mark?.label, "a string"], bits: [mark?.bits, "a finite number"] });
  }
}

/**
 * A run's loss against its steps. Nothing in it overlaps anything else, whatever the values: levels are named beside the plot, and the
 * picture grows with what is named. Where values differ by more than a factor of 200 the axis is logarithmic. What is not finite, or
 * above 10²⁵⁰, is left out.
 *
 * @param points in order of steps
 * @param steps of the whole run: the width of the axis
 * @param marks levels to compare with
 * @param width of the picture, in pixels
 * @param unit of the losses, beside their axis
 *
 * @example
 * ```ts
 * import { lossCurveSvg } from "../../pictures.ts";
 * const svg = lossCurveSvg("first run", [{ step: 1, loss: 8 }, { step: 9, loss: 4.1, heldOut: 4.3 }], 10, [{ label: "gzip −9", bits: 2.5 }]);
 * console.log(svg.length > 0);
 * ```
 */
export function lossCurveSvg(
  title: string,
  points: readonly CurvePoint[],
  steps: number,
  marks: readonly CurveMark[] = [],
  width = 760,
  unit = "bits / byte",
): string {
  checkCurve(title, points, steps, marks, width);
  expect(CANNOT, { unit: [unit, "a string"] });
  const drawable = (bits: number | undefined): bits is number => Number.isFinite(bits) && Math.abs(bits!) < DRAWABLE;
  const training = points.filter(({ loss }) => drawable(loss)).map(({ step, loss }): At => [step, loss]);
  const heldOut = points.filter(({ heldOut }) => drawable(heldOut)).map(({ step, heldOut }): At => [step, heldOut!]);
  const levels = marks.filter(({ bits }) => drawable(bits)), margin = 16, inner = width - 2 * margin;

  // Names of levels stand right of the plot, where nothing else is.
  const named = levels.map(({ label, bits }) => ({ bits, lines: textLines(`${label} ${lossText(bits)}`, inner * 0.26, 12) }));
  const beside = Math.max(0, ...named.flatMap(({ lines }) => lines.map((line) => textWidth(line, 12) + 22)));
  const tall = Math.max(316, named.reduce((sum, { lines }) => sum + lines.length * LINE, 0));
  const scale = scaleOf([...training, ...heldOut].map(([, bits]) => bits).concat(levels.map(({ bits }) => bits)), Math.floor(tall / 52));

  const heading = textLines(title, inner, 15, true),
    left = margin + 28 + Math.max(...scale.ticks.map(({ text }) => textWidth(text, 12)), 12);
  const key = legend(entriesOf(training, heldOut), margin, 14 + heading.length * LINE * 1.25, inner);
  const top = 14 + heading.length * LINE * 1.25 + key.height + 14, bottom = top + tall, right = width - margin - Math.max(beside, 20);
  const last = Math.max(steps, points.at(-1)?.step ?? 0);
  const x = (step: number) => left + (right - left) * step / last, y = (bits: number) => top + tall * scale.at(bits);

  const out = [
    ...svgHead(width, Math.ceil(bottom + 50), title),
    ...heading.map((line, at) => svgText(margin, 28 + at * LINE * 1.25, line, { size: 15, bold: true })),
    ...key.drawn,
  ];
  for (const { value, text } of scale.ticks) {
    out.push(
      `<path d="M${round(left)} ${round(y(value))}H${round(right)}" stroke="${INK.grid}"/>`,
      svgText(left - 8, y(value) + 4, text, { anchor: "end", faint: true }),
    );
  }
  for (const { value, text } of wholeTicks(last, right - left, 12)) {
    out.push(
      `<path d="M${round(x(value))} ${round(bottom)}v5" stroke="${INK.frame}"/>`,
      svgText(x(value), bottom + 19, text, { anchor: "middle", faint: true }),
    );
  }
  out.push(
    `<path d="M${round(left)} ${round(bottom)}H${round(right)}" stroke="${INK.frame}"/>`,
    svgText((left + right) / 2, bottom + 40, "steps", { anchor: "middle", faint: true }),
    svgText(margin + 10, (top + bottom) / 2, `${unit}${scale.isLog ? ", logarithmic" : ""}`, {
      anchor: "middle",
      faint: true,
      upwards: true,
    }),
  );
  const middles = spread(named.map(({ bits, lines }) => ({ y: y(bits), height: lines.length * LINE })), top, bottom);
  named.forEach(({ bits, lines }, at) => {
    out.push(
      `<path d="M${round(left)} ${round(y(bits))}H${round(right)}" stroke="${INK.label}" stroke-dasharray="5 4"/>`,
      `<path d="M${round(right)} ${round(y(bits))}h4L${round(right + 14)} ${round(middles[at])}h4" fill="none" stroke="${INK.frame}"/>`,
      ...lines.map((line, row) => svgText(right + 22, middles[at] + (row - (lines.length - 1) / 2) * LINE + 4, line, { faint: true })),
    );
  });
  const place = (at: readonly At[]) => at.map(([step, bits]): At => [x(step), y(bits)]);
  out.push(...curve(place(training), css(COLORS.near), 1.5, false), ...curve(place(heldOut), css(COLORS.far), 2, heldOut.length <= DOTS));
  return out.join("\n") + "\n</svg>\n";
}
