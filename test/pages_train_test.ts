/// <reference lib="dom" />
/**
 * The page that trains, as a person uses it, in headless Chromium.
 *
 * Plan. A text is trained on at a phone's, a tablet's and a wide screen's width, by day and by night: what is shown, its layout. The run
 * that the page saves is gone on with by the command line; what it kept in the browser by the page itself after a reload, whose curve must
 * be one, and by the page that samples. Then what a person does wrong: files that cannot be trained on, fields out of range, another file.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import { unzip, zipEntries } from "../data.ts";
import { answer } from "./commands.ts";
import { browserTest } from "./runtimes/chromium.ts";
import { closeSite, faultsOf, onSite, shoot, SIGHTS, textsOf } from "./runtimes/site.ts";

const test = (name: string, fn: () => Promise<void>) => browserTest(`page that trains: ${name}`, fn);
const TEXT = "to be or not to be, that is the question. ".repeat(200);

const give = (page: Page, name: string, content: string | Uint8Array) =>
  page.getByLabel("Drop a file here").setInputFiles({ name, mimeType: "", buffer: Buffer.from(content as string) });

/** Trains so many steps on the CPU. */
async function begin(page: Page, steps: number): Promise<void> {
  await page.locator("#more").evaluate((more: HTMLDetailsElement) => more.open = true);
  await page.getByLabel("Engine").selectOption("wasm");
  await page.getByLabel("Steps").fill(String(steps));
  await page.getByRole("button", { name: "Train", exact: true }).click();
}
const done = (page: Page) => page.getByText("Training is done").waitFor();
/** A number of the view, by what stands under it. */
const number = async (page: Page, name: string) =>
  Number((await page.locator("#numbers div", { hasText: name }).locator("dd").innerText()).replaceAll(",", ""));
const prompted = async (page: Page, text: string) => {
  await page.getByLabel("Prompt").fill(text);
  await page.getByLabel("Prompt").press("Control+Enter");
  await page.getByText("Text ready").waitFor();
  return await page.getByRole("region", { name: "Text" }).innerText();
};

for (const sight of SIGHTS) {
  test(`a text at ${sight.width} pixels${sight.dark ? ", by night" : ""}: loss, samples, heads, rate and time left; then its prompts`, async () => {
    await onSite("train.html", async (page) => {
      await shoot(page, "train-begin");
      assertEquals(await faultsOf(page), []);
      const numbers = await textsOf(page.locator("#numbers"));
      await give(page, "hamlet.txt", TEXT);
      await begin(page, 160);
      await page.getByRole("img", { name: "Loss by step" }).locator("svg").waitFor();
      await page.getByText(/^After step/).first().waitFor();
      assertEquals(await page.getByRole("img", { name: /^Attention of layer/ }).count(), 8);
      await shoot(page, "train-under-way");
      assertEquals(await faultsOf(page), []);
      await done(page);
      assert((await numbers()).some((text) => /left\d/.test(text)), "the time left was not told");
      assertEquals([await number(page, "step of 160"), await page.locator("#numbers div").count()], [160, 4]);
      assert(await number(page, "held out") < 4, "it has learnt nothing");
      await page.getByText("As it is after step").waitFor();
      assert((await prompted(page, "to be ")).startsWith("to be "));
      await shoot(page, "train-prompted");
      assertEquals(await faultsOf(page), []);
      // White drawings are for white pages.
      const grounds = await page.locator("#curve rect, #heads canvas").evaluateAll((drawn) =>
        drawn.map((one) => one.getAttribute("fill") ?? getComputedStyle(one).backgroundColor)
      );
      for (const ground of grounds) assert(["none", "rgba(0, 0, 0, 0)"].includes(ground), ground);
    }, sight);
  });
}

