/**
 * How this program is called, for messages that say what to type next.
 *
 * @module
 */

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Of this program, as in deno.json. */
export const VERSION = "0.1.0";

/** Whether Node runs it, from the package for npm. */
export const isNode = !("Deno" in globalThis);

/**
 * The words before the command: `deno task` inside the project's folder, else `deno run` of the module's address; of the package for npm its
 * program's name, with `npx` before it where that was how it was called, and so may be the only way.
 */
export function program(): string {
  // npm names itself to what it runs.
  if (isNode) return Deno.env.get("npm_command") === "exec" ? "npx longstride" : "longstride";
  // A machine with node alone runs Deno from npx's cache.
  const deno = /[\\/]_npx[\\/]/.test(Deno.execPath()) ? `npx -y deno@${Deno.version.deno}` : "deno";
  const main = new URL("main.ts", import.meta.url);
  if (main.protocol !== "file:") return `${deno} run -A ${main}`;
  const path = relative(Deno.cwd(), fileURLToPath(main));
  return /^cli[\\/]main\.ts$/.test(path) ? `${deno} task` : `${deno} run -A ${quote(path)}`;
}

/** A word for a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
