/**
 * Attention maps as pictures (the paper's Fig. 2): alone, or over the image that was attended to.
 *
 * @module
 */

import { expect, expectTokens, MOST } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import { IMAGE_SHAPE } from "../base/limits.ts";
import type { Image, ImageShape } from "../data/image.ts";
import { type AttentionMap, type AttentionRow, QUERIES_SHOWN } from "../run/maps.ts";
import { namedOf, positionRoom, positionText, ROW_ROOM, ROWS_APART } from "./axes.ts";
import { type Color, COLORS, css, WEIGHTS } from "./colors.ts";
import { type Frame, pageSvg, type Side } from "./frames.ts";
import { type LegendEntry, svgPixels, svgText, swatch, textWidth } from "./svg.ts";

/** The colour of a share of the row's largest weight. Raised by a square root, so that small weights show. */
function weightColor(share: number): Color {
  const { light, middle, dark } = WEIGHTS;
  const [low, high, at] = share < 0.25 ? [light, middle, Math.sqrt(share) * 2] : [middle, dark, Math.sqrt(share) * 2 - 1];
  return [0, 1, 2].map((channel) => Math.round(low[channel] + (high[channel] - low[channel]) * at)) as unknown as Color;
}

/**
 * Draws a map: a line per query, first on top, keys from left to right. Each line is relative to its largest weight: that is
 * darkest, other pairs of the set are lighter, pairs outside it grey, later ones white. Where positions are more than
 * pixels, the largest weight of a pixel's pairs counts.
 *
 * @param side pixels per side at most
 */
export function attentionImage(map: AttentionMap, side = QUERIES_SHOWN): Image {
  expect("Cannot draw attention", { map: [map, "an object"] });
  const { n, rows, causal } = map;
  expect("Cannot draw attention", {
    n: [n, [1, MOST]],
    rows: [rows, "a list"],
    "number of rows": [rows?.length, [1, MOST]],
    side: [side, [1, 2 ** 14]],
  });
  const across = Math.ceil(n / side), down = Math.ceil(rows.length / side);
  const columns = Math.ceil(n / across), lines = Math.ceil(rows.length / down);
  // Small maps are drawn larger; a few chosen queries as bands.
  const scale = Math.max(1, Math.floor(side / 2 / columns)),
    height = rows.length < n ? Math.max(scale, Math.min(16, Math.floor(side / lines))) : scale;
  const width = columns * scale, rgb = new Uint8Array(width * lines * height * 3), cells = new Float32Array(columns);
  for (let line = 0; line < lines; line++) {
    const group = rows.slice(line * down, (line + 1) * down), last = causal ? group.at(-1)!.query : n - 1;
    cells.fill(-1);
    for (const { keys, weights } of group) {
      const most = weights.reduce((a, b) => Math.max(a, b), 0);
      keys.forEach((key, at) => {
        const cell = Math.floor(key / across);
        cells[cell] = Math.max(cells[cell], weights[at] / most);
      });
    }
    const top = line * height * width * 3;
    cells.forEach((share, cell) => {
      const color = share >= 0 ? weightColor(share) : cell * across > last ? COLORS.forbidden : COLORS.empty;
      for (let x = 0; x < scale; x++) rgb.set(color, top + (cell * scale + x) * 3);
    });
    for (let y = 1; y < height; y++) rgb.copyWithin(top + y * width * 3, top, top + width * 3);
  }
  return { width, height: lines * height, rgb };
}

/** Choices of {@linkcode attentionSvg}. */
export interface AttentionSvgOptions {
  /** What stands for each token of the sequence, such as {@linkcode byteLabels} gives; they are written along the axes where there is room. */
  readonly labels?: readonly string[];
  /** Maps of a row; default all. */
  readonly columns?: number;
}

/** What stands for the start token, which the first position holds. */
const START = "▸";
/** Cells of a map, in pixels: the least that a character fits into, one that it is read well in, the most. */
const CELL = { least: 11, good: 16, most: 40 } as const;
/** Sides of a map, in pixels: what is wanted where it is alone and where it is one of several; the most for the sake of labels. */
const LENGTHS = { alone: [480, 1100], several: [300, 480] } as const;
/** Size of numbers beside a map. */
const TICK_SIZE = 10;
/** Below this size, labels are better read upwards than small. */
const READABLE = 7;
/** Size of characters: as large as a cell has room for. */
const labelSize = (cell: number) => Math.min(12, cell * 0.78);

