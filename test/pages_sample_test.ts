/// <reference lib="dom" />
/**
 * The page that samples, as a person uses it, in headless Chromium.
 *
 * Plan. Each kind of model at a phone's, a tablet's and a wide screen's width, by day and by night: what is shown, its layout, its names
 * for screen readers. The bits that tint a text, and what a token is said to have taken, must be those that Deno's own scorer finds. Then
 * what a person does wrong: fields out of range, files that are none, another model before the first is done.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Page } from "playwright-core";
import * as longstride from "../mod.ts";
import { encodeText, openModel, pickBackend, Scorer } from "../mod.ts";
import { encodePng, zipChunks } from "../data.ts";
import { formatConfig, modelChunks, parseConfig, readModel } from "../files.ts";
import type { LongstrideSample } from "../web/longstride_sample.ts";
import { browserTest } from "./runtimes/chromium.ts";
import { closeSite, faultsOf, onSite, shoot, SIGHTS, textsOf } from "./runtimes/site.ts";
import { CONFIG, trained } from "./runtimes/smoke.ts";

const test = (name: string, fn: () => Promise<void>) => browserTest(`page that samples: ${name}`, fn);
const SHIPPED = new URL("../web/models/text/", import.meta.url);

/** Chooses a model, and the CPU. */
async function choose(page: Page, model: string): Promise<void> {
  await page.getByRole("radio", { name: model, exact: true }).check();
  await page.locator("#more").evaluate((more: HTMLDetailsElement) => more.open = true);
  await page.getByLabel("Engine").selectOption("wasm");
}
const write = async (page: Page) => {
  await page.getByRole("button", { name: "Write", exact: true }).click();
  await page.getByText("Text ready").waitFor();
};
/** What stands where nothing was made yet. */
const empty = (page: Page) => part(page, "made").evaluate((made) => getComputedStyle(made, "::before").content);
const part = (page: Page, name: string) => page.locator(`longstride-sample [part=${name}]`);

for (const sight of SIGHTS) {
  test(`text at ${sight.width} pixels${sight.dark ? ", by night" : ""}`, async () => {
    await onSite("", async (page) => {
      assertMatch(await empty(page), /What it writes appears here/);
      await shoot(page, "sample-begin");
      await choose(page, "Text");
      await write(page);
      assert(await page.locator("longstride-sample pre span[class^=t]").count() > 20, "no token is tinted");
      assertMatch(await part(page, "sample").innerText(), /\d\.\d\d bits\/byte · seed \d+/);
      await page.locator("longstride-sample pre span").nth(200).click();
      await page.getByText("Likeliest here").waitFor();
      await shoot(page, "sample-text");
      assertEquals(await faultsOf(page), []);
    }, sight);
  });

  test(`images and sound at ${sight.width} pixels${sight.dark ? ", by night" : ""}`, async () => {
    await onSite("", async (page) => {
      await choose(page, "Images");
      const rates = await textsOf(part(page, "rate"));
      await page.getByRole("button", { name: "Paint", exact: true }).click();
      await page.locator("longstride-sample canvas").first().waitFor();
      await shoot(page, "sample-painting");
      await page.getByText("Image ready: 3,072 tokens").waitFor();
      assert((await rates()).some((text) => /^[1-9],?\d* of 3,072 tokens/.test(text)), "how far it was was not told");
      assertEquals(await page.getByRole("img", { name: "Image of 32 by 32 pixels" }).count(), 4);
      await shoot(page, "sample-images");
      assertEquals(await faultsOf(page), []);
      await choose(page, "Sound");
      await page.getByLabel("Seconds").fill("0.5");
      await page.getByLabel("Side by side").fill("2");
      await page.getByRole("button", { name: "Compose", exact: true }).click();
      await page.getByText("Sound ready: 6,000 tokens").waitFor();
      assertEquals(await page.getByRole("img", { name: "Waveform of 0.50 seconds" }).count(), 2);
      const duration = await page.locator("longstride-sample audio").first().evaluate((audio: HTMLAudioElement) =>
        audio.duration || new Promise<number>((resolve) => audio.onloadedmetadata = () => resolve(audio.duration))
      );
      assert(Math.abs(duration - 0.5) < 0.01, `${duration} s`);
      await shoot(page, "sample-sound");
      assertEquals(await faultsOf(page), []);
    }, sight);
  });
}

