/**
 * What a command says: lines for people, or objects for programs.
 *
 * @module
 */

import { Screen, write } from "./terminal.ts";

/** What a run says: lines for people, or objects for programs. */
export class Report {
  readonly screen = new Screen(Deno.stdout);

  constructor(readonly json: boolean) {}

  say(line: string): void {
    if (!this.json) this.screen.print(line);
  }

  event(event: string, fields: Record<string, unknown>): void {
    if (this.json) write(Deno.stdout, JSON.stringify({ event, ...fields }) + "\n");
  }
}