test("a reload goes on where it was, as one run", async () => {
  await onSite("train.html", async (page) => {
    await give(page, "hamlet.txt", TEXT);
    await begin(page, 3000);
    await page.getByText("As it is after step").waitFor();
    const kept = Number(/after step ([\d,]+)/.exec(await page.locator("#prompted").innerText())![1].replace(",", ""));
    await page.reload();
    const [, from] = /Going on from step ([\d,]+)/.exec(await page.getByText(/Going on from step/).innerText())!;
    assert(Number(from.replace(",", "")) >= kept, `from ${from}, kept ${kept}`);
    await page.waitForFunction((kept) => Number(document.querySelector("#numbers dd")?.textContent?.replace(",", "")) > kept, kept);
    await shoot(page, "train-reloaded");
    await page.getByText("training now").waitFor();
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByText("Training has stopped").waitFor();
    const step = await number(page, "step of 3,000");
    await page.getByText(new RegExp(`step ${step.toLocaleString("en")} of 3,000`)).waitFor();
    assertEquals(await page.getByRole("listitem").count(), 1);
    // One curve from the first step on, without a step twice.
    const history = await page.evaluate(() =>
      new Promise<number[]>((resolve) => {
        const request = indexedDB.open("longstride");
        request.onsuccess = () => {
          const all = request.result.transaction("runs").objectStore("runs").getAll();
          all.onsuccess = () => resolve(all.result[0].history.map(({ step }: { step: number }) => step));
        };
      })
    );
    assert(history[0] < kept && history.every((step, at) => at === 0 || step > history[at - 1]), String(history));
    // A stopped run waits for its person.
    await page.reload();
    await page.getByRole("button", { name: "Go on with hamlet.txt" }).waitFor();
    assertEquals(await page.locator("#run").isVisible(), false);
    await page.getByRole("button", { name: "Show hamlet.txt" }).click();
    await page.getByText("As it is after step").waitFor();
    await shoot(page, "train-shown");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save run" }).click()]);
    const names = zipEntries(await Deno.readFile(await download.path()), "run.zip").map(({ name }) => name);
    assert(names.includes(`longstride-run/state-${step}/run.json`), names.join());
    // The page that samples has it too.
    await page.getByRole("link", { name: "Sample" }).click();
    await page.getByRole("radio", { name: "Yours" }).check();
    await page.getByLabel("Or one that was trained in this browser").selectOption({ index: 1 });
    await page.getByText("Model ready").waitFor();
    assert((await prompted(page, "to be ")).startsWith("to be "));
    await shoot(page, "sample-trained");
    await page.goBack();
    await page.getByRole("button", { name: "Forget hamlet.txt" }).click();
    await page.locator("#history").waitFor({ state: "hidden" });
  });
});