test("what a token took is what Deno's scorer finds, on the way and looked at", async () => {
  await onSite("", async (page) => {
    await choose(page, "Text");
    // Longer than the context: what follows is made in a second one.
    await page.getByLabel("Length").fill("700");
    await page.getByLabel("Seed").fill("7");
    const found = page.locator("longstride-sample").evaluate(async (element: LongstrideSample) => {
      const { tokens, text } = await element.sample();
      return { tokens: [...tokens], text };
    });
    const { tokens } = await found, prompt = [...encodeText("Climate: ")], all = [...prompt, ...tokens];
    const model = await openModel(
      readModel(
        await Deno.readTextFile(new URL("config.json", SHIPPED)),
        await Deno.readFile(new URL("model.safetensors", SHIPPED)),
      ),
      { backend: "wasm", threads: 1 },
    );
    const scorer = await Scorer.create(model.engine, model.params, 1), { n_ctx } = model.config, bits: number[] = [];
    // As sampling goes on: from the latter half of what there is when the context is full.
    for (let from = 0; bits.length < all.length; from += n_ctx / 2) {
      const rows = new Uint32Array(n_ctx);
      rows.set(all.slice(from, from + n_ctx));
      bits.push(...(await scorer.score(rows)).slice(bits.length - from, Math.min(n_ctx, all.length - from)));
    }
    scorer.dispose();
    model.dispose();
    const mean = bits.slice(prompt.length).reduce((a, b) => a + b) / tokens.length;
    assertStringIncludes(await part(page, "sample").innerText(), `${mean.toFixed(2)} bits/byte`);
    const tinted = await page.locator("longstride-sample pre span").evaluateAll((spans) => spans.map(({ className }) => className));
    const tints = [1, 2, 3, 4.5, 6, 8];
    let near = 0;
    bits.forEach((bits, at) => {
      if (at < prompt.length) return;
      const want = tints.findLastIndex((least) => bits >= least) + 1;
      // A rounding may put a token on the other side of a border.
      if (tints.some((least) => Math.abs(bits - least) < 1e-3)) near++;
      else assertEquals(tinted[at], want > 0 ? `t${want}` : "", `token ${at} of ${bits} bits`);
    });
    assert(near < 10);
    for (const at of [20, 600]) {
      await page.locator("longstride-sample pre span").nth(at).click();
      await page.waitForFunction(
        (bits) => {
          const look = document.querySelector("longstride-sample")!.shadowRoot!.querySelector("[part=look]")!;
          return Math.abs(Number(/took (\d+\.\d+) bits/.exec(look.textContent!)?.[1]) - bits) < 0.006;
        },
        bits[at],
      );
      // The heads read tokens before it, and weigh them.
      const read = await page.locator("longstride-sample pre span").evaluateAll((spans) =>
        spans.map(({ classList }) => classList.contains("read"))
      );
      assert(read.some(Boolean) && read.lastIndexOf(true) < at, `reads up to ${read.lastIndexOf(true)} at ${at}`);
    }
  });
});

test("on WebGPU tokens are tinted and looked into as on the CPU", async () => {
  // Two layers of one kind: each kernel more is seconds on a GPU in software.
  const { engine } = await pickBackend("wasm", { threads: 1 }), { weights } = await trained(longstride, engine, 40);
  engine.dispose();
  const files = { "config.json": [encodeText(formatConfig(CONFIG))], "model.safetensors": [...modelChunks({ config: CONFIG, weights })] };
  const zip = zipChunks(new Map(Object.entries(files).map(([name, chunks]) => [`run/${name}`, Buffer.concat(chunks)])));
  await onSite("", async (page) => {
    await choose(page, "Yours");
    await page.getByLabel("Open a run").setInputFiles({ name: "run.zip", mimeType: "application/zip", buffer: Buffer.concat([...zip]) });
    await page.getByText("Model ready").waitFor();
    await page.getByLabel("Prompt").fill("a sp");
    await page.getByLabel("Length").fill("24");
    await page.getByLabel("Temperature").fill("0");
    await page.getByLabel("Seed").fill("1");
    const found: string[] = [];
    for (const engine of ["WASM", "WebGPU"]) {
      await page.getByLabel("Engine").selectOption(engine.toLowerCase());
      await page.getByRole("button", { name: "Write", exact: true }).click();
      await part(page, "about").getByText(engine).waitFor();
      await page.getByText("Text ready: 24 tokens").waitFor();
      const tints = await page.locator("longstride-sample pre span").evaluateAll((spans) => spans.map(({ className }) => className).join());
      await page.locator("longstride-sample pre span").nth(20).click();
      await page.getByText("Likeliest here").waitFor();
      found.push(`${tints} ${await part(page, "look").innerText()}`);
    }
    assertEquals(found[1], found[0]);
    assert(new Set(found[0].split(" ")[0].split(",")).size > 1, "all tokens have one tint");
  });
});

