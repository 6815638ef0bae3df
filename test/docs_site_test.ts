/// <reference lib="dom" />
/**
 * The documentation as a site.
 *
 * Plan. It is built once, beside the pages of web/: every link and anchor within it leads somewhere, every page has a title and one first
 * heading, nothing is fetched from elsewhere, no path of this machine is in it; at 390 pixels no page is wider than the screen, by day and by
 * night no page throws.
 */

import { assert, assertEquals } from "@std/assert";
import { buildDocs } from "../tools/docs.ts";
import { serveSite } from "../tools/web.ts";
import { browserTest, launch, PAGE_TIMEOUT } from "./runtimes/chromium.ts";
import { shoot } from "./runtimes/site.ts";
import { until } from "./until.ts";

const WEB = new URL("../web/", import.meta.url);

let made: Promise<{ folder: URL; pages: Map<string, string> }> | undefined;
/** The site, in a folder `docs/`, and its pages by path within it. */
const site = () =>
  made ??= (async () => {
    const folder = new URL(`file://${await Deno.makeTempDir()}/`), docs = new URL("docs/", folder), pages = new Map<string, string>();
    await buildDocs(docs, "../");
    const read = async (at: string) => {
      for await (const { name, isDirectory } of Deno.readDir(new URL(encodeURI(at), docs))) {
        if (isDirectory) await read(`${at}${name}/`);
        else if (name.endsWith(".html")) pages.set(at + name, await Deno.readTextFile(new URL(encodeURI(at + name), docs)));
      }
    };
    await read("");
    return { folder, pages };
  })();

