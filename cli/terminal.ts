/**
 * The terminal: lines written to the end, one rewritten in place, colours where they are wanted.
 *
 * @module
 */

import { LongstrideError } from "../mod.ts";

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
