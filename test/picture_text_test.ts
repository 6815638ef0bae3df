/**
 * What is written in pictures: nothing overlaps anything else, nothing is cut, and it reads on light and dark grounds.
 *
 * Plan. Boxes of all that is written, from the files alone, over many random inputs: no two meet, none leaves the picture, none lies on a
 * curve. In a browser the same with the boxes that it measures, which must be no larger than those that the pictures reckon with. Colours
 * by their contrast.
 */

import { assert, assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Random } from "../src/base/random.ts";
import { ShapeError } from "../src/base/errors.ts";
import { decodePng } from "../src/data/png.ts";
import { byteLabels, encodeText } from "../src/data/text.ts";
import { linearTicks, logTicks, lossText, namedOf, numberText, spread, wholeTicks } from "../src/pictures/axes.ts";
import { css, DARK, INK } from "../src/pictures/colors.ts";
import { type CurvePoint, lossCurveSvg } from "../src/pictures/curves.ts";
import { panelsOf, patternMap, patternSvg } from "../src/pictures/layouts.ts";
import { attentionImage, attentionOverImageSvg, attentionSvg } from "../src/pictures/maps.ts";
import { escapeXml, textLines, textWidth } from "../src/pictures/svg.ts";
import { waveformSvg } from "../src/pictures/waveform.ts";
import { scheduleOf } from "../src/pattern/reach.ts";
import type { AttentionMap } from "../src/run/maps.ts";
import { browserTest, launch } from "./runtimes/chromium.ts";

