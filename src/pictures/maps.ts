/**
 * Attention maps as pictures (the paper's Fig. 2): alone, or over the image that was attended to.
 *
 * @module
 */

import { expect, expectTokens, MOST } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import type { Image, ImageShape } from "../data/image.ts";
import { type AttentionMap, type AttentionRow, QUERIES_SHOWN } from "../run/maps.ts";
import { type Color, COLORS, WEIGHTS } from "./colors.ts";

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
  const cannot = "Cannot draw attention over an image", size = [1, 65536] as const;
  expect(cannot, { row: [row, "an object"], shape: [shape, "a list"], scale: [scale === undefined ? 1 : scale, [1, 64]] });
  for (const at of [0, 1, 2]) expect(cannot, { [`shape[${at}]`]: [shape[at], size] });
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
