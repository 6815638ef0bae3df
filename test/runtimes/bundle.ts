/**
 * What is bundled for runtimes that do not run TypeScript: `dist/` as `deno task bundle` makes it, and test modules.
 *
 * @module
 */

import { bundle, bundleEntries } from "../../tools/bundle.ts";
import { made } from "../made.ts";

/** `dist/`, {@linkcode made} once; nobody changes it. */
export const dist = (): Promise<URL> => made("dist", bundle);

/** A module of this project and all that it imports, in one file's text. */
export async function bundled(path: string): Promise<string> {
  const name = path.replaceAll("/", "-"), folder = await made(name, (out) => bundleEntries({ bundled: path }, out, { isOne: true }));
  return await Deno.readTextFile(new URL("bundled.js", folder));
}

/** The chunks that a module of {@linkcode dist} imports before it runs, itself among them; by name. */
export async function closure(...names: string[]): Promise<Set<string>> {
  const out = await dist(), found = new Set<string>();
  for (let name; (name = names.pop());) {
    if (found.has(name)) continue;
    found.add(name);
    const text = await Deno.readTextFile(new URL(name, out));
    for (const [, from] of text.matchAll(/\b(?:from|import)"\.\/([^"]+)"/g)) names.push(from);
  }
  return found;
}