const plain = (text: string) => text.replace(/&#x2F;/g, "/").replace(/&quot;/g, '"').replace(/&#x27;|&#39;/g, "'").replace(/&amp;/g, "&");

/** What pages link and show, an attribute each: its element's name, its value. */
const attributes = (html: string) =>
  [...html.matchAll(/<(\w+)\b[^>]*?\s(?:href|src)="([^"]*)"/g)].map(([, tag, value]) => [tag, plain(value)] as const);

/** Faults of links, a line each. `exists` says of a path from the site's root whether a file is there. */
function faults(pages: ReadonlyMap<string, string>, exists: (path: string) => boolean): string[] {
  const found: string[] = [], ids = new Map<string, Set<string>>();
  const idsOf = (path: string) => {
    if (!ids.has(path)) ids.set(path, new Set([...(pages.get(path) ?? "").matchAll(/\sid="([^"]*)"/g)].map(([, id]) => plain(id))));
    return ids.get(path)!;
  };
  for (const [path, html] of pages) {
    for (const [tag, value] of attributes(html)) {
      if (/^(data|mailto):/.test(value) || value === "") continue;
      if (/^[a-z]+:\/\//.test(value)) {
        if (tag !== "a") found.push(`${path}: ${tag} fetches ${value}`);
        else if (value.startsWith("file:")) found.push(`${path} links ${value}`);
        continue;
      }
      const to = new URL(value, `http://x/docs/${encodeURI(path)}`), file = decodeURI(to.pathname).replace(/\/$/, "/index.html").slice(1);
      if (!exists(file)) found.push(`${path} links ${value}: there is no ${file}`);
      else if (to.hash.length > 1 && !idsOf(file.replace(/^docs\//, "")).has(decodeURIComponent(to.hash.slice(1)))) {
        found.push(`${path} links ${value}: there is no such anchor`);
      }
    }
  }
  return found;
}

Deno.test("docs site: every link and anchor leads somewhere, nothing is fetched from elsewhere", async () => {
  const { folder, pages } = await site();
  const exists = (path: string) => {
    try {
      return Deno.statSync(new URL(encodeURI(path), path.startsWith("docs/") ? folder : WEB)).isFile;
    } catch {
      return false;
    }
  };
  assertEquals(faults(pages, exists), []);
  for (const name of ["page.css", "docs.css", "api.css", "tokens.css", "api/styles.css", "api/page.css"]) {
    const text = await Deno.readTextFile(new URL(`docs/${name}`, folder));
    assert(!/@import|url\(\s*["']?(?!data:)[a-z]*:?\/\//.test(text), name);
  }
});

Deno.test("docs site: each kind of fault is found", () => {
  const pages = new Map([
    ["a.html", `<a href="b.html#y"><a href="b.html#x"><a href="sub/"><img src="https://x.example/y.png"><a href="https://x.example/">`],
    ["b.html", `<h2 id="x"><a href="../index.html"><a href="file:///home/c.ts"><a href="c.html">`],
  ]);
  assertEquals(faults(pages, (path) => pages.has(path.replace("docs/", "")) || path === "index.html"), [
    "a.html links b.html#y: there is no such anchor",
    "a.html links sub/: there is no docs/sub/index.html",
    "a.html: img fetches https://x.example/y.png",
    "b.html links file:///home/c.ts",
    "b.html links c.html: there is no docs/c.html",
  ]);
});

Deno.test("docs site: every page has a title of its own and the site's header, and says nothing of this machine", async () => {
  const { pages } = await site(), titles = new Map<string, string>();
  assert(pages.has("index.html") && pages.has("tutorial/text.html") && pages.has("recipes/react.html") && pages.has("api/ops/index.html"));
  const root = decodeURI(new URL("../", import.meta.url).pathname);
  for (const [path, html] of pages) {
    const [, title] = /<title>([^<]+)<\/title>/.exec(html) ?? [], isDocument = !path.startsWith("api/");
    assert(title, `${path} has no title`);
    if (isDocument) assert(!titles.has(title), `${path} has the title of ${titles.get(title)}: ${title}`);
    titles.set(title, path);
    assertEquals(html.match(/<header>/g)?.length, 1, path);
    assertEquals(/<html lang="en">/.test(html), true, path);
    if (isDocument) assertEquals(html.match(/<h1\b/g)?.length, 1, path);
    assert(!html.includes("file://") && !html.includes(root), `${path} names a path of this machine`);
  }
});

browserTest("docs site: no page is wider than a phone, and none throws", async () => {
  const { folder, pages } = await site(), browser = await launch();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => serveSite(folder, request));
  // Of the API's thousand pages the faces and those with the most on them.
  const api = [...pages].filter(([path]) => path.startsWith("api/")).sort(([, a], [, b]) => b.length - a.length).map(([path]) => path);
  const looked = [...pages.keys()].filter((path) => !path.startsWith("api/"))
    .concat(api.filter((path) => /^api\/(\w+\/)?index\.html$/.test(path)), api.slice(0, 12));
  try {
    const wrong: string[] = [];
    for (const dark of [false, true]) {
      const context = await browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: dark ? "dark" : "light" });
      const page = await context.newPage();
      page.setDefaultTimeout(PAGE_TIMEOUT);
      page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error}`));
      page.on("console", (message) => message.text().includes("Content Security Policy") && wrong.push(`${page.url()}: ${message.text()}`));
      // By night colours are others, and nothing else.
      for (const path of dark ? ["index.html", "tutorial/image.html", "api/index.html"] : looked) {
        await page.goto(`http://127.0.0.1:${server.addr.port}/docs/${path}`);
        const [across, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
        if (across > screen) wrong.push(`${path} is ${across} pixels wide on a screen of ${screen}`);
        if (path === "index.html" || path === "tutorial/image.html") await shoot(page, `docs-${path.replaceAll("/", "-")}`);
      }
      await context.close();
    }
    assertEquals(wrong, []);
  } finally {
    await browser.close();
    await server.shutdown();
  }
});

browserTest("docs site: contents open and close, and code is copied", async () => {
  const { folder } = await site(), browser = await launch();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => serveSite(folder, request));
  try {
    const context = await browser.newContext({ viewport: { width: 390, height: 844 }, permissions: ["clipboard-read", "clipboard-write"] });
    const page = await context.newPage();
    page.setDefaultTimeout(PAGE_TIMEOUT);
    // Without its last slash, as people type it.
    await page.goto(`http://127.0.0.1:${server.addr.port}/docs`);
    const tutorial = page.getByRole("link", { name: "Sound", exact: true });
    assertEquals(await tutorial.isVisible(), false);
    await page.getByText("Contents", { exact: true }).click();
    await tutorial.click();
    await page.getByRole("heading", { level: 1, name: "Sound", exact: true }).waitFor();
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.getByRole("link", { name: "Text", exact: true }).waitFor();
    const box = page.locator("figure.code").nth(1);
    await box.hover();
    await box.getByRole("button", { name: "Copy" }).click();
    const code = await box.locator("code").textContent(), copied = () => page.evaluate(() => navigator.clipboard.readText());
    assertEquals(await until(copied, (text) => text === code), code);
    await context.close();
  } finally {
    await browser.close();
    await server.shutdown();
  }
});

Deno.test.afterAll(async () => {
  if (made) await Deno.remove((await made).folder, { recursive: true });
});
