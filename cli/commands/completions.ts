/**
 * `completions`: what a shell needs to complete commands, flags and their values.
 *
 * @module
 */

import { excerpt } from "../../data.ts";
import { SHELLS } from "../completions.ts";
import { type Command, nearest, UsageError } from "../flags.ts";
import { write } from "../terminal.ts";

const NAMES = Object.keys(SHELLS);

/** The command, for these and itself. */
export function completions(commands: readonly Command[]): Command {
  const command: Command = {
    name: "completions",
    about: `print what ${NAMES.join(", ").replace(/, (\w+)$/, " or $1")} needs to complete commands, flags and their values`,
    operands: { name: NAMES.join("|"), least: 1, most: 1 },
    flags: [],
    examples: NAMES.map((name) => `completions ${name}`),
    execute({ operands: [shell] }) {
      if (!Object.hasOwn(SHELLS, shell)) {
        throw new UsageError(`Cannot complete in ${excerpt(shell)}: it must be one of ${NAMES.join(", ")}${nearest(shell, NAMES)}`);
      }
      write(Deno.stdout, SHELLS[shell]([...commands, command]));
      return Promise.resolve(0);
    },
  };
  return command;
}