/** Something written. */
interface Box {
  readonly text: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** How far characters reach above and below their line, in parts of their size. */
const ASCENT = 0.93, DESCENT = 0.24;

const plain = (text: string) =>
  text.replace(/&(amp|lt|gt|quot);/g, (_, name) => ({ amp: "&", lt: "<", gt: ">", quot: '"' })[name as "amp"]);

/** Boxes of all texts of an SVG. */
function boxesOf(svg: string): Box[] {
  return [...svg.matchAll(/<text ([^>]*)>([^<]*)<\/text>/g)].map(([, attributes, escaped]) => {
    const text = plain(escaped), value = (name: string) => new RegExp(`(?:^| )${name}="([^"]*)"`).exec(attributes)?.[1];
    const size = Number(value("font-size")), width = textWidth(text, size, value("font-weight") === "600"), anchor = value("text-anchor");
    const start = anchor === "end" ? -width : anchor === "middle" ? -width / 2 : 0,
      turned = /translate\((\S+) (\S+)\) rotate\(-90\)/.exec(attributes);
    assert(size > 0 && !(value("transform") && !turned), attributes);
    if (turned) {
      const x = Number(turned[1]), y = Number(turned[2]);
      return { text, left: x - size * ASCENT, right: x + size * DESCENT, top: y - start - width, bottom: y - start };
    }
    const x = Number(value("x")), y = Number(value("y"));
    return { text, left: x + start, right: x + start + width, top: y - size * ASCENT, bottom: y + size * DESCENT };
  }).filter(({ text }) => text.trim() !== "");
}

/** Pairs of boxes that meet; half a pixel is no overlap. */
function meetings(boxes: readonly Box[]): [string, string][] {
  const found: [string, string][] = [], order = [...boxes].sort((a, b) => a.left - b.left);
  order.forEach((a, at) => {
    for (let other = at + 1; other < order.length && order[other].left < a.right - 0.5; other++) {
      const b = order[other];
      if (b.top < a.bottom - 0.5 && a.top < b.bottom - 0.5) found.push([a.text, b.text]);
    }
  });
  return found;
}

/** Fails where texts meet or leave the picture. */
function assertClear(svg: string, boxes = boxesOf(svg)): void {
  const [, width, height] = /viewBox="0 0 (\S+) (\S+)"/.exec(svg)!.map(Number);
  assertEquals(meetings(boxes), []);
  for (const { text, left, right, top, bottom } of boxes) {
    assert(
      left >= 0 && right <= width && top >= 0 && bottom <= height,
      `${text} leaves the picture: ${[left, right, top, bottom]} of ${width} × ${height}`,
    );
  }
  assert(!/NaN|Infinity|undefined/.test(svg.replace(/base64,[^"]*/g, "")));
}

/** Places that curves go through. */
function curvePoints(svg: string): [number, number][] {
  const paths = [...svg.matchAll(/<path d="([^"]*)" fill="none" stroke="rgb/g)].map(([, d]) => d);
  return paths.flatMap((d) => [...d.matchAll(/[ML](\S+?) ([^ML]+)/g)].map(([, x, y]): [number, number] => [Number(x), Number(y)]));
}

Deno.test("picture text: the check finds what overlaps and what is cut", () => {
  const text = (x: number, y: number, more = "") => `<text x="${x}" y="${y}" font-size="12"${more}>order-0 entropy</text>`;
  const of = (...texts: string[]) => `<svg viewBox="0 0 300 100">${texts.join("")}</svg>`;
  assertClear(of(text(10, 20), text(10, 40)));
  assertThrows(() => assertClear(of(text(10, 20), text(60, 26))));
  assertThrows(() => assertClear(of(text(250, 20))), Error, "leaves the picture");
  assertThrows(() => assertClear(of(text(20, 20, ` text-anchor="middle"`))), Error, "leaves the picture");
  assertThrows(() => assertClear(of(`<text transform="translate(20 50) rotate(-90)" font-size="12">bits / byte</text>`, text(10, 40))));
});

const random = new Random(11, 4),
  below = (n: number) => random.below(n),
  words = ["gzip", "−9", "order-0", "entropy", "a", "WWWWWWWWWWWWWWWWWWWWWWWW", "größer", "エントロピー"];
const phrase = (most: number) => Array.from({ length: below(most) + 1 }, () => words[below(words.length)]).join(" ");
/** A size of some order of magnitude. */
const magnitude = () => (1 + below(1000) / 1000) * 10 ** [-320, -260, -12, -3, 0, 0, 0, 0, 1, 3, 9, 30, 249, 300][below(14)];

/** Arguments of a curve: few and many points, levels that lie close, values of any size. */
function randomCurve(): Parameters<typeof lossCurveSvg> {
  const steps = [1, 2, 7, 600, 20000, 2 ** 31 - 1][below(6)],
    count = [0, 1, 2, 30, 400][below(5)],
    size = magnitude(),
    end = random.uniform();
  const points = Array.from({ length: count }, (_, at): CurvePoint => ({
    step: Math.round(steps * end * (at + 1) / count),
    loss: below(40) === 0
      ? [NaN, Infinity, 0][below(3)]
      : size * (0.2 + Math.exp(-at / 9) * (1 + random.uniform() / 9)) * (below(20) ? 1 : magnitude()),
    ...below(3) === 0 ? { heldOut: below(30) ? size * (0.3 + random.uniform()) : NaN } : {},
  }));
  const marks = Array.from(
    { length: [0, 2, 5, 40][below(4)] },
    () => ({ label: phrase(5), bits: size * (1 + random.uniform() / [1, 1000][below(2)]) }),
  );
  return [phrase(12), points, steps, marks, [320, 400, 760, 1600][below(4)]];
}

Deno.test("picture text: a curve's labels stand clear of each other and of the curves, whatever the values", () => {
  for (let round = 0; round < 400; round++) {
    const given = randomCurve(), svg = lossCurveSvg(...given), boxes = boxesOf(svg);
    assertClear(svg, boxes);
    for (const [x, y] of curvePoints(svg)) {
      const on = boxes.find(({ left, right, top, bottom }) => x > left && x < right && y > top && y < bottom);
      assertEquals(on, undefined, `a curve of ${JSON.stringify(given).slice(0, 300)} goes through ${on?.text}`);
    }
    // Nothing is left out: the title and each level are there, in lines.
    const written = boxes.map(({ text }) => text.replace(/\s/g, "")).join("");
    for (const { label, bits } of given[3]!) if (bits < 1e250) assertStringIncludes(written, label.replace(/\s/g, ""));
    assertStringIncludes(written, given[0].replace(/\s/g, ""));
  }
});

Deno.test("picture text: curves say where they are", () => {
  const points = [{ step: 100, loss: 4, heldOut: 2.05 }, { step: 200, loss: 2.25, heldOut: 2.1 }];
  const texts = boxesOf(lossCurveSvg("t", points, 200, [{ label: "gzip −9", bits: 2.5 }])).map(({ text }) => text);
  for (
    const text of ["training 2.250", "held out 2.100, lowest 2.050 at step 100", "gzip −9 2.500", "steps", "bits / byte", "150", "3.0"]
  ) {
    assert(texts.includes(text), `${text} is not among ${texts}`);
  }
  assert(
    boxesOf(lossCurveSvg("t", [{ step: 1, loss: 1e6 }, { step: 2, loss: 2 }], 2)).some(({ text }) => text === "bits / byte, logarithmic"),
  );
  // A level's label stands at its level where it is alone, as the mark of the axis does.
  const level = boxesOf(lossCurveSvg("t", [{ step: 1, loss: 0 }, { step: 2, loss: 4 }], 2, [{ label: "half", bits: 2 }]));
  const [named, tick] = ["half 2.000", "2"].map((wanted) => level.find(({ text, left }) => text === wanted && left !== level[0].left)!);
  assertAlmostEquals(named.top, tick.top, 0.2);
});

Deno.test("picture text: one point is seen", () => {
  assertEquals([...lossCurveSvg("t", [{ step: 1, loss: 8 }], 10).matchAll(/<circle /g)].length, 2, "one of the legend, one of the curve");
});

Deno.test("picture text: ticks are round, in range, and as far apart as their texts need", () => {
  for (let round = 0; round < 300; round++) {
    const low = magnitude(), high = low * (1 + magnitude()), count = 2 + below(12);
    if (!(high > low * (1 + 1e-6)) || high === Infinity) continue;
    for (const ticks of [linearTicks(low, high, count), logTicks(low, high, count)]) {
      assert(ticks.length <= 3 * count + 3, `${ticks.length} ticks`);
      assert(ticks.every(({ value }) => value >= low * (1 - 1e-8) - 1e-8 * (high - low) && value <= high * (1 + 1e-8)), `${low} ${high}`);
      assertEquals(new Set(ticks.map(({ text }) => text)).size, ticks.length, JSON.stringify(ticks));
    }
    const steps = 1 + below(2 ** 20), pixels = 100 + below(900), whole = wholeTicks(steps, pixels, 12);
    assert(whole.every(({ value, text }) => Number.isInteger(value) && Number(text.replaceAll(",", "")) === value || value >= 1e6));
    const named = namedOf(steps, pixels / steps, 20);
    assertEquals([named[0], named.at(-1)], [steps > 1 + 20 * steps / pixels ? 0 : named[0], steps - 1]);
    named.slice(1).forEach((at, k) => assert((at - named[k]) * pixels / steps >= 20 * (1 - 1e-9) || at - named[k] === 1));
  }
  assertEquals(linearTicks(0, 8, 4).map(({ text }) => text), ["0", "2", "4", "6", "8"]);
  assertEquals(wholeTicks(1, 500, 12).map(({ text }) => text), ["0", "1"]);
  assertEquals([numberText(1500, 500), numberText(0.25, 0.05), numberText(2.5e7, 5e6), numberText(-3e-9, 1e-9)], [
    "1,500",
    "0.25",
    "2.5·10⁷",
    "−3·10⁻⁹",
  ]);
  assertEquals([lossText(2.5), lossText(0), lossText(1.2345e-6), lossText(8e12)], ["2.500", "0", "1.23·10⁻⁶", "8.00·10¹²"]);
});

Deno.test("picture text: what is spread keeps its order, its distance and its bounds", () => {
  for (let round = 0; round < 300; round++) {
    const blocks = Array.from({ length: below(12) + 1 }, () => ({ y: below(400), height: 5 + below(20) })),
      middles = spread(blocks, 50, 350);
    const order = blocks.map((_, at) => at).sort((a, b) => middles[a] - middles[b]);
    order.slice(1).forEach((at, k) => {
      const before = order[k];
      assert(middles[at] - blocks[at].height / 2 >= middles[before] + blocks[before].height / 2 - 1e-9);
      assert(
        blocks[at].y - blocks[at].height / 2 >= blocks[before].y - blocks[before].height / 2 - 20,
        "in the order that they want, but for their heights",
      );
    });
    assert(order.every((at) => middles[at] - blocks[at].height / 2 >= 50 - 1e-9 && middles[at] + blocks[at].height / 2 <= 350 + 1e-9));
  }
  assertEquals(spread([{ y: 100, height: 10 }, { y: 200, height: 10 }], 0, 300), [100, 200]);
});

Deno.test("picture text: lines break at words, and within one only where it is wider than the line", () => {
  for (let round = 0; round < 200; round++) {
    const text = phrase(20), width = 60 + below(600), lines = textLines(text, width, 13, true);
    assert(lines.every((line) => textWidth(line, 13, true) <= width), `${lines} in ${width}`);
    assertEquals(lines.join("").replaceAll(" ", ""), text.replaceAll(" ", ""));
    if (text.split(" ").every((word) => textWidth(word, 13, true) <= width)) assertEquals(lines.join(" "), text);
  }
  assertEquals(escapeXml("a\x00\x1b<\ud800>"), "a\ufffd\ufffd&lt;\ufffd&gt;");
});

/** A map whose weights are of no matter. */
function mapOf(n: number, queries = Array.from({ length: n }, (_, i) => i), layer = 0, head = 0, causal = true): AttentionMap {
  const rows = queries.map((query) => {
    const keys = Uint32Array.from({ length: causal ? query + 1 : n }, (_, j) => j).filter((j) => query - j < 5 || j % 4 === 3);
    const raw = Float32Array.from(keys, (key) => 1 + (key * 7 + query) % 5), sum = raw.reduce((a, b) => a + b);
    return { query, keys, weights: raw.map((x) => x / sum) };
  });
  return { layer, head, n, causal, rows };
}

const PROMPT = "The climate is  mild,\tnaïve & 日本語 <😀>\n";

Deno.test("picture text: maps stand clear, alone and several, of any size, with and without labels", () => {
  const labels = byteLabels(encodeText(PROMPT.repeat(100))), tokens = Array.from({ length: 200 }, () => phrase(1));
  for (const n of [1, 2, 3, 5, 16, 30, 49, 90, 101, 300, 1500, 5000]) {
    const few = [0, n >> 1, n - 1].filter((query, at, all) => all.indexOf(query) === at);
    const maps = [mapOf(n, n > 2000 ? Array.from({ length: 1024 }, (_, at) => Math.floor(at * n / 1024)) : undefined), mapOf(n, few)];
    for (const map of maps) {
      assertClear(attentionSvg([map], phrase(20)));
      if (n <= labels.length) assertClear(attentionSvg([map], phrase(20), { labels }));
      if (n <= tokens.length) assertClear(attentionSvg([map], phrase(20), { labels: tokens }));
    }
    if (n > 300) continue;
    for (const columns of [1, 2, 4]) {
      assertClear(attentionSvg(Array.from({ length: 5 }, (_, at) => mapOf(n, undefined, at, at)), "several", { labels, columns }));
    }
  }
});

Deno.test("picture text: a map names its layer and head, has the prompt along both axes, and a legend", () => {
  const text = encodeText("to be"),
    map = mapOf(5, undefined, 3, 2),
    svg = attentionSvg([map], "a run", { labels: byteLabels(text) }),
    boxes = boxesOf(svg);
  for (const wanted of ["a run", "layer 3, head 2", "largest weight of its row", "not attended", "later", "largest"]) {
    assert(boxes.some(({ text }) => text === wanted), `${wanted} is not among ${boxes.map(({ text }) => text)}`);
  }
  const frame = /<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)" fill="none" stroke="[^"]*"\/>/g;
  const [, x, y, width, height] = [...svg.matchAll(frame)].map((found) => found.map(Number)).reduce((a, b) => b[3] > a[3] ? b : a);
  const columns = boxes.filter(({ top, left }) => top >= y + height && left >= x - 5).filter(({ text }) => [...text].length === 1);
  assertEquals(columns.sort((a, b) => a.left - b.left).map(({ text }) => text).join(""), "▸to␣b");
  columns.forEach(({ left, right }, at) => assertAlmostEquals((left + right) / 2, x + (at + 0.5) * width / 5, 0.2));
  const rows = boxes.filter(({ right, bottom, text }) => right < x && bottom > y && [...text].length === 1).sort((a, b) => a.top - b.top);
  assertEquals(rows.map(({ text }) => text).join(""), "to␣be");
  rows.forEach(({ top, bottom }, at) => assertAlmostEquals((top + bottom) / 2, y + (at + 0.5) * height / 5, 1.5));
  const largest = boxes.filter(({ left, text }) => left > x + width && /^\d\.\d\d$/.test(text)).sort((a, b) => a.top - b.top);
  assertEquals(largest.map(({ text }) => text), map.rows.map(({ weights }) => Math.max(...weights).toFixed(2)));
  // The pixels are those of the picture.
  const images = [...svg.matchAll(/base64,([^"]+)"/g)].map(([, data]) =>
    decodePng(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), "map")
  );
  assert(images.some(({ rgb }) => String(rgb) === String(attentionImage(map, 5).rgb)));
  assert(!boxesOf(attentionSvg([mapOf(5, undefined, 0, 0, false)], "t")).some(({ text }) => text === "later"));
});

Deno.test("picture text: where characters have no room, positions are named, the first and the last among them", () => {
  const texts = boxesOf(attentionSvg([mapOf(1500)], "t", { labels: byteLabels(encodeText("x".repeat(1500))) })).map(({ text }) => text);
  assertEquals(["0", "1,499"].map((wanted) => texts.filter((text) => text === wanted).length), [3, 2], "0 is in the legend too");
  assert(texts.includes("key position") && texts.includes("query position") && !texts.includes("x"));
  assertThrows(() => attentionSvg([mapOf(5)], "t", { labels: ["a"] }), ShapeError, "a sequence of 5 tokens needs as many labels, got 1");
});

Deno.test("picture text: labels of bytes", () => {
  assertEquals(byteLabels(encodeText("a \t\nï")), ["a", "␣", "⇥", "↵", "ï", ""]);
  assertEquals(byteLabels(encodeText("日😀\x1b\u202e")), ["日", "", "", "😀", "", "", "", "␛", "\ufffd", "", ""]);
  // Cut off, out of place, never UTF-8.
  assertEquals(byteLabels(Uint8Array.of(0xe6, 0x97, 0x41, 0x80, 0xff, 0xc3)), ["\ufffd", "\ufffd", "A", "\ufffd", "\ufffd", "\ufffd"]);
  assertEquals(byteLabels(new Uint8Array()), []);
});

Deno.test("picture text: patterns, waveforms and an image's pixel stand clear", async () => {
  for (const [n, layers, heads] of [[1, 1, 1], [7, 2, 2], [200, 4, 4], [5000, 64, 8]] as const) {
    const schedule = scheduleOf({ pattern: "fixed", stride: Math.max(1, n >> 3), c: 1, integration: "multihead" }, { n, layers, heads });
    const maps = await Promise.all(
      panelsOf(schedule).slice(0, 6).map(({ title, set }) => patternMap(`${title}, ${phrase(6)}`, [set], Math.min(n, 256), 64)),
    );
    assertClear(patternSvg(maps, phrase(20), [phrase(60), phrase(3)]));
    assertClear(patternSvg(maps.slice(0, 1), phrase(20), [phrase(60)]));
  }
  for (const seconds of [0.001, 0.9, 7, 59, 61, 600, 5000]) {
    assertClear(
      waveformSvg(Float32Array.from({ length: Math.ceil(seconds * 100) }, (_, i) => Math.sin(i)), 100, phrase(30), 300 + below(900)),
    );
  }
  for (const [high, wide] of [[2, 2], [12, 40], [64, 8]] as const) {
    const svg = attentionOverImageSvg(mapOf(high * wide).rows[high * wide - 1], new Uint8Array(high * wide), [high, wide, 1], phrase(9));
    assertClear(svg);
    assertStringIncludes(boxesOf(svg).map(({ text }) => text).join(" "), `pixel in row ${high - 1}, column ${wide - 1}`);
  }
});

/** Relative luminance and contrast as WCAG 2 defines them. */
function contrast(a: string, b: string): number {
  const light = (color: string) => {
    const parts = color.startsWith("#") ? [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)) : color.match(/\d+/g)!.map(Number);
    const [r, g, blue] = parts.map((part) => part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [least, most] = [light(a), light(b)].sort((x, y) => x - y);
  return (most + 0.05) / (least + 0.05);
}

const SVGS = async () => {
  const map = await patternMap(
    "every layer and head",
    scheduleOf({ pattern: "strided", stride: 8 }, { n: 60, layers: 1, heads: 1 }).flat(),
    60,
    60,
  );
  return [
    ...Array.from({ length: 12 }, () => lossCurveSvg(...randomCurve())),
    patternSvg([map, map], phrase(9), [phrase(40)]),
    attentionSvg([mapOf(48)], "a prompt", { labels: byteLabels(encodeText(PROMPT)) }),
    attentionSvg([0, 1].map((head) => mapOf(20, undefined, 0, head)), "several", { labels: byteLabels(encodeText(PROMPT)) }),
    attentionSvg([mapOf(16)], "tokens", { labels: Array.from({ length: 16 }, () => phrase(2)) }),
    waveformSvg(Float32Array.from({ length: 300 }, (_, i) => Math.sin(i)), 100, phrase(9)),
    attentionOverImageSvg(mapOf(64).rows[20], new Uint8Array(64), [8, 8, 1], "an image"),
  ];
};

Deno.test("picture text: every colour has one for dark grounds, and what is written reads there", async () => {
  const ground = DARK.get(css([255, 255, 255]))!;
  for (const ink of [INK.text, INK.label]) {
    assert(contrast(ink, "#ffffff") >= 4.5 && contrast(DARK.get(ink)!, ground) >= 4.5, ink);
    assert(contrast(ink, ground) < 4.5, "without another it would not read");
  }
  for (const svg of await SVGS()) {
    const used = [...svg.matchAll(/<(\w+) [^>]*>/g)].filter(([tag]) => !tag.includes(`class="pixels"`)).flatMap(([tag]) =>
      [...tag.matchAll(/(?:fill|stroke)="([^"]+)"/g)].map(([, color]) => color)
    );
    for (const color of new Set(used)) assert(color === "none" || DARK.has(color), `${color} has none`);
    for (const [light, dark] of DARK) assertStringIncludes(svg, `[fill="${light}"]:not(.pixels){fill:${dark}}`);
  }
});

/** In a page: what is written in each SVG, relative to its corner, and the colours of its text and its ground. */
function measure(): { boxes: Box[]; ink: string; ground: string }[] {
  interface Shown {
    textContent: string;
    getBoundingClientRect(): Omit<Box, "text">;
    querySelector(of: string): Shown;
    querySelectorAll(of: string): Iterable<Shown>;
  }
  const { document, getComputedStyle } = globalThis as unknown as { document: Shown; getComputedStyle(of: Shown): { fill: string } };
  return [...document.querySelectorAll("svg")].map((svg) => {
    const corner = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim() !== "");
    const boxes = texts.map((text) => {
      const { left, right, top, bottom } = text.getBoundingClientRect();
      return {
        text: text.textContent,
        left: left - corner.left,
        right: right - corner.left,
        top: top - corner.top,
        bottom: bottom - corner.top,
      };
    });
    const fill = (of: string) => getComputedStyle(svg.querySelector(of)).fill;
    return { boxes, ink: fill("text:not([fill])"), ground: fill("rect") };
  });
}

browserTest("picture text: a browser's own boxes stand clear, and are no larger than reckoned", async () => {
  const browser = await launch();
  try {
    const svgs = await SVGS(), shown = svgs.map((svg) => `<div>${svg}</div>`).join("");
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await browser.newPage({ colorScheme });
      await page.setContent(`<body style="margin:0">${shown}</body>`);
      const measured = await page.evaluate(measure);
      svgs.forEach((svg, at) => {
        const { boxes, ink, ground } = measured[at], reckoned = boxesOf(svg);
        assertEquals(boxes.map(({ text }) => text), reckoned.map(({ text }) => text));
        boxes.forEach((box, at) => {
          const long = ({ left, right, top, bottom }: Box) => Math.max(right - left, bottom - top);
          assert(long(box) <= long(reckoned[at]) + 3, `${box.text}: ${long(box)} pixels, ${long(reckoned[at])} reckoned`);
        });
        assertClear(svg, boxes);
        assert(contrast(ink, ground) > 10, `${ink} on ${ground}`);
        assertEquals(contrast(ground, "#000000") < 2, colorScheme === "dark");
      });
      await page.close();
    }
  } finally {
    await browser.close();
  }
});
