/**
 * `completions`: what a shell needs to complete commands, flags and their values.
 *
 * @module
 */

import { SHELLS } from "../completions.ts";
import type { Command } from "../flags.ts";
import { write } from "../terminal.ts";

const NAMES = Object.keys(SHELLS);

/** The command, for these and itself. */
export function completions(commands: readonly Command[]): Command {
  const command: Command = {
    name: "completions",
    about: `print what ${NAMES.join(", ").replace(/, (\w+)$/, " or $1")} needs to complete commands, flags and their values`,
    operands: { name: NAMES.join("|"), least: 1, most: 1, words: NAMES },
    flags: [],
    examples: NAMES.map((name) => `completions ${name}`),
    execute({ operands: [shell] }) {
      write(Deno.stdout, SHELLS[shell]([...commands, command]));
      return Promise.resolve(0);
    },
  };
  return command;
}
