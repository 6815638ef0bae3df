/**
 * Pictures: pixels are the pattern's, files are well formed.
 *
 * Plan. Cells of every pattern's map against counted pairs; PNG read back; SVG parsed, with titles and points that would break it.
 */

import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { unzlibSync } from "fflate";
import { crc32 } from "../src/data/crc32.ts";
import { attends } from "../src/pattern/attends.ts";
import { type AttentionConfig, resolveSets } from "../src/pattern/sets.ts";
import { encodePng } from "../src/data/png.ts";
import { tileImages } from "../src/pictures/sheets.ts";
import { cellColor, panelsOf, patternImage, patternMap, patternSvg } from "../src/pictures/layouts.ts";
import { COLORS } from "../src/pictures/colors.ts";
import { lossCurveSvg } from "../src/pictures/curves.ts";
import { scheduleOf } from "../src/pattern/reach.ts";
import { PATTERNS } from "./patterns.ts";

Deno.test("picture: CRC-32 of the standard's check string, also in two pieces", () => {
  const bytes = new TextEncoder().encode("123456789");
  assertEquals(crc32(bytes), 0xcbf43926);
  assertEquals(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4))), 0xcbf43926);
});

/** Chunks of a PNG by type, their checksums checked. */
function chunks(png: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(png.buffer), found = new Map<string, Uint8Array>();
  assertEquals([...png.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
  for (let at = 8; at < png.length;) {
    const length = view.getUint32(at), body = png.subarray(at + 4, at + 8 + length);
    assertEquals(view.getUint32(at + 8 + length), crc32(body));
    found.set(new TextDecoder().decode(body.subarray(0, 4)), body.subarray(4));
    at += 12 + length;
  }
  return found;
}

Deno.test("picture: a PNG holds the pixels given", () => {
  const rgb = Uint8Array.from({ length: 5 * 3 * 3 }, (_, i) => i * 7), found = chunks(encodePng({ width: 5, height: 3, rgb }));
  assertEquals([...found.keys()], ["IHDR", "IDAT", "IEND"]);
  assertEquals([...found.get("IHDR")!], [0, 0, 0, 5, 0, 0, 0, 3, 8, 2, 0, 0, 0]);
  const rows = unzlibSync(found.get("IDAT")!);
  for (let y = 0; y < 3; y++) assertEquals([...rows.subarray(y * 16, y * 16 + 16)], [0, ...rgb.subarray(y * 15, y * 15 + 15)]);
});

for (const { name, config, layer } of PATTERNS) {
  for (const most of [53, 10]) {
    Deno.test(`picture: cells of ${name}, at most ${most}, hold the share of pairs`, async () => {
      const n = 53, [set] = resolveSets(config, { n, layer: layer ?? 0, heads: 2 }), map = await patternMap("", [set], n, most);
      const each = Math.ceil(n / most), cells = Math.ceil(n / each);
      assertEquals(map.cells, cells);
      for (let r = 0; r < cells; r++) {
        for (let c = 0; c < cells; c++) {
          let pairs = 0, allowed = 0, area = 0;
          for (let i = r * each; i < Math.min(n, (r + 1) * each); i++) {
            for (let j = c * each; j < Math.min(n, (c + 1) * each); j++) {
              area++;
              if (!set.causal || j <= i) allowed++;
              if (attends(set, i, j)) pairs++;
            }
          }
          const at = r * cells + c;
          assertAlmostEquals(map.near[at] + map.far[at], allowed ? pairs / allowed : 0, 1e-6);
          assertAlmostEquals(map.allowed[at], allowed / area, 1e-6);
        }
      }
    });
  }
}

Deno.test("picture: near and far have their colours, a union counts a pair once", async () => {
  const config: AttentionConfig = { pattern: "strided", stride: 4, integration: "interleaved" };
  const schedule = scheduleOf(config, { n: 16, layers: 2, heads: 2 }), map = await patternMap("", schedule.flat(), 16, 16);
  assertEquals(cellColor(map, 9, 9), COLORS.near);
  assertEquals(cellColor(map, 9, 5), COLORS.near);
  assertEquals(cellColor(map, 9, 1), COLORS.far);
  assertEquals(cellColor(map, 9, 2), COLORS.empty);
  assertEquals(cellColor(map, 9, 10), COLORS.forbidden);
  const image = patternImage(map, 32);
  assertEquals([image.width, image.height, [...image.rgb.subarray((18 * 32 + 2) * 3, (18 * 32 + 2) * 3 + 3)]], [32, 32, [...COLORS.far]]);
  assertEquals(tileImages([image, image, image], 2, 10).rgb.length, 94 * 94 * 3);
});

Deno.test("picture: panels are the sets that differ, with their layers and heads", () => {
  const schedule = scheduleOf({ pattern: "fixed", stride: 8, c: 4, integration: "multihead" }, { n: 32, layers: 3, heads: 4 });
  assertEquals(panelsOf(schedule).map(({ title, layers, heads, uses }) => ({ title, layers, heads, uses })), [
    { title: "heads 0, 2", layers: [0, 1, 2], heads: [0, 2], uses: 6 },
    { title: "head 1", layers: [0, 1, 2], heads: [1], uses: 3 },
    { title: "head 3", layers: [0, 1, 2], heads: [3], uses: 3 },
  ]);
  const interleaved = scheduleOf({ pattern: "strided", stride: 4, integration: "interleaved" }, { n: 32, layers: 10, heads: 2 });
  assertEquals(panelsOf(interleaved).map(({ title }) => title), ["layers 0, 2, 4, … 8", "layers 1, 3, 5, … 9"]);
});

/** Every tag closed in order, every attribute quoted, no stray & or <. */
function wellFormed(svg: string): void {
  const open: string[] = [];
  const rest = svg.replace(/<(\/?)([a-z]+)((?:\s+[\w-:]+="[^"<]*")*)\s*(\/?)>/g, (_, end, name, __, alone) => {
    if (end) assertEquals(open.pop(), name);
    else if (!alone) open.push(name);
    return "";
  });
  assertEquals(open, []);
  assert(!/[<>]|&(?!amp;|lt;|gt;|quot;)/.test(rest), rest.slice(0, 200));
  assert(!/NaN|Infinity|undefined/.test(svg));
}

Deno.test("picture: SVG of patterns is well formed and escapes titles", async () => {
  const map = await patternMap("a < b & c", resolveSets({ pattern: "dense" }, { n: 9, layer: 0, heads: 1 }), 9, 9);
  const svg = patternSvg([map, map], `"x" <y>`, ["one note", "another & " + "word ".repeat(60)]);
  wellFormed(svg);
  assertStringIncludes(svg, "a &lt; b &amp; c");
});

Deno.test("picture: SVG of a curve is well formed without points, with one, and with what is not finite", () => {
  const marks = [{ label: "gzip −9", bits: 2.5 }];
  wellFormed(lossCurveSvg("t", [], 10));
  wellFormed(lossCurveSvg("t & u", [{ step: 1, loss: 8 }], 10, marks));
  const svg = lossCurveSvg(
    "t",
    [{ step: 1, loss: 8 }, { step: 2, loss: NaN, heldOut: NaN }, { step: 3, loss: Infinity }, { step: 10, loss: 2, heldOut: 2.1 }],
    10,
    marks,
  );
  wellFormed(svg);
  assertStringIncludes(svg, "2.100");
});
