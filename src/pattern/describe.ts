/**
 * Attention in words.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { factorsOf } from "./reach.ts";
import type { AttentionConfig } from "./sets.ts";

/** An attention in a few words: "strided multihead l 16"; of several layers, those that differ from the one before. */
export function describeAttention(attention: AttentionConfig | readonly AttentionConfig[]): string {
  const all = [attention].flat();
  if (all.length > 1) {
    const texts = all.map((layer) => describeAttention(layer)), different = texts.filter((text, at) => text !== texts[at - 1]);
    return different.length > 4 ? "a pattern per layer" : different.join(", then ");
  }
  expect("Cannot describe the attention", { attention: [all[0], "an object"] });
  const [{ pattern, integration, stride, c }] = all, factored = factorsOf(all) === 2 && integration !== undefined;
  return [pattern, factored && integration, stride !== undefined && `l ${stride}`, c !== undefined && `c ${c}`].filter(Boolean).join(" ");
}
