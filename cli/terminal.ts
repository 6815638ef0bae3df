/**
 * The terminal: a line rewritten in place, colours where they are wanted, patterns drawn in half blocks.
 *
 * @module
 */

import { LongstrideError } from "../mod.ts";
import type { Image } from "../data.ts";
import { cellColor, type PatternMap } from "../pictures.ts";

/** Where lines go. */
export type Stream = Pick<typeof Deno.stdout, "writeSync" | "isTerminal">;

/** Output that cannot be written any more. */
export class OutputError extends LongstrideError {
  override name = "OutputError";

  /** @param isLeft whether who was reading has gone, as `head` does, rather than that a disk is full or a terminal closed */
  constructor(readonly isLeft: boolean, cause: Error) {
    const why = isLeft ? "nobody reads it any more" : (cause as { code?: string }).code === "ENOSPC" ? "the disk is full" : cause.message;
    super(`Cannot write to stdout: ${why}`, { cause });
  }
}

/** Output of work that goes on without it: what cannot be written ends it, and is told once. */
export class Lasting implements Stream {
  /** Why it ended. */
  ended: string | undefined;

  constructor(readonly stream: Stream, readonly tell: (why: string) => void) {}

  isTerminal(): boolean {
    return this.stream.isTerminal();
  }

  writeSync(bytes: Uint8Array): number {
    if (this.ended !== undefined) return bytes.length;
    try {
      return this.stream.writeSync(bytes);
    } catch (error) {
      this.ended = outputError(error).message;
      this.tell(this.ended);
      return bytes.length;
    }
  }
}

const outputError = (error: unknown) => new OutputError(error instanceof Deno.errors.BrokenPipe, error as Error);

const utf8 = new TextEncoder();

/**
 * Writes all of a text. What stderr does not take is nobody's: there is no other place to say it.
 *
 * @throws {OutputError} where stdout cannot be written to any more
 */
export function write(stream: Stream, text: string): void {
  const bytes = utf8.encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  } catch (error) {
    if (stream !== Deno.stderr) throw outputError(error);
  }
}

/** Columns of the terminal; 80 where there is none. */
export function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/** Whether colours are wanted on a stream (https://no-color.org). */
export function colored(stream: Stream): boolean {
  return stream.isTerminal() && !Deno.noColor && Deno.env.get("TERM") !== "dumb";
}

/** Lines, with a last one that is rewritten in place on a terminal. */
export class Screen {
  #shown = false;
  readonly terminal: boolean;

  constructor(readonly stream: Stream) {
    this.terminal = stream.isTerminal();
  }

  /** Faint text, where colours are wanted. */
  faint(text: string): string {
    return colored(this.stream) ? `\x1b[2m${text}\x1b[22m` : text;
  }

  /** Bold text, where colours are wanted. */
  bold(text: string): string {
    return colored(this.stream) ? `\x1b[1m${text}\x1b[22m` : text;
  }

  /** A line that stays. */
  print(line: string): void {
    this.clear();
    write(this.stream, line + "\n");
  }

  /** The line that is rewritten, cut to the terminal's width; a line of its own where there is no terminal. */
  progress(line: string): void {
    if (!this.terminal) return write(this.stream, line + "\n");
    const room = columns() - 1, cut = [...line];
    write(this.stream, `\r${cut.length > room ? cut.slice(0, room - 1).join("") + "…" : line}\x1b[K`);
    this.#shown = true;
  }

  /** Removes the line that is rewritten. */
  clear(): void {
    if (this.#shown) write(this.stream, "\r\x1b[K");
    this.#shown = false;
  }
}

/** 1234567 as "1,234,567". */
export const whole = (value: number): string => Math.round(value).toLocaleString("en-US");

/** Bytes in the largest unit of 1,024 that leaves one digit before the point. */
export function bytes(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0, value = count;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return unit === 0 ? `${whole(value)} ${units[0]}` : `${value < 10 ? value.toFixed(1) : whole(value)} ${units[unit]}`;
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
