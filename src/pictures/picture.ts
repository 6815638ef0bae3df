/**
 * Pictures as values: attention patterns as the paper's Fig. 3 draws them (query rows, key columns) and loss curves. No
 * file, no console: PNG bytes and SVG text come out.
 *
 * @module
 */

import { encodePng, type Image } from "../data/image.ts";
import { expect, MOST } from "../base/check.ts";
import { escapeXml, wrapText } from "../data/text.ts";
import { buildLayout } from "../pattern/layout.ts";
import { type AttentionSet, parts, setKey } from "../pattern/sets.ts";

const DRAWING = "Cannot draw";

/** A pattern reduced to cells: which share of each cell's allowed pairs is in the set. */
export interface PatternMap {
  /** For people: layers and heads it stands for. */
  readonly title: string;
  /** Positions drawn, from the first. */
  readonly n: number;
  /** Cells a side. */
  readonly cells: number;
  /** Share of near pairs (window, segment, the row itself) of each cell, [cells, cells], 0 … 1. */
  readonly near: Float32Array;
  /** Share of far pairs (strides, summaries, globals), [cells, cells], 0 … 1; near and far do not overlap. */
  readonly far: Float32Array;
  /** Share of pairs that may be attended to at all: less than 1 on and above the diagonal where causal. */
  readonly allowed: Float32Array;
}

/** Whether each part of a set is near: `window`, `segment`, `self`, and of block lists those that touch the diagonal. */
function nearParts(set: AttentionSet, n: number): boolean[] {
  return parts(set, n).map(({ span }, part) =>
    span.kind === "window" || span.kind === "segment" || span.kind === "self" || (span.kind === "listed" && part === 0)
  );
}

/** Most positions that a picture shows, from the first: its time grows as their square, and patterns repeat by their stride. */
export const DRAWN_LIMIT = 4096;

/**
 * Reduces the union of some sets to cells. Pairs are counted exactly, so thin diagonals do not alias.
 *
 * @param title of the picture
 * @param sets for example the heads of a layer
 * @param n positions to draw, from the first; at most {@linkcode DRAWN_LIMIT} are
 * @param most cells a side at most; where n is smaller, a cell is a pair
 */
export async function patternMap(title: string, sets: readonly AttentionSet[], n: number, most: number): Promise<PatternMap> {
  const size = [1, 2 ** 24] as const;
  expect(DRAWING, {
    title: [title, "a string"],
    sets: [sets, "a list"],
    "number of sets": [sets?.length, [1, MOST]],
    n: [n, size],
    most: [most, size],
  });
  // Whole positions a cell, the same for all but the last: uneven cells would show a beat of their own.
  const drawn = Math.min(n, DRAWN_LIMIT), each = Math.ceil(drawn / most), cells = Math.ceil(drawn / each);
  const width = (cell: number) => Math.min(drawn, (cell + 1) * each) - cell * each;
  const distinct = [...new Map(sets.map((set) => [setKey(set), set])).values()], causal = distinct.every((set) => set.causal);
  const made = await Promise.all(distinct.map(async (set) => {
    const layout = await buildLayout(set, drawn, { q: 64, k: 64 }), near = nearParts(set, drawn);
    return layout.parts.map(({ queryRows, keyRows, lo, hi }, part) => {
      const place = queryRows && new Uint32Array(drawn);
      queryRows?.forEach((row, u) => place![row] = u);
      return { mark: near[part] ? 2 : 1, place, keyRows, lo, hi };
    });
  }));
  // A pair of several sets counts once, near before far: one row of marks at a time, far written first.
  const ordered = made.flat().sort((a, b) => a.mark - b.mark), marks = new Uint8Array(drawn);
  const near = new Float32Array(cells * cells), far = new Float32Array(cells * cells), allowed = new Float32Array(cells * cells);
  for (let i = 0; i < drawn; i++) {
    marks.fill(0);
    for (const { mark, place, keyRows, lo, hi } of ordered) {
      const u = place ? place[i] : i;
      if (!keyRows) marks.fill(mark, lo[u], hi[u]);
      else for (let k = lo[u]; k < hi[u]; k++) marks[keyRows[k]] = mark;
    }
    const row = Math.floor(i / each) * cells, end = causal ? i + 1 : drawn;
    for (let j = 0; j < end; j++) {
      const at = row + Math.floor(j / each);
      allowed[at]++;
      if (marks[j] === 2) near[at]++;
      else if (marks[j] === 1) far[at]++;
    }
  }
  for (let r = 0; r < cells; r++) {
    for (let c = 0; c < cells; c++) {
      const at = r * cells + c, pairs = allowed[at];
      if (pairs === 0) continue;
      near[at] /= pairs;
      far[at] /= pairs;
      allowed[at] /= width(r) * width(c);
    }
  }
  return { title, n: drawn, cells, near, far, allowed };
}

