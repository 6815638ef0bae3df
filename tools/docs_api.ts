/**
 * The library's API by `deno doc --html`, in the site's look: its header above, its colours, nothing that depends on the machine.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { deno } from "./deno.ts";
import { head, header, type Place } from "./docs_frame.ts";
import { between } from "./docs_pages.ts";
import { faces } from "./faces.ts";

const ROOT = new URL("../", import.meta.url);

/** In place of deno's switch between day and night: as the system has it, like the rest of the site. */
const DARK =
  `const dark = matchMedia("(prefers-color-scheme: dark)"), follow = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();
`;

async function* pagesBelow(folder: URL, path = ""): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(path, folder))) {
    if (isDirectory) yield* pagesBelow(folder, `${path}${name}/`);
    else if (name.endsWith(".html")) yield path + name;
  }
}

/** A page of deno's as one of ours. */
function dressed(html: string, page: string, place: Place): string {
  return html
    .replace("<html>", '<html lang="en">')
    // Later rules go before earlier ones: ours around deno's, and those that change deno's last.
    .replace(
      '<link rel="stylesheet"',
      () => `<meta name="color-scheme" content="light dark">\n${head(page, ["tokens.css", "page.css"])}\n<link rel="stylesheet"`,
    )
    .replace("</head>", () => `${head(page, ["api.css"]).replace(/^<link rel="icon"[^>]*>\n/, "")}\n</head>`)
    .replace("<body>", () => `<body class="api">\n${header(place, page, "API")}`)
    // As README and examples import them; "." would be a name in a package's own files.
    .replace(/from &quot;(\.|[a-z]+)&quot;;/g, (_, face: string) => `from &quot;./${face === "." ? "mod" : face}.ts&quot;;`)
    .replace('class="contextLink">default</a>', 'class="contextLink">mod</a>')
    .replace(
      /<title>(.*?)<\/title>/,
      (_, title: string) => `<title>${title.replace("- default -", "- mod -").replaceAll(" - ", " – ")}</title>`,
    )
    // Where the sources lie on the machine that made it.
    .replace(/<a\s+class="sourceButton"[^>]*>[^]*?<\/a>/g, "")
    .replace(/<button id="theme-toggle"[^]*?<\/button>/, "")
    // A drawing of 3 KB, at every heading: half of all bytes.
    .replace(/(<a [^>]*class="anchor"[^>]*>)\s*<svg[^]*?<\/svg>\s*/g, "$1#");
}

/**
 * A page whose links lead somewhere, to the other faces as well: deno takes `{@linkcode import("./norm.ts").Clip}` for an address, and leads to anchors of parameters of
 * types that it does not make.
 *
 * @param pages all of them, by path
 */
function relinked(html: string, path: string, pages: readonly string[]): string {
  const face = path.slice(0, Math.max(0, path.lastIndexOf("~/"))).replace(/[^/]+\.html$/, "");
  const pageFor = (name: string) => {
    const [symbol, member] = name.split("."), ending = member ? `~/${symbol}.prototype.${member}.html` : `~/${symbol}.html`;
    return pages.find((page) => page === face + ending) ?? pages.find((page) => page.endsWith(`/${ending}`) || page === ending);
  };
  return html
    // The list of faces in the first one's own words.
    .replace(/<td><code>([a-z]+)\.ts<\/code><\/td>/g, (cell, name: string) => {
      const to = `${name}/index.html`;
      return pages.includes(to) ? `<td><a href="${between(path, to)}"><code>${name}.ts</code></a></td>` : cell;
    })
    .replace(/<a href="[^"]*!([\w.]+)"><code>[^<]*<\/code><\/a>/g, (_, name: string) => {
      const to = pageFor(name), code = `<code>${name}</code>`;
      return to ? `<a href="${between(path, to)}">${code}</a>` : code;
    })
    .replace(/<a href="#(type_param_\w+)"[^>]*>(.*?)<\/a>/g, (all, id: string, text: string) => html.includes(`id="${id}"`) ? all : text);
}

/** Writes it to a folder, a file URL that ends in "/". */
export async function writeApi(out: URL, place: Place): Promise<void> {
  await deno(ROOT, "doc", "--html", "--name=Longstride", `--output=${fileURLToPath(out)}`, ...faces());
  const pages = await Array.fromAsync(pagesBelow(out));
  for (const path of pages) {
    const file = new URL(encodeURI(path), out), html = await Deno.readTextFile(file);
    await Deno.writeTextFile(file, dressed(relinked(html, path, pages), `api/${path}`, place));
  }
  await Deno.writeTextFile(new URL("darkmode_toggle.js", out), DARK);
}
