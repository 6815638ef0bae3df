/**
 * Pictures in the characters of a terminal: patterns and images in half blocks.
 *
 * @module
 */

import type { Image } from "../data.ts";
import { cellColor, type PatternMap } from "../pictures.ts";

/** The colour of the 256 that terminals have nearest to one of 24 bits: a step of the grey ramp or of the 6×6×6 cube. */
function palette([r, g, b]: readonly number[]): number {
  const level = (x: number) => x < 48 ? 0 : x < 115 ? 1 : Math.floor((x - 35) / 40);
  const levels = [0, 95, 135, 175, 215, 255], cube = [r, g, b].map(level), average = (r + g + b) / 3;
  const grey = Math.max(0, Math.min(23, Math.round((average - 8) / 10))), shade = 8 + grey * 10;
  const distance = (x: number[]) => (x[0] - r) ** 2 + (x[1] - g) ** 2 + (x[2] - b) ** 2;
  if (distance([shade, shade, shade]) < distance(cube.map((at) => levels[at]))) return 232 + grey;
  return 16 + 36 * cube[0] + 6 * cube[1] + cube[2];
}

/**
 * A pattern in characters, each 1 cell across and 2 down.
 *
 * @param scale draw each cell as so many by so many
 */
export function drawPattern(map: PatternMap, color: boolean, scale = 1): string[] {
  const { cells, near, far, allowed, n } = map, side = cells * scale, lines: string[] = [];
  for (let y = 0; y < side; y += 2) {
    let line = "";
    for (let x = 0; x < side; x++) {
      const column = Math.floor(x / scale), row = Math.floor(y / scale), below = y + 1 < side ? Math.floor((y + 1) / scale) : undefined;
      if (color) {
        const bottom = below === undefined ? "49" : `48;5;${palette(cellColor(map, below, column))}`;
        line += `\x1b[38;5;${palette(cellColor(map, row, column))};${bottom}m▀`;
        continue;
      }
      const share = (r: number | undefined) => {
        const at = r === undefined ? -1 : r * cells + column;
        return at < 0 ? 0 : Math.sqrt((near[at] + far[at]) * allowed[at]);
      };
      const top = share(row), bottom = share(below), mean = (top + bottom) / 2;
      if (mean === 0) line += allowed[row * cells + column] > 0 ? "·" : " ";
      else if (n === cells) line += top > 0 ? bottom > 0 ? "█" : "▀" : "▄";
      else line += "░▒▓█"[Math.min(3, Math.floor(mean * 4))];
    }
    lines.push(line + (color ? "\x1b[0m" : ""));
  }
  return lines;
}

/** An image in half blocks, made smaller by leaving out pixels where it is wider than `most`. */
export function drawImage({ width, height, rgb }: Image, most: number): string[] {
  const step = Math.max(1, Math.ceil(width / most)), lines: string[] = [];
  const color = (x: number, y: number) => palette(rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3) as unknown as number[]);
  for (let y = 0; y < height; y += 2 * step) {
    let line = "";
    for (let x = 0; x < width; x += step) {
      const bottom = y + step < height ? `48;5;${color(x, y + step)}` : "49";
      line += `\x1b[38;5;${color(x, y)};${bottom}m▀`;
    }
    lines.push(line + "\x1b[0m");
  }
  return lines;
}