const range = (numbers: readonly number[]): string => {
  const runs: string[] = [];
  for (let at = 0; at < numbers.length;) {
    let end = at;
    while (end + 1 < numbers.length && numbers[end + 1] === numbers[end] + 1) end++;
    runs.push(end === at ? `${numbers[at]}` : `${numbers[at]}–${numbers[end]}`);
    at = end + 1;
  }
  return runs.length > 4 ? `${runs.slice(0, 3).join(", ")}, … ${runs.at(-1)}` : runs.join(", ");
};

/** Sets of a schedule that differ, with the layers and heads that have them. */
export interface Panel {
  /** Layers and heads, for people. */
  readonly title: string;
  /** The set. */
  readonly set: AttentionSet;
  /** Layers that have it, at any head. */
  readonly layers: readonly number[];
  /** Heads that have it, at any layer. */
  readonly heads: readonly number[];
  /** How many of all layers' heads have it. */
  readonly uses: number;
}

/** The sets of a schedule that differ, in order of first use, titled for people. */
export function panelsOf(schedule: readonly (readonly AttentionSet[])[]): Panel[] {
  expect(DRAWING, { schedule: [schedule, "a list"] });
  for (const sets of schedule) expect(DRAWING, { "a layer's sets": [sets, "a list"] });
  const found = new Map<string, { set: AttentionSet; layers: Set<number>; heads: Set<number>; uses: number }>();
  schedule.forEach((sets, layer) =>
    sets.forEach((set, head) => {
      const key = setKey(set), entry = found.get(key) ?? { set, layers: new Set(), heads: new Set(), uses: 0 };
      found.set(key, entry);
      entry.layers.add(layer);
      entry.heads.add(head);
      entry.uses++;
    })
  );
  const heads = Math.max(...schedule.map((sets) => sets.length));
  return [...found.values()].map(({ set, layers, heads: of, uses }) => {
    const where: string[] = [];
    if (layers.size < schedule.length) where.push(`layer${layers.size > 1 ? "s" : ""} ${range([...layers])}`);
    if (of.size < heads) where.push(`head${of.size > 1 ? "s" : ""} ${range([...of].sort((a, b) => a - b))}`);
    return { title: where.join(", ") || "every layer and head", set, layers: [...layers], heads: [...of], uses };
  });
}

/** Red, green, blue, 0 … 255. */
export type Color = readonly [number, number, number];

/** Colours of Fig. 3, darkened for contrast on the light ground: blue for the near factor, orange for the far one. */
export const COLORS: Readonly<Record<"near" | "far" | "empty" | "forbidden", Color>> = {
  near: [28, 82, 165],
  far: [232, 119, 34],
  empty: [226, 230, 236],
  forbidden: [255, 255, 255],
};

function checkMap(map: PatternMap): void {
  expect(DRAWING, { map: [map, "an object"], "map.cells": [map?.cells, [1, MOST]] });
}

/** The colour of one cell. Shares are raised by a square root: a stride of 128 drawn in 16 × 16 cells is 1 pair in 16. */
export function cellColor(map: PatternMap, row: number, column: number): Color {
  checkMap(map);
  expect(DRAWING, { row: [row, [0, map.cells - 1]], column: [column, [0, map.cells - 1]] });
  const at = row * map.cells + column, allowed = map.allowed[at], total = map.near[at] + map.far[at];
  const lift = total > 0 ? Math.sqrt(total) / total : 0;
  return [0, 1, 2].map((channel) => {
    const near = map.near[at] * lift, far = map.far[at] * lift;
    const inside = COLORS.near[channel] * near + COLORS.far[channel] * far + COLORS.empty[channel] * Math.max(0, 1 - near - far);
    return Math.round(inside * allowed + COLORS.forbidden[channel] * (1 - allowed));
  }) as unknown as Color;
}

