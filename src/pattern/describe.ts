/**
 * Attention in words.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { factorsOf } from "./patterns_in.ts";
import type { AttentionConfig, LayerAttention, ModelAttention } from "./sets.ts";

function describePattern(config: AttentionConfig): string {
  expect("Cannot describe the attention", { attention: [config, "an object"] });
  const { pattern, integration, stride, c, memory, within, block, top_k, window, compressed } = config,
    hasFactors = factorsOf(config) > 1 && integration !== undefined;
  const l = Array.isArray(stride) ? stride.join(", ") : stride;
  const words = [
    pattern,
    hasFactors && integration,
    stride !== undefined && `l ${l}`,
    c !== undefined && `c ${c}`,
    memory && `memory ${memory}`,
    within !== undefined && `within ${within}`,
    top_k !== undefined && `${top_k} of blocks of ${block}, window ${window ?? block}`,
    compressed && "compressed",
  ];
  return words.filter(Boolean).join(" ");
}

function describeLayer(layer: LayerAttention): string {
  expect("Cannot describe the attention", { attention: [layer, "an object"] });
  return "heads" in layer ? `heads of ${layer.heads.map(describePattern).join(" | ")}` : describePattern(layer);
}

/** An attention in a few words: "strided multihead l 16"; of several layers, those that differ from the one before. */
export function describeAttention(attention: ModelAttention): string {
  expect("Cannot describe the attention", { attention: [attention, "an object"] });
  if (!Array.isArray(attention)) {
    return "layers" in attention ? `rounds of ${attention.layers.map(describeLayer).join(", then ")}` : describeLayer(attention);
  }
  const texts = attention.map(describeLayer), different = texts.filter((text, at) => text !== texts[at - 1]);
  return different.length > 4 ? "a pattern per layer" : different.join(", then ");
}
