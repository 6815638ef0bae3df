/**
 * What a command says: lines for people, or objects for programs.
 *
 * @module
 */

import { Lasting, type Part, Screen, type Stream, write } from "./terminal.ts";

/** Milliseconds between lines of progress: on a terminal one takes the place of the other, elsewhere all stay. */
const LIVE = 200, LASTING = 5000;

/** What a command says. */
export class Report {
  readonly screen: Screen;
  readonly #out: Stream;
  readonly #lasting: Lasting | undefined;

  /** @param goesOn what goes on where stdout cannot be written to any more; without it that ends the command */
  constructor(readonly json: boolean, goesOn?: string) {
    const tell = (why: string) => new Screen(Deno.stderr).print(`${why}; ${goesOn}.`);
    this.#lasting = goesOn === undefined ? undefined : new Lasting(Deno.stdout, tell);
    this.#out = this.#lasting ?? Deno.stdout;
    this.screen = new Screen(this.#out);
  }

  /** @param label stands before its first line, and the others are indented by as much */
  say(text: string, label?: string): void {
    if (!this.json) this.screen.print(text, label);
  }

  /** A fact and its name, in a table of such. */
  fact(name: string, fact: string): void {
    this.say(fact, this.screen.faint(name.padEnd(10)));
  }

  /** A line as it is: a table's, what a model wrote. */
  show(line: string): void {
    if (!this.json) this.screen.show(line);
  }

  /** A line that the next takes the place of. */
  progress(parts: readonly Part[]): void {
    if (!this.json) this.screen.progress(parts);
  }

  /** Whether it is time for such a line, or event, asked again and again from now on. */
  pace(): () => boolean {
    const between = this.screen.live && !this.json ? LIVE : LASTING;
    let told = performance.now();
    return () => {
      if (performance.now() - told < between) return false;
      told = performance.now();
      return true;
    };
  }

  /** A line of that kind that stays. */
  keep(parts: readonly Part[]): void {
    if (!this.json) this.screen.keep(parts);
  }

  event(event: string, fields: Record<string, unknown>): void {
    if (this.json) write(this.#out, JSON.stringify({ event, ...fields }) + "\n");
  }

  /**
   * The exit code of what is done, with a last word on stderr where its output was cut short.
   *
   * @param done what is done, and where it is
   */
  code(done: string): 0 | 1 {
    if (this.#lasting?.ended === undefined) return 0;
    new Screen(Deno.stderr).print(`${done}; what was printed is incomplete.`);
    return 1;
  }
}
