/**
 * The colours of site and element can be read, by day and by night: contrasts of WCAG 2.2 AA.
 */

import { assert } from "@std/assert";
import { TOKENS } from "../web/look.ts";

type Rgb = readonly number[];

/** A token's colours by day and by night. */
function colorsOf(name: string): Rgb[] {
  const [, both] = new RegExp(`--ls-${name}: light-dark\\(([^)]+)\\)`).exec(TOKENS) ?? [];
  assert(both, `there is no --ls-${name}`);
  return both.split(",").map((hex) => [1, 3, 5].map((at) => parseInt(hex.trim().slice(at, at + 2), 16)));
}

const luminance = (color: Rgb) =>
  color.map((c) => c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);

function contrast(one: Rgb, other: Rgb): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

Deno.test("pages: text has a contrast of 4.5 to 1 on every ground, fields' edges one of 3", () => {
  for (const night of [0, 1]) {
    const color = (name: string) => colorsOf(name)[night];
    for (const ground of ["ground", "panel", "well", "near-wash"]) {
      for (const text of ["ink", "soft", "near", "bad"]) {
        const found = contrast(color(text), color(ground));
        assert(found >= 4.5, `${text} on ${ground} by ${night ? "night" : "day"}: ${found.toFixed(2)}`);
      }
    }
    for (
      const [text, ground, least] of [["near-ink", "near", 4.5], ["far", "panel", 4.5], ["edge", "well", 3], ["edge", "panel", 3]] as const
    ) {
      const found = contrast(color(text), color(ground));
      assert(found >= least, `${text} on ${ground} by ${night ? "night" : "day"}: ${found.toFixed(2)}`);
    }
  }
});

Deno.test("pages: text can be read on the strongest tint", () => {
  const heat = /--ls-heat: ([\d ]+)/.exec(TOKENS)![1].split(" ").map(Number);
  for (const night of [0, 1]) {
    const ground = colorsOf("well")[night], tint = ground.map((c, at) => c * 0.4 + heat[at] * 0.6);
    const found = contrast(colorsOf("ink")[night], tint);
    assert(found >= 4.5, `by ${night ? "night" : "day"}: ${found.toFixed(2)}`);
  }
});
