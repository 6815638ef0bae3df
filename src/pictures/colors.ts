/**
 * The colours of all pictures.
 *
 * @module
 */

/** Red, green, blue, 0 … 255. */
export type Color = readonly [number, number, number];

/** Colours of Fig. 3, darkened for contrast on the light ground: blue for the near factor, orange for the far one. */
export const COLORS: Readonly<Record<"near" | "far" | "empty" | "forbidden", Color>> = {
  near: [28, 82, 165],
  far: [232, 119, 34],
  empty: [226, 230, 236],
  forbidden: [255, 255, 255],
};

/** The ground of every picture. */
export const GROUND: Color = COLORS.forbidden;

/** A pair of the set from light to dark by its weight; in the middle it has the colour of a near one. */
export const WEIGHTS: Readonly<Record<"light" | "middle" | "dark", Color>> = {
  light: [205, 218, 240],
  middle: COLORS.near,
  dark: [6, 16, 64],
};

/** A waveform: the span of a column, its root mean square, the line of silence. */
export const WAVE: Readonly<Record<"span" | "rms" | "silence", Color>> = {
  span: [120, 156, 214],
  rms: COLORS.near,
  silence: [200, 206, 214],
};

/** What is written and ruled in SVG: titles, what stands at axes, frames, lines of a grid. */
export const INK = { text: "#1a2233", label: "#5b6675", frame: "#9aa4b2", grid: "#e2e6ec" } as const;

/** A colour as CSS writes it. */
export const css = (color: Color): string => `rgb(${color.join(",")})`;

/** What stands for a colour of an SVG where the reader's ground is dark. Of text and of curves, 4.5 : 1 or more against that ground. */
export const DARK: ReadonlyMap<string, string> = new Map([
  [css(GROUND), "#14181f"],
  [INK.text, "#e8ebf0"],
  [INK.label, "#a5afbd"],
  [INK.frame, "#626d7c"],
  [INK.grid, "#2a313b"],
  [css(COLORS.near), "#79aaf5"],
  [css(COLORS.far), "#f59345"],
  [css(WAVE.span), "#3c5f9c"],
  [css(WAVE.silence), "#4a5360"],
]);
