/**
 * Numbers in the words of a report.
 *
 * @module
 */

import { wrapText } from "../data.ts";

/** 1234567 as "1,234,567". */
export const thousands = (value: number): string => Math.round(value).toLocaleString("en-US");

/** 1234567 as "1.2M", with two digits or more. */
export function compact(value: number): string {
  const units = ["", "k", "M", "G", "T"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : Math.round(value)}${units[unit]}`;
}

/** Bytes in the largest unit of 1,024 that leaves one digit before the point. */
export function bytes(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0, value = count;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return unit === 0 ? `${thousands(value)} ${units[0]}` : `${value < 10 ? value.toFixed(1) : thousands(value)} ${units[unit]}`;
}

/** Seconds as "1:05" or "2:03:04". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds)), two = (x: number) => String(x).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** How long a sound is: "0.34 s", from a minute on "1:02". */
export const soundLength = (seconds: number): string => seconds < 60 ? `${seconds.toFixed(2)} s` : duration(seconds);

/** Share as "12.3 %", with as many digits as a small one needs. */
export function percent(share: number): string {
  const value = share * 100;
  return `${value >= 10 ? value.toFixed(1) : value >= 0.01 || value === 0 ? value.toPrecision(2) : value.toExponential(1)} %`;
}

/** Columns of text in a table are not made narrower. */
const LEAST = 8;

/**
 * Lines of each row of a table, the first of which is the heading. Where the table is wider than it may be, texts break at words.
 *
 * @param left how many columns begin at their left and may break; of the others numbers end at their right
 * @param most columns of the terminal
 */
export function tableLines(rows: readonly (readonly string[])[], left: number, most: number): string[][] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const excess = () => widths.reduce((sum, width) => sum + width, 0) + 2 * (widths.length - 1) - most;
  while (excess() > 0) {
    const widest = widths.indexOf(Math.max(...widths.slice(0, left)));
    if (widths[widest] <= LEAST) break;
    widths[widest]--;
  }
  return rows.map((row) => {
    const cells = row.map((text, column) => column < left ? wrapText(text, Math.max(1, widths[column])) : [text]);
    return Array.from(
      { length: Math.max(...cells.map(({ length }) => length)) },
      (_, line) =>
        cells.map((lines, column) => (lines[line] ?? "")[column < left ? "padEnd" : "padStart"](widths[column])).join("  ").trimEnd(),
    );
  });
}
