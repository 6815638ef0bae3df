/**
 * What addresses people give mean.
 *
 * @module
 */

import { expect } from "./check.ts";
import { ConfigError, excerpt } from "./errors.ts";

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
  // Pages load nothing of this.
  const url = globalThis.location ? undefined : await (await import("./runtime_files.ts")).pathToUrl(source);
  if (!url) throw new ConfigError(`${cannot} at ${excerpt(source)}: it must be an absolute address, such as https://…/model/`);
  return url;
}
