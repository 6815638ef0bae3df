/**
 * Deno's own commands, for tools.
 *
 * @module
 */

import { LongstrideError } from "../mod.ts";

/**
 * Runs one in a folder.
 *
 * @returns what it printed
 * @throws {LongstrideError} with what it said where it failed
 */
export async function deno(cwd: URL, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd }).output(), decoder = new TextDecoder();
  if (!success) throw new LongstrideError(`Cannot go on: deno ${args.join(" ")} failed: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}
