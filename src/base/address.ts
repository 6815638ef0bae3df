/**
 * Addresses and files, in whatever runtime this is.
 *
 * @module
 */

import { expect } from "./check.ts";
import { ConfigError, excerpt } from "./errors.ts";

/** What is used of Node's modules, which Deno and Bun have too. */
interface Modules {
  readonly "fs/promises": { readFile(file: URL, options: { signal?: AbortSignal }): Promise<Uint8Array> };
  readonly "url": { pathToFileURL(path: string): URL };
}

/**
 * One of Node's modules, where the runtime has them. Its name is put together here, so that bundlers for the web, which have none, leave
 * the import as it is.
 */
async function nodeModule<K extends keyof Modules>(name: K): Promise<Modules[K] | undefined> {
  try {
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ ["node", name].join(":"));
  } catch {
    return undefined;
  }
}

/** The bytes of a file by its URL; undefined where this runtime has no files. */
export async function fileBytes(url: URL, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const files = await nodeModule("fs/promises");
  // Of a buffer that may be part of a larger one, at any place.
  return files && new Uint8Array(await files.readFile(url, { signal }));
}

/** A drive's letter, which no scheme of an address is. */
const DRIVE = /^[a-z]:[\\/]/i;

/**
 * The URL that a text means: an address as it is; a path from the page's address, or where there is none from the current folder.
 *
 * @param cannot what cannot be done: "Cannot open the model"
 * @throws {ConfigError} where it is no text, or a path, and there is neither a page nor a folder
 */
export async function addressOf(cannot: string, source: string | URL): Promise<URL> {
  if (source instanceof URL) return new URL(source);
  expect(cannot, { address: [source, "a string"] });
  try {
    if (!DRIVE.test(source)) return new URL(source, globalThis.location?.href);
  } catch {
    // A path.
  }
  const url = globalThis.location ? undefined : await nodeModule("url");
  if (!url) throw new ConfigError(`${cannot} at ${excerpt(source)}: it must be an absolute address, such as https://…/model/`);
  return url.pathToFileURL(source);
}