/** Keys from left to right. */
function keySide({ n }: AttentionMap, { cell, covered, labels }: { cell: number; covered: number; labels?: readonly string[] }): Side {
  const length = cell * covered, at = (position: number) => (position + 0.5) / covered;
  const of = (named: readonly number[], text: (position: number) => string) =>
    named.map((position) => ({ at: at(position), text: text(position) }));
  if (!labels || cell < CELL.least) {
    return { name: "key position", length, ticks: of(namedOf(n, cell, positionRoom(n)), positionText) };
  }
  const texts = Array.from({ length: n }, (_, position) => position === 0 ? START : labels[position - 1]);
  const upright = Math.min(labelSize(cell), cell / Math.max(...texts.map((text) => textWidth(text, 1)))), upwards = upright < READABLE;
  return {
    name: `keys, by the token each holds; ${START} is the start`,
    length,
    size: upwards ? labelSize(cell) : upright,
    upwards,
    ticks: of([...texts.keys()], (position) => texts[position]),
  };
}

/** Queries from top to bottom. */
function querySide(
  { rows, n }: AttentionMap,
  { cell, covered, labels }: { cell: number; covered: number; labels?: readonly string[] },
): Side {
  const length = cell * covered, at = (row: number) => (row + 0.5) / covered;
  if (labels && cell >= CELL.least) {
    const ticks = rows.map(({ query }, row) => ({ at: at(row), text: labels[query] }));
    return { name: "queries, by the token each predicts", length, size: labelSize(cell), ticks };
  }
  const named = rows.length === n || cell < ROW_ROOM ? namedOf(rows.length, cell, ROWS_APART) : [...rows.keys()];
  return { name: "query position", length, ticks: named.map((row) => ({ at: at(row), text: positionText(rows[row].query) })) };
}

/** A map in a frame. */
function mapFrame(map: AttentionMap, [wanted, most]: readonly [number, number], labels?: readonly string[]): Frame {
  const { n, rows, layer, head } = map, image = attentionImage(map, Math.min(n, QUERIES_SHOWN));
  // A pixel may be of several keys, or rows; the last may go beyond them.
  const covering = (count: number) => {
    const each = Math.ceil(count / Math.min(n, QUERIES_SHOWN));
    return Math.ceil(count / each) * each;
  };
  const across = covering(n), down = covering(rows.length);
  const forLabels = (count: number) => labels && most / count >= CELL.least ? Math.min(CELL.good, most / count) : 0;
  const fitting = (count: number) => Math.min(CELL.most, Math.max(wanted / count, forLabels(count)));
  const cell = fitting(across), each = rows.length === n ? cell : Math.min(24, fitting(down));
  const y = querySide(map, { cell: each, covered: down, labels });
  const largest = rows.map(({ weights }, row) => ({
    at: (row + 0.5) / down,
    text: weights.reduce((a, b) => Math.max(a, b), 0).toFixed(2),
  }));
  return {
    title: `layer ${layer}, head ${head}`,
    image,
    x: keySide(map, { cell, covered: across, labels }),
    y,
    // What the darkest of a row stands for.
    ...each >= CELL.least ? { right: { name: "largest", length: y.length, size: Math.min(TICK_SIZE, each * 0.8), ticks: largest } } : {},
    turns: true,
  };
}

/** What light and dark say. */
function weightEntry(label: string, color: (share: number) => Color, turns: boolean): LegendEntry {
  const width = 96, rgb = new Uint8Array(width * 3);
  for (let x = 0; x < width; x++) rgb.set(color((x + 0.5) / width), x * 3);
  return {
    label,
    width: width + 14,
    draw: (x, y) => svgText(x, y + 4, "0") + svgPixels({ width, height: 1, rgb }, x + 14, y - 6, width, 12, turns),
  };
}

/**
 * Maps as one SVG: each with its layer and head, queries down, keys across, and a legend of what light and dark say. Where there is room,
 * the axes have the tokens themselves: a key's is the one that its position holds, a query's the one that it predicts, which the
 * position after it holds; and each row has its largest weight. Otherwise positions are named.
 *
 * @param heading above all
 */