test("the command line goes on with what it saves, done or stopped", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/hamlet.txt`, TEXT);
    const zip = await onSite("train.html", async (page) => {
      // Dropped, as a person does it.
      const dropped = await page.evaluateHandle((text) => {
        const data = new DataTransfer();
        data.items.add(new File([text], "hamlet.txt", { type: "text/plain" }));
        return data;
      }, TEXT);
      await page.locator("#drop").dispatchEvent("drop", { dataTransfer: dropped });
      await page.getByText("hamlet.txt, 8,400 bytes").waitFor();
      await begin(page, 30);
      await done(page);
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save run" }).click()]);
      assertEquals(download.suggestedFilename(), "longstride-run.zip");
      await page.getByText("deno task train --resume longstride-run --data hamlet.txt").waitFor();
      // Another run, saved while it goes on and where it is stopped.
      await begin(page, 5000);
      await page.getByText("step of 5,000").waitFor();
      const save = page.getByRole("button", { name: "Save run" });
      await Promise.all([page.waitForEvent("download"), save.click()]);
      await page.getByRole("button", { name: "Stop", exact: true }).click();
      await page.getByText("Training has stopped").waitFor();
      const [stopped] = await Promise.all([page.waitForEvent("download"), save.click()]), at = await number(page, "step of 5,000");
      const names = zipEntries(await Deno.readFile(await stopped.path()), "longstride-run.zip").map(({ name }) => name);
      assert(names.includes(`longstride-run/state-${at}/run.json`), `${names}, stopped after step ${at}`);
      return await Deno.readFile(await download.path());
    });
    for (const entry of zipEntries(zip, "longstride-run.zip")) {
      const { name } = entry, bytes = unzip(entry, "longstride-run.zip");
      await Deno.mkdir(`${folder}/${name.slice(0, name.lastIndexOf("/"))}`, { recursive: true });
      await Deno.writeFile(`${folder}/${name}`, bytes);
    }
    const resumed = await answer(
      ...[
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
      ],
    );
    assertEquals([resumed.code, resumed.err], [0, ""]);
    assertEquals(resumed.events.filter(({ event }) => event === "start").map(({ step }) => step), [30]);
    assertEquals(resumed.events.at(-1)!.step, 33);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

test("a file that cannot be trained on is refused in words, which go with the next one; bytes are said to be bytes", async () => {
  await onSite("train.html", async (page) => {
    for (
      const [name, content, said] of [
        ["tune.mp3", "ID3tune", "convert it first: ffmpeg -i in.mp3 out.wav"],
        ["paper.pdf", `%PDF-1.7\n${"\0\x01binary".repeat(2000)}`, "pdftotext in.pdf out.txt"],
      ]
    ) {
      await give(page, name, content);
      assertEquals(await page.getByRole("alert").count(), 0, "what was said of the file before stays");
      await page.getByText(`${name}, ${content.length.toLocaleString("en")} bytes`).waitFor();
      await begin(page, 10);
      await page.getByRole("alert").getByText(said).waitFor();
      await page.locator("#blank").waitFor();
      await shoot(page, `train-refused-${name.slice(-3)}`);
    }
    await give(page, "noise.bin", crypto.getRandomValues(new Uint8Array(20_000)));
    await begin(page, 10);
    await page.getByText("noise.bin is no text, image or sound that is known: its bytes are learnt as they are.").waitFor();
    await done(page);
    await page.getByRole("button", { name: "Save run" }).click();
    await page.getByText("--data noise.bin").waitFor();
    // The hint is of that run's file.
    await give(page, "hamlet.txt", TEXT);
    assertEquals(await page.locator("#resume").isVisible(), false);
  });
});

test("limits are said at the field, Enter begins and does not stop", async () => {
  await onSite("train.html", async (page) => {
    const go = page.getByRole("button", { name: "Train", exact: true });
    assert(await go.isDisabled(), "there is nothing to train on");
    await give(page, "hamlet.txt", TEXT);
    await page.locator("#more").evaluate((more: HTMLDetailsElement) => more.open = true);
    for (const [label, wrong, right] of [["Steps", "0", "2000"], ["Steps", "", "2000"], ["Learning rate", "7", ""], ["Seed", "-1", "0"]]) {
      await page.getByLabel(label).fill(wrong);
      assert(await go.isDisabled(), `${label} ${wrong} is taken`);
      await page.locator(".wrong").waitFor();
      await page.locator("[aria-invalid=true]").fill(right);
      assert(await go.isEnabled());
    }
    await page.getByLabel("Engine").selectOption("wasm");
    await page.getByLabel("Steps").press("Enter");
    await page.getByText("step of 2,000").waitFor();
    await page.getByLabel("Steps").press("Enter");
    await page.waitForTimeout(1500);
    assertMatch(await page.locator("#status").innerText(), /^Training on/);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByText("Training has stopped").waitFor();
  });
});

test("images are shown and prompted as images", async () => {
  await onSite("train.html", async (page) => {
    // CIFAR-10's format: a label, then the planes.
    const rows = new Uint8Array(40 * 3073).map((_, at) => at % 3073 === 0 ? 1 : (at * 7 + Math.floor(at / 1024) * 60) % 256);
    await give(page, "data_batch_1.bin", rows);
    await begin(page, 4);
    await done(page);
    await page.getByRole("img", { name: "Image made after step 4" }).waitFor();
    await page.getByLabel("Side by side").fill("2");
    await page.getByLabel("Side by side").press("Enter");
    await page.getByText("Image ready: 3,072 tokens").waitFor();
    await shoot(page, "train-images");
    assertEquals(await faultsOf(page), []);
  });
});

test("ends", closeSite);
