/// <reference lib="dom" />
/**
 * The site of web/ as `deno task web` builds and serves it, in a browser, for tests.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Browser, Page } from "playwright-core";
import { buildSite, serveSite } from "../tools/web.ts";
import type { LongstrideSample } from "../web/longstride_sample.ts";
import { made, removeMade } from "./made.ts";
import { launch, PAGE_TIMEOUT } from "./runtimes/chromium.ts";

/** A site that is served, and the browser that looks at it. */
export interface Site {
  readonly browser: Browser;
  readonly base: string;
  /** Where its files are. */
  readonly folder: URL;
  close(): Promise<void>;
}

/** Serves the site, built once, and starts the browser. What `answer` has of its own is served instead. */
export async function openSite(answer: (name: string) => Response | undefined = () => undefined): Promise<Site> {
  const folder = await made("site", buildSite);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => answer(new URL(request.url).pathname.slice(1)) ?? serveSite(folder, request),
  );
  const browser = await launch();
  return {
    browser,
    base: `http://127.0.0.1:${server.addr.port}`,
    folder,
    close: async () => {
      await browser.close();
      await server.shutdown();
      await removeMade();
    },
  };
}

/** Does something with a page at an address; it fails where the page threw anything that nobody caught, or the policy was broken. */
export async function watched<T>(page: Page, address: string, use: (page: Page) => Promise<T>): Promise<T> {
  const errors: string[] = [];
  page.setDefaultTimeout(PAGE_TIMEOUT);
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.text().includes("Content Security Policy") && errors.push(message.text()));
  await page.goto(address);
  const result = await use(page).catch((error) => {
    throw errors.length > 0 ? new Error(`${error.message}; the page threw ${errors.join("; ")}`, { cause: error }) : error;
  });
  assertEquals(errors, []);
  return result;
}

let pictures = 0;

/** {@linkcode watched} of a page of the site. `LONGSTRIDE_SCREENSHOTS` is a folder to leave a picture of it in. */
export async function visit<T>({ browser, base }: Site, path: string, use: (page: Page) => Promise<T>): Promise<T> {
  const page = await browser.newPage({ viewport: { width: 820, height: 900 }, acceptDownloads: true });
  try {
    return await watched(page, `${base}/${path}`, async () => {
      const result = await use(page), folder = Deno.env.get("LONGSTRIDE_SCREENSHOTS");
      if (folder && !page.isClosed()) {
        await page.screenshot({ path: `${folder}/${++pictures}-${path.replace(".html", "")}.png`, fullPage: true });
      }
      return result;
    });
  } finally {
    await page.close();
  }
}

/** Calls a function with the element, in the page. */
export const onElement = <R, A>(page: Page, run: (element: LongstrideSample, argument: A) => R | Promise<R>, argument?: A) =>
  page.locator("longstride-sample").evaluate(run as never, argument) as Promise<R>;
