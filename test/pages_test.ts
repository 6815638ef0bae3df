/// <reference lib="dom" />
/**
 * The pages of web/ in real headless Chromium, under the strict policy they are served with. (The element is element_test.ts's.)
 *
 * Plan. The page that samples makes text, an image and a sound from the models shipped with it; the page that trains trains on a file, and
 * the command line goes on from what it saved; a file that cannot be trained on is refused in words.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { encodePng } from "../data.ts";
import { unzip, zipEntries } from "../src/data/zip.ts";
import type { LongstrideSample } from "../web/longstride_sample.ts";
import { run } from "./commands.ts";
import { browserTest } from "./runtimes/chromium.ts";
import { onElement, openSite, type Site, visit } from "./site.ts";

const test = (name: string, fn: () => Promise<void>) => browserTest(`pages: ${name}`, fn);

let opened: Promise<Site> | undefined;
const onPage = async <T>(path: string, use: (page: Page) => Promise<T>) => await visit(await (opened ??= openSite()), path, use);

test("the page that samples: text, image and sound from the models shipped with it", async () => {
  await onPage("index.html", async (page) => {
    for (
      const [label, make, ready, tokens] of [
        ["Text", "Write", "Text ready", "500"],
        ["Images", "Paint", "Image ready", "3,072"],
        ["Sound", "Compose", "Sound ready", "24,000"],
      ]
    ) {
      await page.getByLabel(label, { exact: true }).check();
      await page.getByLabel("Engine").selectOption("wasm");
      // Painted and composed by a model of another form: its own words show what it is, once it is there.
      await page.getByRole("button", { name: /Write|Paint|Compose/ }).click();
      await page.getByText(`${ready}: ${tokens} tokens`).waitFor({ timeout: 60_000 });
      await page.getByRole("button", { name: make }).waitFor();
      const folder = Deno.env.get("LONGSTRIDE_SCREENSHOTS");
      if (folder) await page.screenshot({ path: `${folder}/page-${make.toLowerCase()}.png`, fullPage: true });
    }
    // The upper half of a picture that somebody gives stays as it is.
    await page.getByLabel("Images").check();
    const rgb = Uint8Array.from({ length: 64 * 64 * 3 }, (_, at) => at % 3 === 0 ? 200 : 40);
    await page.getByLabel("Complete a picture").setInputFiles({
      name: "red.png",
      mimeType: "image/png",
      buffer: Buffer.from(encodePng({ width: 64, height: 64, rgb })),
    });
    await page.waitForFunction(() => document.querySelector<LongstrideSample>("longstride-sample")!.promptTokens?.length === 1536);
    await page.getByRole("button", { name: /Write|Paint|Compose/ }).click();
    await page.getByText("Image ready: 1,536 tokens").waitFor({ timeout: 30_000 });
    const [r, g, b] = await onElement(
      page,
      (element) => [...element.shadowRoot!.querySelector("canvas")!.getContext("2d")!.getImageData(9, 9, 1, 1).data],
    );
    assertEquals([r, g, b], [200, 40, 40]);
  });
});

test("the page that trains, whose checkpoint the command line goes on from", async () => {
  const folder = await Deno.makeTempDir(), text = "to be or not to be, that is the question. ".repeat(200);
  try {
    await Deno.writeTextFile(`${folder}/hamlet.txt`, text);
    const zip = await onPage("train.html", async (page) => {
      // Dropped, as a person does it.
      const dropped = await page.evaluateHandle((text) => {
        const data = new DataTransfer();
        data.items.add(new File([text], "hamlet.txt", { type: "text/plain" }));
        return data;
      }, text);
      await page.locator("#drop").dispatchEvent("drop", { dataTransfer: dropped });
      await page.getByText("hamlet.txt, 8,400 bytes").waitFor();
      await page.getByLabel("Steps").fill("30");
      await page.getByLabel("Engine").selectOption("wasm");
      await page.getByRole("button", { name: "Train", exact: true }).click();
      await page.getByRole("img", { name: "Loss by step" }).locator("svg").waitFor({ timeout: 30_000 });
      await page.getByRole("img", { name: "Attention pattern" }).locator("svg").waitFor();
      await page.getByText("Training is done").waitFor({ timeout: 60_000 });
      assertMatch(
        await page.locator("#numbers").innerText(),
        /^step 30 of 30, loss \d\.\d{3} bits\/byte, held out \d\.\d{3}, [\d,]+ tokens\/s$/,
      );
      await page.locator("#samples pre").first().waitFor({ timeout: 20_000 });
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save checkpoint" }).click()]);
      assertEquals(download.suggestedFilename(), "longstride-run.zip");
      await page.getByText("deno task train --resume longstride-run --data hamlet.txt").waitFor();
      // Another run, saved while it goes on and where it is stopped.
      await page.getByLabel("Steps").fill("5000");
      await page.getByRole("button", { name: "Train", exact: true }).click();
      await page.getByText(/^step \d+ of 5000/).waitFor();
      const save = page.getByRole("button", { name: "Save checkpoint" });
      await Promise.all([page.waitForEvent("download"), save.click()]);
      await page.getByRole("button", { name: "Stop" }).click();
      await page.getByText("Training has stopped").waitFor();
      const [stopped] = await Promise.all([page.waitForEvent("download"), save.click()]),
        [, at] = /^step (\d+)/.exec(await page.locator("#numbers").innerText())!;
      const names = zipEntries(await Deno.readFile(await stopped.path()), "longstride-run.zip").map(({ name }) => name);
      assert(names.includes(`longstride-run/state-${at}/run.json`), `${names}, stopped after step ${at}`);
      return await Deno.readFile(await download.path());
    });
    for (const entry of zipEntries(zip, "longstride-run.zip")) {
      const { name } = entry, bytes = unzip(entry, "longstride-run.zip");
      await Deno.mkdir(`${folder}/${name.slice(0, name.lastIndexOf("/"))}`, { recursive: true });
      await Deno.writeFile(`${folder}/${name}`, bytes);
    }
    const resumed = await run(
      "train",
      "--resume",
      `${folder}/longstride-run`,
      "--data",
      `${folder}/hamlet.txt`,
      "--steps",
      "33",
      "--backend",
      "wasm",
      "--json",
    );
    assertEquals([resumed.code, resumed.err], [0, ""]);
    assertEquals(resumed.events.filter(({ event }) => event === "start").map(({ step }) => step), [30]);
    assertEquals(resumed.events.at(-1)!.step, 33);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

test("a file that cannot be trained on is refused in words", async () => {
  await onPage("train.html", async (page) => {
    await page.getByLabel("Drop a file here").setInputFiles({ name: "tune.mp3", mimeType: "audio/mpeg", buffer: Buffer.from("ID3tune") });
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await page.getByRole("alert").getByText("convert it first: ffmpeg -i in.mp3 out.wav").waitFor({ timeout: 20_000 });
    await page.getByRole("button", { name: "Train", exact: true }).waitFor();
  });
});

Deno.test.afterAll(async () => await (await opened)?.close());
