/**
 * What all SVG pictures have in common: their head, colours on light and dark grounds, text that is known to fit.
 *
 * @module
 */

import { wrapText } from "../base/wrap.ts";
import type { Image } from "../data/image.ts";
import { encodePng } from "../data/png.ts";
import { css, DARK, GROUND, INK } from "./colors.ts";

/** What XML 1.0 cannot hold: controls but tab and line ends, halves of surrogate pairs. */
// deno-lint-ignore no-control-regex
const UNHELD = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\p{Cs}]/gu;

/** The text as XML or HTML shows it, between tags or in quotes. */
export function escapeXml(text: string): string {
  return text.replace(UNHELD, "\ufffd").replace(/[&<>"]/g, (c) => `&${{ "&": "amp", "<": "lt", ">": "gt", '"': "quot" }[c]};`);
}

/**
 * Rules for dark grounds. Colours stand in the elements' attributes, which every program draws; browsers put others in their place. Pixels
 * are turned about: light becomes dark and hues stay. Not wholly: what is not attended would be as dark as the ground.
 */
const DARK_RULES = [
  `.longstride{fill:${DARK.get(INK.text)}}`,
  ...[...DARK].flatMap(([light, dark]) =>
    ["fill", "stroke"].map((what) => `.longstride [${what}="${light}"]:not(.pixels){${what}:${dark}}`)
  ),
  ".longstride .pixels{filter:invert(0.9) hue-rotate(180deg);mix-blend-mode:lighten}",
].join("");

/** The lines that a picture begins with: its size, its title for those who hear it, its ground. `</svg>` is the caller's. */
export function svgHead(width: number, height: number, title: string): string[] {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="longstride" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="${INK.text}">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>@media (prefers-color-scheme:dark){${DARK_RULES}}</style>`,
    `<rect width="100%" height="100%" fill="${css(GROUND)}"/>`,
  ];
}

/** Widths of characters in parts of the size, of the widest of the usual fonts; the first that fits counts. */
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/\p{M}|\u200d/u, 0],
  [/[ ijl.,:;'|!/·]/, 0.36],
  [/[rtfI()[\]\-"`–]/, 0.46],
  [/[a-ln-vx-z0-9_?$*J]/, 0.65],
  [/[A-LN-VX-Z]/, 0.8],
  [/[+<>=~^#−×±→\u00c0-\u024f]/, 0.85],
  [/[ -\u00ff]/, 1],
  [/\p{Emoji_Presentation}/u, 1.4],
  [/./us, 1.05],
];

/** Widths of characters met so far: looking one up takes a tenth of finding it. */
const known = new Map<string, number>();

/** How much wider bold characters are. */
const BOLD = 1.13;

/** The width of a text in pixels, or a little more: whatever font is there, it needs no more. */
export function textWidth(text: string, size: number, bold = false): number {
  let width = 0;
  for (const character of text) {
    let own = known.get(character);
    if (own === undefined) known.set(character, own = WIDTHS.find(([kind]) => kind.test(character))![1]);
    width += own;
  }
  return width * size * (bold ? BOLD : 1);
}

/** A text in lines that fit a width, broken between words; a word that alone does not fit is broken where it must be. */
export function textLines(text: string, width: number, size: number, bold = false): string[] {
  const measure = (line: string) => textWidth(line, size, bold);
  return wrapText(text.replace(/\s+/g, " "), Math.floor(width), measure).flatMap((line) => {
    if (measure(line) <= width) return [line];
    const parts = [""];
    for (const character of line) {
      if (parts.at(-1) && measure(parts.at(-1) + character) > width) parts.push("");
      parts[parts.length - 1] += character;
    }
    return parts;
  });
}

/** How a text is written. */
export interface TextStyle {
  /** Pixels; default 12. */
  readonly size?: number;
  readonly bold?: boolean;
  /** Which part of it stands at x; default its start. */
  readonly anchor?: "start" | "middle" | "end";
  /** Whether it is fainter, as what stands at axes is. */
  readonly faint?: boolean;
  /** Whether it is read upwards. */
  readonly upwards?: boolean;
}

/** One line of text, its baseline at y; where it is read upwards, its baseline at x. */
export function svgText(x: number, y: number, text: string, { size = 12, bold, anchor, faint, upwards }: TextStyle = {}): string {
  const at = upwards ? `transform="translate(${round(x)} ${round(y)}) rotate(-90)"` : `x="${round(x)}" y="${round(y)}"`;
  return `<text ${at} font-size="${round(size)}"${bold ? ` font-weight="600"` : ""}${
    anchor && anchor !== "start" ? ` text-anchor="${anchor}"` : ""
  }${faint ? ` fill="${INK.label}"` : ""}>${escapeXml(text)}</text>`;
}

/** A coordinate to a tenth of a pixel. */
export const round = (x: number): number => Math.round(x * 10) / 10;

/** Pixels as they are, as large as wanted. @param turns whether light and dark change places on dark grounds */
export function svgPixels(image: Image, x: number, y: number, width: number, height: number, turns: boolean): string {
  return `<image x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" preserveAspectRatio="none" ` +
    `image-rendering="pixelated" style="image-rendering:pixelated"${turns ? ` class="pixels"` : ""} ` +
    `href="data:image/png;base64,${base64(encodePng(image))}"/>`;
}

/** One entry of a legend. */
export interface LegendEntry {
  readonly label: string;
  /** Width of what stands before the label, in pixels. */
  readonly width: number;
  /** Draws that, its left edge at x, in the middle of the line at y. */
  draw(x: number, y: number): string;
}

/** An entry with a square of a colour. @param pixels whether that is a colour of pixels */
export function swatch(color: string, label: string, pixels = false): LegendEntry {
  return {
    label,
    width: 12,
    draw: (x, y) =>
      `<rect x="${round(x)}" y="${round(y - 6)}" width="12" height="12" fill="${color}"${pixels ? ` class="pixels"` : ""}/>` +
      `<rect x="${round(x)}" y="${round(y - 6)}" width="12" height="12" fill="none" stroke="${INK.frame}"/>`,
  };
}

/** Pixels from line to line of a legend. */
const LEGEND_LINE = 20;

/**
 * A legend in as many lines as it needs.
 *
 * @param y its upper edge
 * @returns what draws it, and its height
 */
export function legend(entries: readonly LegendEntry[], x: number, y: number, width: number): { drawn: string[]; height: number } {
  const drawn: string[] = [], gap = 8, between = 18;
  let at = x, line = 0;
  for (const { label, width: own, draw } of entries) {
    const lines = textLines(label, width - own - gap, 12), needed = own + gap + Math.max(...lines.map((text) => textWidth(text, 12)));
    if (at > x && at + needed > x + width) {
      at = x;
      line++;
    }
    const middle = y + line * LEGEND_LINE + LEGEND_LINE / 2;
    drawn.push(draw(at, middle), ...lines.map((text, row) => svgText(at + own + gap, middle + row * LEGEND_LINE + 4, text)));
    at += needed + between;
    if (lines.length > 1) {
      line += lines.length;
      at = x;
    }
  }
  return { drawn, height: (at > x ? line + 1 : line) * LEGEND_LINE };
}

/** Bytes in base64, as a `data:` address has them. */
function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
