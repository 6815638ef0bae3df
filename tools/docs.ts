/**
 * The documentation as static files: the project's documents and `deno doc --html` of the library's faces, in the look of web/.
 *
 *     deno task docs [FOLDER]
 *
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { CONTROLS, TOKENS } from "../web/look.ts";
import { freshFolder, makeFolder, program } from "./bundle.ts";
import { writeApi } from "./docs_api.ts";
import { codeBox, escapeHtml, render, type Rendered } from "./docs_markdown.ts";
import { assetOf, between, GROUPS, pageOf, SHOWN } from "./docs_pages.ts";
import { frame, type Place } from "./docs_frame.ts";
import { helpWhereAsked, refuse } from "./usage.ts";

const ROOT = new URL("../", import.meta.url);

/** Links of a document, as they stand in it. */
const LINK = /\]\(([^()\s]+)/g;

/** Markdown files below a folder, README first, then by name. */
function markdown(folder: string): string[] {
  const found = [...Deno.readDirSync(new URL(folder, ROOT))].sort((a, b) => a.name < b.name ? -1 : 1);
  return [
    ...found.filter(({ name }) => name === "README.md"),
    ...found.filter(({ name, isFile }) => isFile && name.endsWith(".md") && name !== "README.md"),
  ].map(({ name }) => folder + name).concat(
    found.filter(({ isDirectory }) => isDirectory).flatMap(({ name }) => markdown(`${folder}${name}/`)),
  );
}

/** A link's path from the root, and its anchor; undefined where it leads out of the project. */
function linked(from: string, href: string): { path: string; anchor?: string } | undefined {
  if (/^[a-z]+:/.test(href)) return undefined;
  const [file, anchor] = href.split("#");
  return { path: file ? new URL(file, `file:///${from}`).pathname.slice(1) : from, anchor };
}

/** Documents in the order in which the first of their folder leads to them; those that it does not, last. */
function ordered(paths: readonly string[], texts: ReadonlyMap<string, string>): string[] {
  const places = new Map<string, number>();
  for (const path of ["README.md", ...paths.filter((path) => path.endsWith("/README.md"))]) {
    for (const [, href] of texts.get(path)!.matchAll(LINK)) {
      const to = linked(path, href)?.path;
      if (to !== undefined && !places.has(to)) places.set(to, places.size);
    }
  }
  const place = (path: string) => path.endsWith("/README.md") ? -1 : places.get(path) ?? Infinity;
  return [...paths].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
}

/** The pages that show a file or folder of the project that documents lead to, and those in it. */
function sourcePages(paths: Iterable<string>): Map<string, string> {
  const made = new Map<string, string>();
  const add = (path: string) => {
    if (made.has(path)) return;
    const page = pageOf(path), back = `<h1>${escapeHtml(path)}</h1>\n`;
    if (!path.endsWith("/")) {
      return void made.set(path, back + codeBox(Deno.readTextFileSync(new URL(path, ROOT)), path.split(".").at(-1)!));
    }
    const found = [...Deno.readDirSync(new URL(path, ROOT))].map(({ name, isDirectory }) => `${path}${name}${isDirectory ? "/" : ""}`);
    const inside = found.filter((name) => !/\/(\.|__)/.test(name)).sort();
    made.set(
      path,
      `${back}<ul class="files">${
        inside.map((name) => `<li><a href="${between(page, pageOf(name))}">${escapeHtml(name.slice(path.length))}</a></li>`).join("")
      }</ul>`,
    );
    inside.forEach(add);
  };
  for (const path of paths) add(path);
  return made;
}

/** Where the pages that sample and train are, from the documentation's folder; undefined where it stands alone. */
export type Above = string | undefined;

/**
 * Writes the documentation to a folder, a file URL that ends in "/".
 *
 * @param above where the pages that sample and train are, from there
 * @throws {ConfigError} where it cannot be made
 */
export async function buildDocs(out: URL, above?: Above): Promise<void> {
  await makeFolder(out);
  const write = async (name: string, content: string) => {
    const to = new URL(name, out);
    await Deno.mkdir(new URL(".", to), { recursive: true });
    await Deno.writeTextFile(to, content);
  };
  const root = [...Deno.readDirSync(ROOT)].map(({ name }) => name).filter((name) => name.endsWith(".md")).sort();
  const paths = [...root, "test/README.md", ...markdown("docs/")];
  const texts = new Map(paths.map((path) => [path, Deno.readTextFileSync(new URL(path, ROOT))]));
  texts.set(
    "CITATION.cff",
    `# Citation\n\nHow to cite this program.\n\n\`\`\`yaml CITATION.cff\n${Deno.readTextFileSync(new URL("CITATION.cff", ROOT))}\`\`\`\n`,
  );

  const assets = new Set<string>(), sources = new Set<string>(), pages = new Map<string, Rendered>();
  for (const path of [...texts.keys()]) {
    const at = pageOf(path);
    pages.set(
      path,
      render(texts.get(path)!, (href) => {
        const to = linked(path, href);
        if (!to) return href;
        const asset = assetOf(to.path), page = pageOf(to.path);
        if (asset) assets.add(to.path);
        else if (!texts.has(to.path)) sources.add(to.path);
        return between(at, (asset ?? page) + (to.anchor === undefined ? "" : `#${to.anchor}`));
      }, (href) => {
        // Drawings of today have colours for the night.
        const to = linked(path, href)?.path;
        return to?.endsWith(".svg") === true && !Deno.readTextFileSync(new URL(to, ROOT)).includes("prefers-color-scheme");
      }),
    );
  }

  const all = ordered([...texts.keys()], texts), groupOf = (path: string) => GROUPS.find(({ has }) => has(path))?.name;
  const groups = SHOWN.map((name) => ({
    name,
    entries: all.filter((path) => groupOf(path) === name).map((path) => ({
      // A group has its first page's title already.
      title: pages.get(path)!.title === name || path.startsWith("docs/") && path.endsWith("/README.md")
        ? "Introduction"
        : pages.get(path)!.title,
      page: pageOf(path),
    })),
  })).filter(({ entries }) => entries.length > 0);
  const place: Place = { above, groups };
  for (const [path, { html, title, headings, about }] of pages) {
    await write(pageOf(path), frame(place, { page: pageOf(path), title, about, html, headings }));
  }
  for (const [path, html] of sourcePages(sources)) {
    await write(pageOf(path), frame(place, { page: pageOf(path), title: path, about: path, html, headings: [] }));
  }
  for (const path of assets) {
    const to = new URL(assetOf(path)!, out);
    await Deno.mkdir(new URL(".", to), { recursive: true });
    await Deno.copyFile(new URL(path, ROOT), to);
  }
  await write("tokens.css", `:root { ${TOKENS} }\n${CONTROLS}\n`);
  for (const name of ["page.css", "docs.css", "docs.js", "api.css"]) await Deno.copyFile(new URL(`web/${name}`, ROOT), new URL(name, out));
  await writeApi(new URL("api/", out), place);
}

if (import.meta.main) {
  helpWhereAsked(`Makes the documentation as static files: the documents, and the library's API by deno doc.

Usage: deno task docs [FOLDER]

  FOLDER  where to (default: site/); an earlier one there is replaced`);
  const [folder = "site", ...more] = Deno.args;
  if (more.length > 0 || folder.startsWith("-")) {
    refuse(`Cannot make the docs with ${Deno.args.join(" ")}: it takes one folder or none, deno task docs [FOLDER]`);
  }
  await program(async () => {
    const out = pathToFileURL(`${resolve(folder)}/`);
    await freshFolder("write the docs", out, "docs.css");
    await buildDocs(out);
    console.log(`The documentation is in ${folder}; begin at ${folder.replace(/\/$/, "")}/index.html.`);
  });
}
