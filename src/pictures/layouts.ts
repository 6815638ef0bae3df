/**
 * Attention patterns as the paper's Fig. 3 draws them: query rows, key columns.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { buildLayout } from "../pattern/layout.ts";
import { parts } from "../pattern/parts.ts";
import { checkOneSequence } from "../pattern/check_set.ts";
import { type AttentionSet, LARGEST, setKey } from "../pattern/sets.ts";
import type { Image } from "../data/image.ts";
import { namedOf, positionRoom, positionText, ROWS_APART } from "./axes.ts";
import { type Color, COLORS, css, GROUND } from "./colors.ts";
import { pageSvg } from "./frames.ts";
import { swatch } from "./svg.ts";

const CANNOT = "Cannot draw";

/** A pattern reduced to cells: which share of each cell's allowed pairs is in the set. */
export interface PatternMap {
  /** For people: layers and heads it stands for. */
  readonly title: string;
  /** Positions drawn, from the first. */
  readonly n: number;
  /** Cells per side. */
  readonly cells: number;
  /** Share of near pairs (window, segment, the row itself) of each cell, [cells, cells], 0 … 1. */
  readonly near: Float32Array;
  /** Share of far pairs (strides, summaries, globals), [cells, cells], 0 … 1; near and far do not overlap. */
  readonly far: Float32Array;
  /** Share of pairs that may be attended to at all: less than 1 on and above the diagonal where causal. */
  readonly allowed: Float32Array;
}

/** Whether each part of a set is near: `window`, `segment`, `self`, and of block lists those that touch the diagonal. */
async function nearParts(set: AttentionSet, n: number): Promise<boolean[]> {
  return (await parts(set, n)).map(({ span }, part) =>
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
 * @param most cells per side at most; where n is smaller, a cell is a pair
 */
export async function patternMap(title: string, sets: readonly AttentionSet[], n: number, most: number): Promise<PatternMap> {
  const size = [1, LARGEST] as const;
  expect(CANNOT, {
    title: [title, "a string"],
    sets: [sets, "a list"],
    "number of sets": [sets?.length, [1, MOST]],
    n: [n, size],
    most: [most, size],
  });
  checkOneSequence(CANNOT, sets);
  // Whole positions per cell, the same for all but the last: uneven cells would show a beat of their own.
  const drawn = Math.min(n, DRAWN_LIMIT), each = Math.ceil(drawn / most), cells = Math.ceil(drawn / each);
  const width = (cell: number) => Math.min(drawn, (cell + 1) * each) - cell * each;
  const distinct = [...new Map(sets.map((set) => [setKey(set), set])).values()], causal = distinct.every((set) => set.causal);
  const made = await Promise.all(distinct.map(async (set) => {
    const layout = await buildLayout(set, drawn, { q: 64, k: 64 }), near = await nearParts(set, drawn);
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
  expect(CANNOT, { schedule: [schedule, "a list"] });
  for (const sets of schedule) expect(CANNOT, { "a layer's sets": [sets, "a list"] });
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

function checkMap(map: PatternMap): void {
  expect(CANNOT, { map: [map, "an object"], "map.cells": [map?.cells, [1, MOST]] });
}

/** The colour of one cell. Shares are raised by a square root: a stride of 128 drawn in 16 × 16 cells is 1 pair in 16. */
export function cellColor(map: PatternMap, row: number, column: number): Color {
  checkMap(map);
  expect(CANNOT, { row: [row, [0, map.cells - 1]], column: [column, [0, map.cells - 1]] });
  const at = row * map.cells + column, allowed = map.allowed[at], total = map.near[at] + map.far[at];
  const lift = total > 0 ? Math.sqrt(total) / total : 0;
  return [0, 1, 2].map((channel) => {
    const near = map.near[at] * lift, far = map.far[at] * lift;
    const inside = COLORS.near[channel] * near + COLORS.far[channel] * far + COLORS.empty[channel] * Math.max(0, 1 - near - far);
    return Math.round(inside * allowed + COLORS.forbidden[channel] * (1 - allowed));
  }) as unknown as Color;
}

/** Draws a map with whole pixels per cell, as many as fit into `side`. */
export function patternImage(map: PatternMap, side = 480): Image {
  checkMap(map);
  expect(CANNOT, { side: [side, [1, 2 ** 14]] });
  const { cells } = map, scale = Math.max(1, Math.floor(side / cells)), width = cells * scale, rgb = new Uint8Array(width * width * 3);
  // A line between cells where there is room for it.
  const line = scale >= 6 ? 1 : 0;
  for (let row = 0; row < cells; row++) {
    const top = row * scale * width * 3, drawn = rgb.subarray(top, top + width * 3);
    for (let column = 0; column < cells; column++) {
      const color = cellColor(map, row, column);
      for (let x = 0; x < scale; x++) drawn.set(x < scale - line ? color : GROUND, (column * scale + x) * 3);
    }
    for (let y = 1; y < scale - line; y++) rgb.copyWithin(top + y * width * 3, top, top + width * 3);
    if (line) rgb.fill(255, top + (scale - 1) * width * 3, top + scale * width * 3);
  }
  return { width, height: width, rgb };
}

/**
 * Maps as one SVG with titles, axes and a legend.
 *
 * @param heading above all
 * @param notes lines below: pair counts, validity
 */
export function patternSvg(maps: readonly PatternMap[], heading: string, notes: readonly string[] = []): string {
  expect(CANNOT, { maps: [maps, "a list"], heading: [heading, "a string"], notes: [notes, "a list"] });
  const length = maps.length === 1 ? 480 : 300;
  const frames = maps.map((map) => {
    const image = patternImage(map, 2 * length), { n, title } = map;
    // Cells are of whole positions: the last may go beyond n.
    const covered = map.cells * Math.ceil(n / map.cells), each = length / covered;
    const side = (name: string, room: number) => ({
      name,
      length,
      ticks: namedOf(n, each, room).map((at) => ({ at: (at + 0.5) / covered, text: positionText(at) })),
    });
    return { title, image, x: side("key", positionRoom(n)), y: side("query", ROWS_APART), turns: true };
  });
  const entries = [
    swatch(css(COLORS.near), "near: window", true),
    swatch(css(COLORS.far), "far: stride, summary, global", true),
    swatch(css(COLORS.empty), "not attended", true),
  ];
  return pageSvg({ heading, entries, frames, columns: 3, notes });
}
