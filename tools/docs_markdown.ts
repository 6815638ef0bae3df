/**
 * Markdown of the project's documents to HTML: headings with the anchors that GitHub gives them, links led to where a page's files are.
 *
 * @module
 */

import { Marked, type Token, type Tokens } from "marked";

/** A heading's anchor, as GitHub makes it. */
export const slug = (heading: string): string => heading.trim().toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");

/** Text for HTML, in elements and in attributes. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]!);

/** A heading of a page. */
export interface Heading {
  readonly depth: number;
  readonly text: string;
  readonly anchor: string;
}

/** A document, read. */
export interface Rendered {
  readonly html: string;
  /** What its first heading says. */
  readonly title: string;
  readonly headings: readonly Heading[];
  /** Its first paragraph as text. */
  readonly about: string;
}

/** What comments and strings begin and end with, by the name of a language. */
const STRINGS = String.raw`"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|` + "`(?:[^`\\\\]|\\\\.)*`";
const LANGUAGES: Readonly<Record<string, RegExp>> = (() => {
  const like = (comment: string, strings = STRINGS) => new RegExp(`(?<comment>${comment})|(?<string>${strings})`, "g");
  const c = like(String.raw`(?<![:"'\w])\/\/.*|\/\*[^]*?\*\/`), shell = like(String.raw`(?<=^|\s)#.*`);
  const html = like("<!--[^]*?-->", String.raw`(?<==)"[^"\n]*"`);
  return {
    ts: c,
    tsx: c,
    js: c,
    jsx: c,
    json: c,
    css: c,
    html,
    sh: shell,
    python: shell,
    py: shell,
    toml: shell,
    yaml: shell,
    capnp: shell,
  };
})();

/** Code as HTML, its comments and strings marked. */
export function highlight(code: string, language: string): string {
  const signs = Object.hasOwn(LANGUAGES, language) ? LANGUAGES[language] : undefined;
  if (!signs) return escapeHtml(code);
  let html = "", at = 0;
  for (const found of code.matchAll(signs)) {
    html += escapeHtml(code.slice(at, found.index));
    html += `<i class="${found.groups!.comment === undefined ? "s" : "c"}">${escapeHtml(found[0])}</i>`;
    at = found.index + found[0].length;
  }
  return html + escapeHtml(code.slice(at));
}

/** Code in a box, with its file's name or what it is above it. */
export function codeBox(code: string, info: string): string {
  const [language = "", ...name] = info.split(" "), title = name.filter((word) => word !== "ignore").join(" ");
  const label = title ? `<figcaption>${escapeHtml(title)}</figcaption>` : "";
  return `<figure class="code"${language ? ` data-language="${escapeHtml(language)}"` : ""}>${label}<pre tabindex="0"><code>${
    highlight(code.replace(/\n$/, ""), language)
  }</code></pre></figure>\n`;
}

const textOf = (tokens: readonly Token[] = []): string =>
  tokens.map((token) => "tokens" in token && token.tokens ? textOf(token.tokens) : "text" in token ? token.text : "").join("");

/**
 * Renders a document.
 *
 * @param resolve where a link or picture leads, as it is to stand in the page
 * @param isForDay whether a picture is a drawing whose colours are for a light ground alone
 */
export function render(markdown: string, resolve: (href: string) => string, isForDay: (href: string) => boolean): Rendered {
  const headings: Heading[] = [], taken = new Map<string, number>(), marked = new Marked();
  let about = "";
  const anchorOf = (text: string) => {
    const base = slug(text), again = taken.get(base);
    taken.set(base, (again ?? 0) + 1);
    return again === undefined ? base : `${base}-${again}`;
  };
  marked.use({
    renderer: {
      heading({ tokens, depth }: Tokens.Heading) {
        const text = textOf(tokens), anchor = anchorOf(text);
        headings.push({ depth, text, anchor });
        const link = depth === 1 ? "" : ` <a class="anchor" href="#${anchor}" aria-label="Link to “${escapeHtml(text)}”">#</a>`;
        return `<h${depth} id="${anchor}">${this.parser.parseInline(tokens)}${link}</h${depth}>\n`;
      },
      paragraph({ tokens }: Tokens.Paragraph) {
        about ||= textOf(tokens).replaceAll("\n", " ");
        // A picture alone is a figure, what it shows its caption.
        const [only] = tokens, isAlone = tokens.length === 1 && only.type === "image";
        if (!isAlone) return `<p>${this.parser.parseInline(tokens)}</p>\n`;
        const caption = (only as Tokens.Image).title;
        return `<figure class="picture">${this.parser.parseInline(tokens)}${
          caption ? `<figcaption>${escapeHtml(caption)}</figcaption>` : ""
        }</figure>\n`;
      },
      code: ({ text, lang = "" }: Tokens.Code) => codeBox(text, lang),
      table(token: Tokens.Table) {
        const row = (cells: readonly Tokens.TableCell[], tag: string) =>
          `<tr>${cells.map(({ tokens }) => `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`).join("")}</tr>`;
        const head = token.header.some(({ text }) => text) ? `<thead>${row(token.header, "th")}</thead>` : "";
        return `<div class="table" tabindex="0"><table>${head}<tbody>${
          token.rows.map((cells) => row(cells, "td")).join("\n")
        }</tbody></table></div>\n`;
      },
      link({ href, tokens }: Tokens.Link) {
        const to = escapeHtml(resolve(href)), text = this.parser.parseInline(tokens);
        return /\.wav$/.test(to)
          ? `<audio controls preload="none" src="${to}" aria-label="${escapeHtml(textOf(tokens))}"></audio>`
          : `<a href="${to}">${text}</a>`;
      },
      image({ href, text }: Tokens.Image) {
        return `<img src="${escapeHtml(resolve(href))}" alt="${escapeHtml(text)}" loading="lazy"${
          isForDay(href) ? ' class="drawing"' : ""
        }>`;
      },
    },
  });
  const html = marked.parse(markdown, { async: false });
  return { html, title: headings[0]?.text ?? "", headings, about };
}
