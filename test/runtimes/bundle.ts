/**
 * What is bundled for runtimes that do not run TypeScript: `dist/` as `deno task bundle` makes it, and test modules.
 *
 * @module
 */

import { bundle, bundleEntries } from "../../tools/bundle.ts";

let made: Promise<URL> | undefined;

/** `dist/` in a folder of its own, made once a process; {@linkcode removeDist} when done. */
export function dist(): Promise<URL> {
  return made ??= (async () => {
    const out = new URL(`file://${await Deno.makeTempDir()}/`);
    await bundle(out);
    return out;
  })();
}

/** Removes what {@linkcode dist} made. */
export async function removeDist(): Promise<void> {
  if (made) await Deno.remove(await made, { recursive: true });
  made = undefined;
}

/** A module of this project and all that it imports, in one file's text. */
export async function bundled(path: string): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    await bundleEntries({ bundled: path }, new URL(`file://${folder}/`), { isOne: true });
    return await Deno.readTextFile(`${folder}/bundled.js`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
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