test("arrow keys go from token to token, heads can be told apart", async () => {
  await onSite("", async (page) => {
    await choose(page, "Text");
    await page.getByLabel("Length").fill("60");
    await write(page);
    await page.getByRole("region", { name: "Text" }).focus();
    await page.keyboard.press("End");
    const panel = page.getByRole("region", { name: "The token looked at" });
    await panel.waitFor();
    const last = await panel.innerText();
    await page.keyboard.press("ArrowLeft");
    await page.waitForFunction((last) => {
      const look = document.querySelector("longstride-sample")!.shadowRoot!.querySelector<HTMLElement>("[part=look]")!;
      return look.innerText !== last;
    }, last);
    const marks = () =>
      page.locator("longstride-sample pre span").evaluateAll((spans) =>
        spans.map((span) => (span as HTMLElement).style.getPropertyValue("--weight")).join()
      );
    const all = await marks();
    await page.getByRole("button", { name: "Layer 4, head 2" }).click();
    assert(await marks() !== all, "one head reads what all do");
    assertEquals(await page.getByRole("button", { name: "Layer 4, head 2" }).getAttribute("aria-pressed"), "true");
  });
});

test("several texts side by side, each copied and saved", async () => {
  await onSite("", async (page) => {
    await choose(page, "Text");
    await page.getByLabel("Length").fill("80");
    await page.getByLabel("Side by side").fill("3");
    await page.getByLabel("Prompt").fill("Capital: ");
    await write(page);
    const texts = await page.getByRole("region", { name: "Text" }).allInnerTexts();
    assertEquals([texts.length, new Set(texts).size], [3, 3]);
    for (const text of texts) assert(text.startsWith("Capital: "), text);
    await page.getByRole("button", { name: "Copy" }).nth(1).click();
    await page.getByText("Copied").waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assertEquals(copied.replace(/\s+/g, " ").trim(), texts[1].replace(/\s+/g, " ").trim());
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Save TXT" }).nth(1).click()]);
    assertEquals([download.suggestedFilename(), await Deno.readTextFile(await download.path())], ["sample.txt", copied]);
    await shoot(page, "sample-side-by-side");
  });
});

test("sound is heard while it is made", async () => {
  await onSite("", async (page) => {
    await choose(page, "Sound");
    // As long as it may be, so that it is heard long before it is made.
    await page.getByLabel("Seconds").fill("20");
    await page.getByRole("button", { name: "Compose", exact: true }).click();
    await page.getByRole("button", { name: "Listen as it comes" }).click();
    const head = page.locator("longstride-sample .head"),
      at = () => head.evaluate((head) => parseFloat((head as HTMLElement).style.insetInlineStart));
    await page.waitForFunction(() => {
      const head = document.querySelector("longstride-sample")!.shadowRoot!.querySelector<HTMLElement>(".head")!;
      return !head.hidden && parseFloat(head.style.insetInlineStart) > 0;
    });
    assert(await page.getByText("Composing").isVisible(), "it is heard only once it is made");
    const first = await at();
    await shoot(page, "sample-listening");
    assert(first < 100);
    await page.getByRole("button", { name: "Be quiet" }).click();
    assert(await head.isHidden());
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByText("Stopped").waitFor();
  });
});

test("Enter in a line and Ctrl+Enter in the prompt begin, Escape stops, limits are said at the field", async () => {
  await onSite("", async (page) => {
    await choose(page, "Text");
    await page.getByLabel("Length").fill("20");
    await page.keyboard.press("Enter");
    await page.getByText("Text ready: 20 tokens").waitFor();
    await page.getByLabel("Prompt").fill("Two\nlines");
    await page.getByLabel("Length").fill("21");
    await page.getByLabel("Prompt").focus();
    await page.keyboard.press("Control+Enter");
    await page.getByText("Text ready: 21 tokens").waitFor();
    for (
      const [label, wrong, right] of [["Length", "0", "5"], ["Temperature", "9", "1"], ["Top-p", "2", ""], ["Side by side", "2.5", "1"], [
        "Top-k",
        "999",
        "",
      ]]
    ) {
      await page.getByLabel(label).fill(wrong);
      assert(await page.getByRole("button", { name: "Write", exact: true }).isDisabled(), `${label} ${wrong} is taken`);
      await page.locator(".wrong").waitFor();
      await page.keyboard.press("Enter");
      assertEquals(await page.evaluate(() => document.activeElement?.getAttribute("aria-invalid")), "true");
      if (label === "Temperature") await shoot(page, "sample-wrong");
      await page.locator("[aria-invalid=true]").fill(right);
      assertEquals(await page.locator(".wrong").count(), 0);
    }
    assert(await page.getByRole("button", { name: "Write", exact: true }).isEnabled());
  });
});

