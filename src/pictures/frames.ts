/**
 * Pictures of pixels in frames, with titles, axes and a legend, as SVG.
 *
 * @module
 */

import type { Image } from "../data/image.ts";
import { INK } from "./colors.ts";
import { legend, type LegendEntry, round, svgHead, svgPixels, svgText, textLines, textWidth } from "./svg.ts";

/** One side of a frame. */
export interface Side {
  /** What is told along it. */
  readonly name: string;
  /** Pixels on the page. */
  readonly length: number;
  /** What is written along it: where, as a share of the length, and what. The caller sees to it that there is room. */
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
  /** Size of those texts; default 11. */
  readonly size?: number;
  /** Whether texts below are read upwards. */
  readonly upwards?: boolean;
}

/** A picture in a frame. */
export interface Frame {
  readonly title: string;
  readonly image: Image;
  /** Across, left to right; written below. */
  readonly x: Side;
  /** Down, top to bottom; written at the left. */
  readonly y: Side;
  /** What is written at the right of it, along y, under a name of its own. */
  readonly right?: Side;
  /** Whether light and dark change places on dark grounds: a picture of the world stays as it is. */
  readonly turns: boolean;
}

/** A page of frames. */
export interface Page {
  /** Above all. */
  readonly heading: string;
  readonly entries: readonly LegendEntry[];
  readonly frames: readonly Frame[];
  /** Frames of a row at most. */
  readonly columns: number;
  /** Lines below. */
  readonly notes?: readonly string[];
}

/** Pixels around the page and between frames. */
const MARGIN = 24;
/** Least width that a frame's names have. */
const LEAST = 160;
const TITLE = 13, TICK = 11, NAME = { size: TICK, faint: true } as const;

const widest = (texts: readonly string[], size: number) => Math.max(0, ...texts.map((text) => textWidth(text, size)));
const sizeOf = ({ size = TICK }: Side) => size;

/** What a frame needs around it: left of it, above, across from its left edge on, below its lower edge. */
interface Around {
  readonly left: number;
  readonly above: number;
  readonly width: number;
  readonly below: number;
  readonly title: readonly string[];
  /** Lines of the name of x. */
  readonly name: readonly string[];
  /** Height of what is written along x. */
  readonly ticks: number;
  /** Whether the name of y is longer than y, so that it stands above. */
  readonly flat: boolean;
}

function around({ title, x, y, right }: Frame): Around {
  const texts = (side: Side) => side.ticks.map(({ text }) => text), least = Math.max(LEAST, x.length);
  const width = Math.max(least, right ? x.length + 8 + Math.max(widest(texts(right), sizeOf(right)), textWidth(right.name, TICK)) : 0);
  const left = 26 + widest(texts(y), sizeOf(y)), lines = textLines(title, left + width, TITLE, true), name = textLines(x.name, least, TICK);
  const ticks = x.upwards ? widest(texts(x), sizeOf(x)) + 4 : sizeOf(x) * 1.2, flat = textWidth(y.name, TICK) > y.length;
  const above = lines.length * 18 + (flat ? 16 : 0) + (right ? 16 : 4);
  return { left, above, width, below: 12 + ticks + name.length * 15, title: lines, name, ticks, flat };
}

/** A frame, its upper left corner at (left, top). */
function drawFrame({ image, x, y, right, turns }: Frame, needs: Around, left: number, top: number): string[] {
  const { left: beside, above, title, name, ticks, flat } = needs;
  const box = `x="${round(left)}" y="${round(top)}" width="${round(x.length)}" height="${round(y.length)}"`;
  const out = [
    ...title.map((line, at) => svgText(left - beside, top - above + 13 + at * 18, line, { size: TITLE, bold: true })),
    svgPixels(image, left, top, x.length, y.length, turns),
    `<rect ${box} fill="none" stroke="${INK.frame}"/>`,
  ];
  const size = sizeOf(x), bottom = top + y.length;
  for (const { at, text } of x.ticks) {
    const middle = left + at * x.length;
    out.push(
      x.upwards
        ? svgText(middle + size * 0.35, bottom + 6, text, { size, anchor: "end", faint: true, upwards: true })
        : svgText(middle, bottom + 6 + size * 0.9, text, { size, anchor: "middle", faint: true }),
    );
  }
  for (const { at, text } of y.ticks) {
    out.push(svgText(left - 6, top + at * y.length + sizeOf(y) * 0.35, text, { size: sizeOf(y), anchor: "end", faint: true }));
  }
  name.forEach((line, at) =>
    out.push(svgText(left + Math.max(LEAST, x.length) / 2, bottom + 18 + ticks + at * 15, line, { ...NAME, anchor: "middle" }))
  );
  out.push(
    flat
      ? svgText(left - beside, top - (right ? 21 : 9), y.name, NAME)
      : svgText(left - beside + 10, top + y.length / 2, y.name, { ...NAME, anchor: "middle", upwards: true }),
  );
  if (right) {
    const at = left + x.length + 8;
    out.push(svgText(at, top - 5, right.name, NAME));
    for (const { at: share, text } of right.ticks) {
      out.push(svgText(at, top + share * y.length + sizeOf(right) * 0.35, text, { size: sizeOf(right), faint: true }));
    }
  }
  return out;
}

/** The page as SVG. Nothing that is written overlaps anything else: rows and columns are as large as their largest frame needs. */
export function pageSvg({ heading, entries, frames, columns, notes = [] }: Page): string {
  const made = frames.map((frame) => ({ frame, needs: around(frame) })), most = (values: number[]) => Math.max(0, ...values);
  const across = Math.max(1, Math.min(columns, frames.length)), down = Math.ceil(frames.length / across);
  const left = Array.from({ length: across }, (_, c) => made.filter((_, at) => at % across === c)).map((column) => ({
    left: most(column.map(({ needs }) => needs.left)),
    width: most(column.map(({ needs }) => needs.width)),
  }));
  const width = Math.ceil(Math.max(440, MARGIN + left.reduce((sum, column) => sum + column.left + column.width + MARGIN, 0)));
  const inner = width - 2 * MARGIN,
    lines = textLines(heading, inner, 18, true),
    key = legend(entries, MARGIN, 22 + lines.length * 24, inner);
  const out = [...lines.map((line, at) => svgText(MARGIN, 36 + at * 24, line, { size: 18, bold: true })), ...key.drawn];
  let top = 22 + lines.length * 24 + key.height + 12;
  for (let r = 0; r < down; r++) {
    const row = made.slice(r * across, (r + 1) * across), above = most(row.map(({ needs }) => needs.above));
    let x = MARGIN;
    row.forEach(({ frame, needs }, c) => {
      out.push(...drawFrame(frame, { ...needs, left: left[c].left }, x + left[c].left, top + above));
      x += left[c].left + left[c].width + MARGIN;
    });
    top += above + most(row.map(({ frame, needs }) => frame.y.length + needs.below)) + MARGIN;
  }
  for (const line of notes.flatMap((note) => textLines(note, inner, 13))) {
    out.push(svgText(MARGIN, top + 4, line, { size: 13 }));
    top += 20;
  }
  return [...svgHead(width, Math.ceil(top + 4), heading), ...out].join("\n") + "\n</svg>\n";
}
