/**
 * What stands around a document's text on its page: the site's header, the navigation, what is on the page, the pages before and after.
 *
 * @module
 */

import { escapeHtml, type Heading } from "./docs_markdown.ts";
import { between } from "./docs_pages.ts";

/** The site that a page is in. */
export interface Place {
  /** Where the pages that sample and train are, from the documentation's folder; undefined where it stands alone. */
  readonly above: string | undefined;
  /** The navigation. */
  readonly groups: readonly { readonly name: string; readonly entries: readonly { readonly title: string; readonly page: string }[] }[];
}

/** A page to be framed. */
export interface Framed {
  /** Where it is, from the documentation's folder. */
  readonly page: string;
  readonly title: string;
  /** In a sentence. */
  readonly about: string;
  readonly html: string;
  readonly headings: readonly Heading[];
}

/** What web/index.html has of the site's mark: its drawing, and the icon of a page. */
const [MARK, ICON] = (() => {
  const text = Deno.readTextFileSync(new URL("../web/index.html", import.meta.url));
  const [mark] = /<svg viewBox="0 0 8 8"[^]*?<\/svg>/.exec(text)!, [icon] = /<link rel="icon"[^>]*>/.exec(text)!;
  return [mark, icon];
})();

const current = (is: boolean) => is ? ' aria-current="page"' : "";

/** Styles and icon, for the head of a page. */
export const head = (page: string, styles: readonly string[]): string =>
  `${ICON}\n${styles.map((name) => `<link rel="stylesheet" href="${between(page, name)}">`).join("\n")}`;

/** The header that all pages of the site have. */
export function header({ above }: Place, page: string, part: "Docs" | "API"): string {
  const up = (to: string) => between(page, "index.html").replace(/index\.html$/, "") + to;
  const site = above === undefined ? [] : [["Sample", up(`${above}index.html`)], ["Train", up(`${above}train.html`)]];
  const links = [...site, ["Docs", between(page, "index.html")], ["API", between(page, "api/index.html")]];
  const home = above === undefined ? between(page, "index.html") : up(`${above}index.html`);
  return `<header><a class="mark" href="${home}">${MARK} Longstride</a><nav aria-label="Pages">${
    links.map(([name, to]) => `<a href="${to}"${current(name === part)}>${name}</a>`).join("")
  }</nav></header>`;
}

/** A whole page. */
export function frame(place: Place, { page, title, about, html, headings }: Framed): string {
  const link = (to: string, text: string, more = "") => `<a href="${between(page, to)}"${more}>${escapeHtml(text)}</a>`;
  const sections = headings.filter(({ depth }) => depth === 2);
  const entry = ({ title, page: to }: { title: string; page: string }) => `<li>${link(to, title, current(to === page))}</li>`;
  const groups = place.groups.map(({ name, entries }) => {
    const isOpen = entries.some(({ page: to }) => to === page) ||
      (page === "index.html" && ["Tutorial", "Recipes", "Guide"].includes(name));
    return `<details${isOpen ? " open" : ""}><summary>${name}</summary><ul>${entries.map(entry).join("")}</ul></details>`;
  });
  // Along the order of the navigation, within what is read from one end to the other.
  const row =
    place.groups.find(({ name, entries }) => ["Tutorial", "Recipes"].includes(name) && entries.some(({ page: to }) => to === page))
      ?.entries ?? [];
  const at = row.findIndex(({ page: to }) => to === page);
  const beside = ([["before", "Before", row[at - 1]], ["after", "Next", at < 0 ? undefined : row[at + 1]]] as const).flatMap((
    [kind, word, other],
  ) => other ? [`<a class="${kind}" href="${between(page, other.page)}"><small>${word}</small>${escapeHtml(other.title)}</a>`] : []);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${escapeHtml(about.slice(0, 200))}">
<title>${title === "Longstride" ? "Longstride: documentation" : `${escapeHtml(title)} – Longstride`}</title>
${head(page, ["tokens.css", "page.css", "docs.css"])}
<script type="module" src="${between(page, "docs.js")}"></script>
</head>
<body class="docs">
<a class="skip" href="#text">To the text</a>
${header(place, page, "Docs")}
<div class="shell">
<nav class="contents" aria-label="Documents"><details><summary>Contents</summary><ul><li>${
    link("index.html", "Overview", current(page === "index.html"))
  }</li></ul>${groups.join("")}</details></nav>
<main id="text">
<article>
${html}</article>
${beside.length > 0 ? `<nav class="beside" aria-label="Before and next">${beside.join("")}</nav>` : ""}
</main>
${
    sections.length > 1
      ? `<nav class="sections" aria-label="On this page"><strong>On this page</strong><ul>${
        sections.map(({ text, anchor }) => `<li><a href="#${anchor}">${escapeHtml(text)}</a></li>`).join("")
      }</ul></nav>`
      : ""
  }
</div>
</body>
</html>
`;
}
