/// <reference lib="dom" />
/**
 * The site as `deno task web` serves it, in headless Chromium, for the tests of its pages.
 *
 * `LONGSTRIDE_SCREENSHOTS` is a folder to leave pictures of each state in.
 *
 * @module
 */

import type { Locator, Page } from "playwright-core";
import { openSite, type Site, watched } from "../site.ts";

let opened: Promise<Site> | undefined;

/** How a page is looked at. */
export interface Sight {
  readonly width: number;
  readonly dark?: boolean;
}

/** A phone, a tablet, a wide screen at night. */
export const SIGHTS: readonly Sight[] = [{ width: 390 }, { width: 768 }, { width: 1440, dark: true }];

/** Leaves a picture of a page as it is now, where pictures are asked for. */
export async function shoot(page: Page, name: string): Promise<void> {
  const folder = Deno.env.get("LONGSTRIDE_SCREENSHOTS");
  if (!folder) return;
  const { width } = page.viewportSize()!, isDark = await page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches);
  await Deno.mkdir(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}-${width}${isDark ? "-dark" : ""}.png`, fullPage: true });
}

/** Opens a page of the site in a browser profile of its own; it fails where the page threw anything, or the policy was broken. */
export async function onSite<T>(path: string, use: (page: Page) => Promise<T>, { width, dark }: Sight = { width: 1200 }): Promise<T> {
  const { browser, base } = await (opened ??= openSite());
  const context = await browser.newContext({
    viewport: { width, height: width < 500 ? 844 : 900 },
    colorScheme: dark ? "dark" : "light",
    acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  try {
    return await watched(await context.newPage(), `${base}/${path}`, use);
  } finally {
    await context.close();
  }
}

/** Keeps the texts that an element has had from now on, each however short; answers with what gives them. */
export async function textsOf(of: Locator): Promise<() => Promise<string[]>> {
  const texts = await of.evaluateHandle((element) => {
    const texts: string[] = [];
    new MutationObserver(() => texts.push(element.textContent ?? "")).observe(element, {
      childList: true,
      characterData: true,
      subtree: true,
    });
    return texts;
  });
  return () => texts.jsonValue();
}

/** Ends what was opened. */
export async function closeSite(): Promise<void> {
  await (await opened)?.close();
  opened = undefined;
}

/** What is wrong with a page's layout: whether it is wider than the screen, fields over each other, text that is too small to read. */
export const faultsOf = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const faults: string[] = [], { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth > clientWidth) faults.push(`${scrollWidth} pixels wide on a screen of ${clientWidth}`);
    const name = (element: Element) => element.getAttribute("name") ?? element.id ?? element.localName;
    const fields = [...document.querySelectorAll("input, select, textarea, button")].filter((field) =>
      field.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true })
    );
    fields.forEach((field, at) => {
      const one = field.getBoundingClientRect();
      if (one.right > clientWidth) faults.push(`${name(field)} reaches ${one.right} of ${clientWidth} pixels`);
      for (const other of fields.slice(at + 1)) {
        const two = other.getBoundingClientRect();
        const across = Math.min(one.right, two.right) - Math.max(one.left, two.left),
          down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
        if (across > 1 && down > 1) faults.push(`${name(field)} lies over ${name(other)}`);
      }
    });
    for (const text of document.querySelectorAll<SVGTextElement>("svg text")) {
      const svg = text.ownerSVGElement!, scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      const pixels = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (pixels < 11) faults.push(`${text.textContent} is ${pixels} pixels high`);
    }
    return faults;
  });
