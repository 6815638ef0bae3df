/**
 * Which documents the site has, what each page is called, and what stands beside it.
 *
 * @module
 */

import { extname } from "node:path/posix";

/** A group of the navigation: its name, and which documents it has, by path from the root. */
interface Group {
  readonly name: string;
  readonly has: (path: string) => boolean;
}

const within = (folder: string) => (path: string) => path.startsWith(`docs/${folder}/`);

/** In the navigation's order; a document is in the first that has it, so that a new one of docs/ comes in by itself. */
export const GROUPS: readonly Group[] = [
  { name: "Tutorial", has: within("tutorial") },
  { name: "Recipes", has: within("recipes") },
  { name: "Reasons", has: within("decisions") },
  { name: "Laboratory", has: within("lab") },
  { name: "Guide", has: (path) => path.startsWith("docs/") },
  { name: "Project", has: (path) => path !== "README.md" },
];

/** The order in which a reader meets them. */
export const SHOWN = ["Tutorial", "Recipes", "Guide", "Reasons", "Laboratory", "Project"] as const;

/** Where the page of a document is, from the site's folder. */
export function pageOf(path: string): string {
  if (path === "README.md") return "index.html";
  if (path === "test/README.md") return "tests.html";
  if (/^[A-Z]+\.(md|cff)$/.test(path)) return `${path.split(".")[0].toLowerCase()}.html`;
  if (path.startsWith("docs/") && path.endsWith(".md")) {
    return path.slice("docs/".length).replace(/README\.md$/, "index.html").replace(/\.md$/, ".html");
  }
  // Sources that documents lead to.
  return path.endsWith("/") ? `source/${path}index.html` : `source/${path}.html`;
}

/** Where a file that pages show as it is lies, from the site's folder: pictures and sounds; undefined of others. */
export function assetOf(path: string): string | undefined {
  return /\.(svg|png|wav)$/.test(extname(path)) ? path.replace(/^docs\//, "") : undefined;
}

/** A path from the page at `from` to a file at `to`, both from the site's folder. */
export function between(from: string, to: string): string {
  const above = from.split("/").length - 1, [path, anchor] = to.split("#");
  const up = from.split("/"), down = path.split("/");
  let same = 0;
  while (same < above && same < down.length - 1 && up[same] === down[same]) same++;
  return "../".repeat(above - same) + down.slice(same).join("/") + (anchor === undefined ? "" : `#${anchor}`);
}
