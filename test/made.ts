/**
 * What several test files need and takes long to make, a bundle or a site: made once for all processes of a run, whose folder
 * `LONGSTRIDE_TEST_MADE` names; `deno task test` makes and removes that folder. A file run without it makes its own. Nobody changes what
 * is made.
 *
 * Modules are loaded anew for every test file, so what one of them keeps is kept a file. A bundle takes 20 s of CPU, and ten files need it
 * or the site.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";

const SHARED = Deno.env.get("LONGSTRIDE_TEST_MADE");

const kept = new Map<string, Promise<URL>>();

/** Whoever comes first makes it, others wait; half of one, left by a process that ended, is made again. */
async function makeOnce(folder: string, name: string, make: (out: URL) => Promise<void>): Promise<URL> {
  const path = `${folder}/${name}`, part = `${path}.part`;
  using file = await Deno.open(`${path}.lock`, { create: true, write: true });
  await file.lock(true);
  if (!existsSync(path)) {
    if (existsSync(part)) await Deno.remove(part, { recursive: true });
    await Deno.mkdir(part);
    await make(pathToFileURL(`${part}/`));
    await Deno.rename(part, path);
  }
  return pathToFileURL(`${path}/`);
}

async function makeAlone(make: (out: URL) => Promise<void>): Promise<URL> {
  const out = pathToFileURL(`${await Deno.makeTempDir()}/`);
  await make(out);
  return out;
}

/** The folder, a URL that ends in "/", that `make` has filled; {@linkcode removeMade} when done. */
export function made(name: string, make: (out: URL) => Promise<void>): Promise<URL> {
  let one = kept.get(name);
  if (!one) kept.set(name, one = SHARED ? makeOnce(SHARED, name, make) : makeAlone(make));
  return one;
}

/** Removes what this file made for itself. */
export async function removeMade(): Promise<void> {
  for (const one of SHARED ? [] : kept.values()) await Deno.remove(await one, { recursive: true });
  kept.clear();
}