/** Draws a map with whole pixels a cell, as many as fit into `side`. */
export function patternImage(map: PatternMap, side = 480): Image {
  checkMap(map);
  expect(DRAWING, { side: [side, [1, 2 ** 14]] });
  const { cells } = map, scale = Math.max(1, Math.floor(side / cells)), width = cells * scale, rgb = new Uint8Array(width * width * 3);
  // A line between cells where there is room for it.
  const line = scale >= 6 ? 1 : 0;
  for (let row = 0; row < cells; row++) {
    const top = row * scale * width * 3, drawn = rgb.subarray(top, top + width * 3);
    for (let column = 0; column < cells; column++) {
      const color = cellColor(map, row, column);
      for (let x = 0; x < scale; x++) drawn.set(x < scale - line ? color : COLORS.forbidden, (column * scale + x) * 3);
    }
    for (let y = 1; y < scale - line; y++) rgb.copyWithin(top + y * width * 3, top, top + width * 3);
    if (line) rgb.fill(255, top + (scale - 1) * width * 3, top + scale * width * 3);
  }
  return { width, height: width, rgb };
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

const FONT = `font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"`;
const css = (color: Color) => `rgb(${color.join(",")})`;

/**
 * Maps as one SVG with titles, axes and a legend.
 *
 * @param heading above all
 * @param notes lines below: pair counts, validity
 */
export function patternSvg(maps: readonly PatternMap[], heading: string, notes: readonly string[] = []): string {
  expect(DRAWING, { maps: [maps, "a list"], heading: [heading, "a string"], notes: [notes, "a list"] });
  const side = maps.length === 1 ? 480 : 300, gap = 44, columns = Math.min(3, maps.length), rows = Math.ceil(maps.length / columns);
  const width = columns * (side + gap) + gap, lines = notes.flatMap((note) => wrapText(note, Math.floor((width - 2 * gap) / 7)));
  const top = 84, height = top + rows * (side + 58) + lines.length * 20 + 16;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT} fill="#1a2233">`,
    `<title>${escapeXml(heading)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${gap}" y="34" font-size="18" font-weight="600">${escapeXml(heading)}</text>`,
  ];
  let x = gap;
  for (
    const [color, label] of [[COLORS.near, "near: window"], [COLORS.far, "far: stride, summary, global"], [
      COLORS.empty,
      "not attended",
    ]] as const
  ) {
    out.push(
      `<rect x="${x}" y="48" width="12" height="12" fill="${css(color)}"/><text x="${x + 18}" y="58" font-size="12">${label}</text>`,
    );
    x += 30 + label.length * 6.5;
  }
  maps.forEach((map, at) => {
    const left = gap + (at % columns) * (side + gap), y = top + Math.floor(at / columns) * (side + 58);
    const png = base64(encodePng(patternImage(map, side * 2)));
    out.push(
      `<text x="${left}" y="${y + 12}" font-size="13" font-weight="600">${escapeXml(map.title)}</text>`,
      `<image x="${left}" y="${
        y + 20
      }" width="${side}" height="${side}" style="image-rendering:pixelated" href="data:image/png;base64,${png}"/>`,
      `<rect x="${left}" y="${y + 20}" width="${side}" height="${side}" fill="none" stroke="#9aa4b2"/>`,
      `<text x="${left}" y="${y + side + 35}" font-size="11" fill="#5b6675">key 0</text>`,
      `<text x="${left + side}" y="${y + side + 35}" font-size="11" fill="#5b6675" text-anchor="end">${map.n - 1}</text>`,
      `<text transform="translate(${left - 6} ${y + 20 + side}) rotate(-90)" font-size="11" fill="#5b6675" text-anchor="start">${
        map.n - 1
      }</text>`,
      `<text transform="translate(${left - 6} ${y + 20}) rotate(-90)" font-size="11" fill="#5b6675" text-anchor="end">query 0</text>`,
    );
  });
  lines.forEach((line, at) => {
    out.push(`<text x="${gap}" y="${top + rows * (side + 58) + 14 + at * 20}" font-size="13">${escapeXml(line)}</text>`);
  });
  return out.join("\n") + "\n</svg>\n";
}

