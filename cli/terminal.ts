/**
 * The terminal: lines written to the end, one rewritten in place, colours where they are wanted.
 *
 * @module
 */

import { LongstrideError } from "../mod.ts";
import { wrapText } from "../data.ts";

/** Where lines go. */
export type Stream = Pick<typeof Deno.stdout, "writeSync" | "isTerminal">;

/** Takes everything and shows nothing. */
export const SILENT: Stream = { writeSync: ({ length }) => length, isTerminal: () => false };

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

/** What sets colours and weights: it takes no room. */
// deno-lint-ignore no-control-regex
const STYLES = /\x1b\[[\d;]*m/g;
/** Characters that take two columns (Unicode's East Asian width), and none. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
const NARROW = /[\p{M}\p{Cf}]/u;

/** Columns that a text takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text.replace(STYLES, "")) width += NARROW.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** A part of a line that must fit. */
export interface Part {
  readonly text: string;
  /** The same in less room. */
  readonly short?: string;
  /** Whether it is left out first. */
  readonly spare?: boolean;
}

/** Parts as a line of at most so many columns: in full, or in short, or without those that are spare, or as many as there is room for. */
export function fitParts(parts: readonly Part[], most: number): string {
  const short = parts.map(({ text, short = text, spare }) => ({ text: short, spare })), needed = short.filter(({ spare }) => !spare);
  const fewer = needed.map((_, at) => needed.slice(0, needed.length - at));
  for (const tried of [parts, short, ...fewer]) {
    const line = tried.map(({ text }) => text).join("  ");
    if (widthOf(line) <= most) return line;
  }
  return "";
}

/** Lines, with a last one that is rewritten in place on a terminal. */
export class Screen {
  /** Columns of the line that is rewritten, where there is one. */
  #shown = 0;
  /** Whether somebody looks at it: lines break at words. */
  readonly terminal: boolean;
  /** Whether a line can be rewritten. */
  readonly live: boolean;

  constructor(readonly stream: Stream) {
    this.terminal = stream.isTerminal();
    this.live = this.terminal && Deno.env.get("TERM") !== "dumb";
  }

  /** Faint text, where colours are wanted. */
  faint(text: string): string {
    return colored(this.stream) ? `\x1b[2m${text}\x1b[22m` : text;
  }

  /** Bold text, where colours are wanted. */
  bold(text: string): string {
    return colored(this.stream) ? `\x1b[1m${text}\x1b[22m` : text;
  }

  /** A line that stays, as it is: a table's, a picture's, what a model wrote. */
  show(line: string): void {
    this.clear();
    write(this.stream, line + "\n");
  }

  /**
   * A text that stays. On a terminal its lines break at words; those that begin with a blank do not: they are commands to copy.
   *
   * @param label stands before its first line, and the others are indented by as much
   */
  print(text: string, label = ""): void {
    const indent = widthOf(label), room = Math.max(20, columns() - 1 - indent);
    const lines = text.split("\n").flatMap((line) => this.terminal && !line.startsWith(" ") ? wrapText(line, room, widthOf) : [line]);
    this.show(label + lines.map((line, at) => at > 0 && line ? " ".repeat(indent) + line : line).join("\n"));
  }

  /** The line that is rewritten, as much of it as there is room for; a line of its own where it cannot be. */
  progress(parts: readonly Part[]): void {
    if (!this.live) return this.keep(parts);
    const line = fitParts(parts, columns() - 1);
    write(this.stream, `${this.#erased()}${line}`);
    this.#shown = widthOf(line);
  }

  /** A line of parts that stays: what there is no room for in full is there in short. */
  keep(parts: readonly Part[]): void {
    this.show(fitParts(parts, this.terminal ? columns() - 1 : Infinity));
  }

  /** Removes the line that is rewritten. */
  clear(): void {
    if (this.#shown > 0) write(this.stream, this.#erased());
    this.#shown = 0;
  }

  /** What removes it: where the terminal has become narrower since, it is several lines there. */
  #erased(): string {
    if (this.#shown === 0) return "";
    const above = Math.ceil(this.#shown / columns()) - 1;
    return `\r${above > 0 ? `\x1b[${above}A` : ""}\x1b[J`;
  }
}
