/**
 * The recipes of docs/recipes, for the tests that run them.
 *
 * @module
 */

import { type Block, blocksOf } from "../tools/tutorial.ts";
import { dist } from "./runtimes/bundle.ts";

/** A recipe's files and command lines. */
export const recipe = async (name: string): Promise<Block[]> =>
  blocksOf(await Deno.readTextFile(new URL(`../docs/recipes/${name}.md`, import.meta.url)));

/** Copies a folder to a path, with the folders on the way there. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** An app's folder with the npm package installed, and a model where the recipe has one. */
export async function appFolder(model: URL, at?: string): Promise<string> {
  const app = await Deno.makeTempDir();
  await copyFolder((await dist()).pathname, `${app}/node_modules/@longstride/longstride`);
  if (at !== undefined) await copyFolder(model.pathname, `${app}/${at}`);
  await Deno.writeTextFile(`${app}/package.json`, `{ "type": "module" }`);
  return app;
}
