/**
 * The patterns that a model's attention is made of.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { type AttentionConfig, type LayerAttention, layersOf, type ModelAttention } from "./sets.ts";

/** A model's attention with other patterns in the place of its own. */
export function mapPatterns(attention: ModelAttention, change: (pattern: AttentionConfig) => AttentionConfig): ModelAttention {
  const layer = (one: LayerAttention): LayerAttention => "heads" in one ? { ...one, heads: one.heads.map(change) } : change(one);
  if (Array.isArray(attention)) return attention.map(layer);
  return "layers" in attention ? { ...attention, layers: attention.layers.map(layer) } : layer(attention);
}

/** The patterns in a model's attention, in the order they are written. */
export function patternsIn(attention: ModelAttention): AttentionConfig[] {
  return layersOf(attention).flatMap((layer) => "heads" in layer ? layer.heads : [layer]);
}

/**
 * p: the most factors that a pattern of an attention has. `strided` and `fixed` have one more than strides, and 2 where a factor of theirs
 * is named alone.
 */
export function factorsOf(attention: ModelAttention): number {
  expect("Cannot count the factors", { attention: [attention, "an object"] });
  return patternsIn(attention).reduce((most, { pattern, stride }) => {
    const p = /strided|fixed/.test(pattern) ? 1 + [stride].flat().length : /column|segment|summary/.test(pattern) ? 2 : 1;
    return Math.max(most, p);
  }, 1);
}