/** One report of a run, in bits a token. */
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
  /** Bits a token. */
  readonly bits: number;
}

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
 *
 * @example
 * ```ts
 * import { lossCurveSvg } from "../../pictures.ts";
 * const svg = lossCurveSvg("first run", [{ step: 1, loss: 8 }, { step: 9, loss: 4.1, heldOut: 4.3 }], 10, [{ label: "gzip −9", bits: 2.5 }]);
 * console.log(svg.length > 0);
 * ```
 */
export function lossCurveSvg(title: string, points: readonly CurvePoint[], steps: number, marks: readonly CurveMark[] = []): string {
  expect(DRAWING, { title: [title, "a string"], points: [points, "a list"], steps: [steps, [1, MOST]], marks: [marks, "a list"] });
  for (const point of points) expect(DRAWING, { point: [point, "an object"], step: [point?.step, [0, MOST]] });
  for (const mark of marks) expect(DRAWING, { mark: [mark, "an object"], bits: [mark?.bits, "a finite number"] });
  const width = 760, height = 440, left = 56, right = 24, top = 76, bottom = 48;
  const finite = points.filter(({ loss }) => Number.isFinite(loss)), held = points.filter(({ heldOut }) => Number.isFinite(heldOut));
  const levels = [...finite.map(({ loss }) => loss), ...held.map(({ heldOut }) => heldOut!), ...marks.map(({ bits }) => bits)];
  const high = Math.max(1, ...levels) * 1.05, low = Math.max(0, Math.min(high * 0.8, ...levels) - high * 0.08);
  const x = (step: number) => left + (width - left - right) * step / Math.max(1, steps);
  const y = (bits: number) => top + (height - top - bottom) * (high - bits) / (high - low);
  const path = (at: readonly (readonly [number, number])[]) =>
    at.map(([s, b], i) => `${i === 0 ? "M" : "L"}${x(s).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT} fill="#1a2233" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${left}" y="28" font-size="15" font-weight="600">${escapeXml(title)}</text>`,
    `<path d="M${left} 48h20" stroke="${css(COLORS.near)}" stroke-width="2"/><text x="${left + 26}" y="52">training</text>`,
    `<path d="M${left + 96} 48h20" stroke="${css(COLORS.far)}" stroke-width="2"/><text x="${left + 122}" y="52">held out</text>`,
  ];
  for (const bits of ticks(low, high, 6)) {
    out.push(
      `<path d="M${left} ${y(bits).toFixed(1)}H${width - right}" stroke="#e2e6ec"/>`,
      `<text x="${left - 8}" y="${(y(bits) + 4).toFixed(1)}" text-anchor="end" fill="#5b6675">${bits}</text>`,
    );
  }
  for (const step of ticks(0, steps, 6)) {
    out.push(`<text x="${x(step).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle" fill="#5b6675">${step}</text>`);
  }
  out.push(
    `<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle" fill="#5b6675">steps</text>`,
    `<text transform="translate(16 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle" fill="#5b6675">bits / byte</text>`,
  );
  for (const { label, bits } of marks) {
    out.push(
      `<path d="M${left} ${y(bits).toFixed(1)}H${width - right}" stroke="#5b6675" stroke-dasharray="5 4"/>`,
      `<text x="${left + 6}" y="${(y(bits) - 5).toFixed(1)}" fill="#5b6675">${escapeXml(label)} ${bits.toFixed(2)}</text>`,
    );
  }
  if (finite.length > 0) {
    out.push(
      `<path d="${path(finite.map(({ step, loss }) => [step, loss]))}" fill="none" stroke="${css(COLORS.near)}" stroke-width="1.5"/>`,
    );
  }
  if (held.length > 0) {
    const at = held.map(({ step, heldOut }) => [step, heldOut!] as const), [step, bits] = at.at(-1)!;
    out.push(`<path d="${path(at)}" fill="none" stroke="${css(COLORS.far)}" stroke-width="2"/>`);
    for (const [s, b] of at) out.push(`<circle cx="${x(s).toFixed(1)}" cy="${y(b).toFixed(1)}" r="3" fill="${css(COLORS.far)}"/>`);
    out.push(
      `<text x="${(x(step) - 6).toFixed(1)}" y="${(y(bits) + 18).toFixed(1)}" text-anchor="end" font-weight="600">${
        bits.toFixed(3)
      }</text>`,
    );
  }
  return out.join("\n") + "\n</svg>\n";
}