test("another model takes away what the one before said and made", async () => {
  await onSite("", async (page) => {
    await choose(page, "Text");
    await page.getByLabel("Length").fill("20");
    await write(page);
    await choose(page, "Images");
    for (const name of ["made", "status", "about", "rate"]) assertEquals(await part(page, name).innerText(), "", name);
    assertEquals(await part(page, "key").isVisible(), false);
    // In the middle of a sample as well, of many images, which take a while.
    await page.getByLabel("Side by side").fill("8");
    await page.getByRole("button", { name: "Paint", exact: true }).click();
    await page.getByText(/^[1-9],?\d* of 3,072 tokens/).waitFor();
    await choose(page, "Text");
    await page.waitForFunction(() =>
      document.querySelector("longstride-sample")!.shadowRoot!.querySelector("[part=made]")!.childElementCount === 0
    );
    await write(page);
  });
});

test("the upper half of a picture stays as it is; a file that is none is said so", async () => {
  await onSite("", async (page) => {
    await choose(page, "Images");
    await page.getByLabel("Side by side").fill("1");
    const rgb = Uint8Array.from({ length: 64 * 64 * 3 }, (_, at) => at % 3 === 0 ? 200 : 40), field = page.getByLabel("Complete a picture");
    await field.setInputFiles({ name: "none.png", mimeType: "image/png", buffer: Buffer.from("none") });
    await page.getByText("none.png is no picture that this browser can read").waitFor();
    await field.setInputFiles({ name: "red.png", mimeType: "image/png", buffer: Buffer.from(encodePng({ width: 64, height: 64, rgb })) });
    await page.waitForFunction(() => document.querySelector<LongstrideSample>("longstride-sample")!.promptTokens?.length === 1536);
    await page.getByRole("button", { name: "Paint", exact: true }).click();
    await page.getByText("Image ready: 1,536 tokens").waitFor();
    const pixel = await page.locator("longstride-sample canvas").evaluate((
      canvas: HTMLCanvasElement,
    ) => [...canvas.getContext("2d")!.getImageData(9, 9, 1, 1).data]);
    assertEquals(pixel.slice(0, 3), [200, 40, 40]);
  });
});

test("a model's zip is opened; what is none is refused in words, and the next one is not", async () => {
  const config = await Deno.readTextFile(new URL("config.json", SHIPPED)),
    model = await Deno.readFile(new URL("model.safetensors", SHIPPED));
  assertEquals(parseConfig(config, "config.json").n_ctx, 512);
  const zip = Buffer.concat([...zipChunks(new Map([["run/config.json", encodeText(config)], ["run/model.safetensors", model]]))]);
  await onSite("", async (page) => {
    await choose(page, "Yours");
    assert(await page.getByRole("button", { name: "Write", exact: true }).isDisabled(), "there is nothing to write with");
    const field = page.getByLabel("Open a run");
    for (
      const [name, buffer, said] of [
        ["letter.zip", Buffer.from("no zip"), "is not a zip archive"],
        ["empty.zip", Buffer.concat([...zipChunks(new Map([["a.txt", encodeText("a")]]))]), "there is no model.safetensors in it"],
      ] as const
    ) {
      await field.setInputFiles({ name, mimeType: "application/zip", buffer });
      await page.getByRole("alert").getByText(said).waitFor();
      assertStringIncludes(await page.getByRole("alert").innerText(), name);
    }
    await shoot(page, "sample-refused");
    await field.setInputFiles({ name: "run.zip", mimeType: "application/zip", buffer: zip });
    await page.getByText("Model ready").waitFor();
    assertEquals(await page.getByRole("alert").count(), 0);
    await page.getByLabel("Length").fill("30");
    await write(page);
    await shoot(page, "sample-own");
  });
});

test("every field and button has a name", async () => {
  await onSite("", async (page) => {
    for (const model of ["Text", "Images", "Sound", "Yours"]) {
      await choose(page, model);
      const nameless = await page.locator("input:visible, select:visible, textarea:visible, button:visible").evaluateAll((fields) =>
        (fields as HTMLInputElement[]).filter((field) => !field.labels?.length && !field.textContent && !field.ariaLabel).map((
          { outerHTML },
        ) => outerHTML)
      );
      assertEquals(nameless, []);
    }
  });
});

test("ends", closeSite);
