/**
 * Loss curves.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { COLORS, INK } from "./colors.ts";
import { css, escapeXml, svgHead } from "./svg.ts";

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

/** How a curve looks, where it is not a file of its own: colours as CSS writes them, `var(…)` too, and the size in pixels. */
export interface CurveLook {
  /** Default 760. */
  readonly width?: number;
  /** Default 440. */
  readonly height?: number;
  /** What is written. */
  readonly text?: string;
  /** What is written at axes and levels. */
  readonly label?: string;
  /** Lines across. */
  readonly grid?: string;
  /** The ground. */
  readonly ground?: string;
  /** The training loss. */
  readonly training?: string;
  /** The held-out loss. */
  readonly heldOut?: string;
}

/** How a file's curve looks. */
const PRINTED: Required<CurveLook> = {
  ...{ width: 760, height: 440, text: INK.text, label: INK.label, grid: INK.grid, ground: "#fff" },
  ...{ training: css(COLORS.near), heldOut: css(COLORS.far) },
};

/** Round numbers that divide [low, high] into about `count` parts. */
function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10), found: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/**
 * A run's loss against its steps.
 *
 * @param points in order of steps
 * @param steps of the whole run: the width of the axis
 * @param marks levels to compare with
 * @param look where it is not to be white and of its own size; it then has no heading, for the page has one
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
  look?: CurveLook,
): string {
  expect(CANNOT, { title: [title, "a string"], points: [points, "a list"], steps: [steps, [1, MOST]], marks: [marks, "a list"] });
  if (look !== undefined) expect(CANNOT, { look: [look, "an object"] });
  const { width, height, text, label, grid, ground, training, heldOut } = { ...PRINTED, ...look };
  for (const color of [text, label, grid, ground, training, heldOut]) expect(CANNOT, { color: [color, "a string"] });
  expect(CANNOT, { width: [width, [160, 2 ** 14]], height: [height, [120, 2 ** 14]] });
  for (const point of points) expect(CANNOT, { point: [point, "an object"], step: [point?.step, [0, MOST]] });
  for (const mark of marks) expect(CANNOT, { mark: [mark, "an object"], bits: [mark?.bits, "a finite number"] });
  // A page has its own heading.
  const left = 56, right = 24, bottom = 48, top = look ? 40 : 76, key = top - 28, count = width < 480 ? 4 : 6;
  const [inks, labels, lines, one, other] = [text, label, grid, training, heldOut].map(escapeXml);
  const finite = points.filter(({ loss }) => Number.isFinite(loss)), held = points.filter(({ heldOut }) => Number.isFinite(heldOut));
  const levels = [...finite.map(({ loss }) => loss), ...held.map(({ heldOut }) => heldOut!), ...marks.map(({ bits }) => bits)];
  const high = Math.max(1, ...levels) * 1.05, low = Math.max(0, Math.min(high * 0.8, ...levels) - high * 0.08);
  const x = (step: number) => left + (width - left - right) * step / Math.max(1, steps);
  const y = (bits: number) => top + (height - top - bottom) * (high - bits) / (high - low);
  const path = (at: readonly (readonly [number, number])[]) =>
    at.map(([s, b], i) => `${i === 0 ? "M" : "L"}${x(s).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  const out = [
    ...svgHead(width, height, title, ` font-size="12"`, { ink: inks, ground: escapeXml(ground) }),
    ...look ? [] : [`<text x="${left}" y="28" font-size="15" font-weight="600">${escapeXml(title)}</text>`],
    `<path d="M${left} ${key}h20" stroke="${one}" stroke-width="2"/><text x="${left + 26}" y="${key + 4}">training</text>`,
    `<path d="M${left + 96} ${key}h20" stroke="${other}" stroke-width="2"/><text x="${left + 122}" y="${key + 4}">held out</text>`,
  ];
  for (const bits of ticks(low, high, Math.max(5, Math.round((height - top - bottom) / 52)))) {
    out.push(
      `<path d="M${left} ${y(bits).toFixed(1)}H${width - right}" stroke="${lines}"/>`,
      `<text x="${left - 8}" y="${(y(bits) + 4).toFixed(1)}" text-anchor="end" fill="${labels}">${bits}</text>`,
    );
  }
  for (const step of ticks(0, steps, count)) {
    out.push(`<text x="${x(step).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle" fill="${labels}">${step}</text>`);
  }
  out.push(
    `<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle" fill="${labels}">steps</text>`,
    `<text transform="translate(16 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle" fill="${labels}">bits / byte</text>`,
  );
  for (const { label, bits } of marks) {
    out.push(
      `<path d="M${left} ${y(bits).toFixed(1)}H${width - right}" stroke="${labels}" stroke-dasharray="5 4"/>`,
      // Where there is little room, on the side that the curve has left by then.
      `<text ${look ? `x="${width - right}" text-anchor="end"` : `x="${left + 6}"`} y="${(y(bits) - 5).toFixed(1)}" fill="${labels}">${
        escapeXml(label)
      } ${bits.toFixed(2)}</text>`,
    );
  }
  if (finite.length > 0) {
    out.push(
      `<path d="${path(finite.map(({ step, loss }) => [step, loss]))}" fill="none" stroke="${one}" stroke-width="1.5"/>`,
    );
  }
  if (held.length > 0) {
    const at = held.map(({ step, heldOut }) => [step, heldOut!] as const), [step, bits] = at.at(-1)!;
    out.push(`<path d="${path(at)}" fill="none" stroke="${other}" stroke-width="2"/>`);
    for (const [s, b] of at) out.push(`<circle cx="${x(s).toFixed(1)}" cy="${y(b).toFixed(1)}" r="3" fill="${other}"/>`);
    // Below the last point, unless the axis is there.
    const hasRoom = y(bits) + 22 < height - bottom;
    out.push(
      `<text x="${(x(step) - 6).toFixed(1)}" y="${(y(bits) + (hasRoom ? 18 : -9)).toFixed(1)}" text-anchor="end" font-weight="600">${
        bits.toFixed(3)
      }</text>`,
    );
  }
  return out.join("\n") + "\n</svg>\n";
}
