/**
 * Documents: links lead to files and headings that are there, files of the project that are named exist, and every document can be
 * reached from README.md. (Code samples run as tests of their own, by `deno test --doc`.)
 *
 * Plan. A check over texts by path; it must find each kind of fault where one is planted, and nothing in the project.
 */

import { assertEquals } from "@std/assert";
import { slug } from "../tools/docs_markdown.ts";

const ROOT = new URL("../", import.meta.url);

/** A document without its blocks of code. */
const prose = (text: string) => text.replace(/^```[\s\S]*?^```$/gm, "").replace(/^ {4}.*$/gm, "");

/** The path that a link in `from` leads to, from the root. */
const resolve = (from: string, link: string) => new URL(link, `file:///${from}`).pathname.slice(1);

/** Links of a document within the project. */
function links(text: string): string[] {
  return [...prose(text).matchAll(/\]\(([^()\s]+)(?: "[^"]*")?\)/g)].map(([, link]) => link).filter((link) => !/^[a-z]+:/.test(link));
}

/** What is wrong with documents, a line each. `exists` says of a path from the root whether it is there. */
function faults(documents: ReadonlyMap<string, string>, exists: (path: string) => boolean): string[] {
  const found: string[] = [], reached = new Set(["README.md"]);
  for (const path of reached) {
    for (const link of links(documents.get(path) ?? "")) {
      const to = resolve(path, link.split("#")[0] || path.split("/").at(-1)!);
      if (documents.has(to)) reached.add(to);
    }
  }
  for (const [path, text] of documents) {
    if (!reached.has(path)) found.push(`${path} is linked from no document that README.md leads to`);
    for (const link of links(text)) {
      const [file, anchor] = link.split("#"), to = file ? resolve(path, file) : path;
      if (!exists(to)) found.push(`${path} links ${link}: there is no ${to}`);
      else if (anchor && !prose(documents.get(to) ?? "").match(/^#+ .*$/gm)?.some((line) => slug(line.replace(/^#+/, "")) === anchor)) {
        found.push(`${path} links ${link}: ${to} has no such heading`);
      }
    }
    // Laboratory notes and the change log say what was.
    if (/^docs\/lab\/|^CHANGELOG/.test(path)) continue;
    for (const [, named] of prose(text).matchAll(/`((?:src|asm|wgsl|cli|web|test|bench|tools|docs|examples)\/[\w./-]+)`/g)) {
      if (!exists(named)) found.push(`${path} names ${named}, which is not there`);
    }
  }
  return found;
}

function* markdown(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    if (isDirectory) yield* markdown(`${folder}${name}/`);
    else if (name.endsWith(".md")) yield folder + name;
  }
}

Deno.test("documents: links, anchors and named files are there", () => {
  const root = [...Deno.readDirSync(ROOT)].map(({ name }) => name).filter((name) => name.endsWith(".md")), paths = [...root];
  for (const folder of ["docs/", "test/"]) paths.push(...markdown(folder));
  const documents = new Map(paths.map((path) => [path, Deno.readTextFileSync(new URL(path, ROOT))]));
  const exists = (path: string) => {
    try {
      return Deno.statSync(new URL(path, ROOT)) !== undefined;
    } catch {
      return false;
    }
  };
  assertEquals(faults(documents, exists), []);
});

Deno.test("documents: each kind of fault is found", () => {
  const documents = new Map([
    ["README.md", "# A\n[b](docs/b.md#what-it-is) [c](docs/c.md) [d](docs/b.md#what) [web](https://there.example/x)\n```\n[e](e.md)\n```"],
    ["docs/b.md", "## What it is\n`src/gone.ts` `src/here.ts` `src/<op>.ts` [up](../README.md#a)"],
    ["docs/lab/x.md", "`src/gone.ts`"],
  ]);
  assertEquals(faults(documents, (path) => documents.has(path) || path === "src/here.ts"), [
    "README.md links docs/c.md: there is no docs/c.md",
    "README.md links docs/b.md#what: docs/b.md has no such heading",
    "docs/b.md names src/gone.ts, which is not there",
    "docs/lab/x.md is linked from no document that README.md leads to",
  ]);
});