export function attentionSvg(maps: readonly AttentionMap[], heading: string, options: AttentionSvgOptions = {}): string {
  const cannot = "Cannot draw attention";
  expect(cannot, { options: [options, "an object"] });
  const { labels, columns } = options;
  expect(cannot, {
    maps: [maps, "a list"],
    "number of maps": [maps?.length, [1, MOST]],
    heading: [heading, "a string"],
    labels: [labels === undefined ? [] : labels, "a list"],
    columns: [columns === undefined ? 1 : columns, [1, MOST]],
  });
  for (const map of maps) expect(cannot, { map: [map, "an object"], rows: [map?.rows, "a list"] });
  for (const label of labels ?? []) expect(cannot, { label: [label, "a string"] });
  const longest = Math.max(...maps.map(({ n }) => n)), causal = maps.some(({ causal }) => causal);
  if (labels && labels.length < longest) {
    throw new ShapeError(`${cannot}: a sequence of ${longest} tokens needs as many labels, got ${labels.length}`);
  }
  const lengths = maps.length === 1 ? LENGTHS.alone : LENGTHS.several, frames = maps.map((map) => mapFrame(map, lengths, labels));
  const entries = [
    weightEntry("largest weight of its row", weightColor, true),
    swatch(css(COLORS.empty), "not attended", true),
    ...causal ? [swatch(css(COLORS.forbidden), "later", true)] : [],
  ];
  return pageSvg({ heading, entries, frames, columns: columns ?? maps.length });
}

/** What a pixel keeps of its colour below the weights. */
const DIMMED = 0.55;

/**
 * Draws what one query weighs over an image, as the paper's Fig. 2: the image darkened, white the more a pixel weighs
 * (its channels together, relative to the largest), the query's pixel orange, what comes later black.
 *
 * @param tokens of the image, row-major
 * @param scale screen pixels per pixel; default as many as make the longer side about 256
 * @throws {ShapeError} where the tokens are not one image of that shape
 */
export function attentionOverImage(row: AttentionRow, tokens: ArrayLike<number>, shape: ImageShape, scale?: number): Image {
  const cannot = "Cannot draw attention over an image";
  expect(cannot, { row: [row, "an object"], shape: [shape, IMAGE_SHAPE], scale: [scale === undefined ? 1 : scale, [1, 64]] });
  expectTokens(cannot, tokens);
  const [high, wide, channels] = shape, pixels = high * wide;
  if (tokens.length !== pixels * channels || row.query >= tokens.length) {
    throw new ShapeError(`Cannot draw attention over an image of ${shape.join(" × ")}: got ${tokens.length} tokens, query ${row.query}`);
  }
  const heat = new Float32Array(pixels), times = scale ?? Math.max(1, Math.floor(256 / Math.max(high, wide)));
  row.keys.forEach((key, at) => heat[Math.floor(key / channels)] += row.weights[at]);
  const most = heat.reduce((a, b) => Math.max(a, b), 0), own = Math.floor(row.query / channels);
  const width = wide * times, rgb = new Uint8Array(width * high * times * 3);
  for (let pixel = 0; pixel < pixels; pixel++) {
    // A key is the place that is weighed; without causality there is none later.
    const seen = heat[pixel] > 0 || pixel < own, glow = Math.sqrt(heat[pixel] / most);
    const color = [0, 1, 2].map((channel) => {
      if (pixel === own) return COLORS.far[channel];
      const ground = seen ? tokens[pixel * channels + (channels === 3 ? channel : 0)] * DIMMED : 0;
      return Math.round(ground + (255 - ground) * glow);
    });
    const left = (pixel % wide) * times, top = Math.floor(pixel / wide) * times;
    for (let y = top; y < top + times; y++) for (let x = left; x < left + times; x++) rgb.set(color, (y * width + x) * 3);
  }
  return { width, height: high * times, rgb };
}

/**
 * {@linkcode attentionOverImage} as SVG, with rows and columns of the image and a legend.
 *
 * @param heading above all
 * @throws {ShapeError} where the tokens are not one image of that shape
 */
export function attentionOverImageSvg(row: AttentionRow, tokens: ArrayLike<number>, shape: ImageShape, heading: string): string {
  const image = attentionOverImage(row, tokens, shape);
  expect("Cannot draw attention over an image", { heading: [heading, "a string"] });
  const [high, wide, channels] = shape, own = Math.floor(row.query / channels), cell = Math.max(1, 480 / Math.max(high, wide));
  const side = (name: string, count: number, room: number): Side => ({
    name,
    length: cell * count,
    ticks: namedOf(count, cell, room).map((at) => ({ at: (at + 0.5) / count, text: positionText(at) })),
  });
  return pageSvg({
    heading,
    entries: [
      weightEntry("largest weight", (share) => {
        const grey = Math.round(255 * Math.sqrt(share));
        return [grey, grey, grey];
      }, false),
      swatch(css(COLORS.far), "the query's pixel"),
    ],
    frames: [{
      title: `pixel in row ${Math.floor(own / wide)}, column ${own % wide}`,
      image,
      x: side("column", wide, positionRoom(wide)),
      y: side("row", high, ROWS_APART),
      turns: false,
    }],
    columns: 1,
  });
}
