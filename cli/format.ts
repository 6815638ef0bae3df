/**
 * Numbers in the words of a report.
 *
 * @module
 */

/** 1234567 as "1,234,567". */
export const thousands = (value: number): string => Math.round(value).toLocaleString("en-US");

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

/**
 * Lines of a table: its first row is the heading.
 *
 * @param left how many columns begin at their left; of the others numbers end at their right
 */
export function tableLines(rows: readonly (readonly string[])[], left: number): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((text, column) => column < left ? text.padEnd(widths[column]) : text.padStart(widths[column])).join("  ")
  );
}
