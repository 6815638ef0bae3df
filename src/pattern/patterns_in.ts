/**
 * What a model's attention is made of.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError, excerpt } from "../base/errors.ts";
import { memoryOf, rowsOf } from "./memory.ts";
import { type AttentionConfig, LARGEST, type LayerAttention, layersOf, type ModelAttention } from "./sets.ts";

/** Fields of patterns that say what they are, beside `pattern` and `causal`. */
export const PATTERN_FIELDS: readonly (keyof AttentionConfig)[] = [
  "stride",
  "c",
  "memory",
  "within",
  "integration",
  "globals",
  "block",
  "window",
  "random",
  "seed",
  "blocks",
  "top_k",
  "compressed",
];

/**
 * Refuses a field that no pattern has: misspelt, it would leave another pattern than was meant. What another pattern has means nothing here,
 * so that one object may be tried with several.
 *
 * @throws {ConfigError} naming it, and what there is
 */
export function checkFields(cannot: string, pattern: AttentionConfig): void {
  const known: readonly string[] = ["pattern", "causal", ...PATTERN_FIELDS],
    odd = Object.keys(pattern).find((name) => !known.includes(name));
  if (odd !== undefined) throw new ConfigError(`${cannot}: a pattern has no field ${excerpt(odd)}, known are ${known.join(", ")}`);
}

/** Refuses what is no attention. */
function checkShape(cannot: string, attention: ModelAttention): void {
  expect(cannot, { attention: [attention, "an object"] });
  expect(cannot, { layers: [layersOf(attention), { each: "an object" }], "number of layers": [layersOf(attention).length, [1, 4096]] });
  if ("layers" in attention) expect(cannot, { attention: [attention, { fields: { layers: "a list" } }] });
  for (const layer of layersOf(attention)) {
    if ("heads" in layer) expect(cannot, { attention: [layer, { fields: { heads: { each: "an object" } } }] });
    for (const pattern of "heads" in layer ? layer.heads : [layer]) checkFields(cannot, pattern);
  }
}

/** The layers that an attention writes down: one for all, those of a round, or each. */
export function layersIn(attention: ModelAttention): LayerAttention[] {
  checkShape("Cannot list the layers", attention);
  return [...layersOf(attention)];
}

/** Rows of n tokens of a model: as many, or more where its attention has memory tokens. */
export function rowsIn(attention: ModelAttention, n: number): number {
  checkShape("Cannot count the rows", attention);
  expect("Cannot count the rows", { n: [n, [1, LARGEST]] });
  return rowsOf(n, memoryOf(attention));
}

/** A model's attention with other patterns in the place of its own. */
export function mapPatterns(attention: ModelAttention, change: (pattern: AttentionConfig) => AttentionConfig): ModelAttention {
  checkShape("Cannot change the patterns", attention);
  expect("Cannot change the patterns", { change: [change, "a function"] });
  const layer = (one: LayerAttention): LayerAttention => "heads" in one ? { ...one, heads: one.heads.map(change) } : change(one);
  if (Array.isArray(attention)) return attention.map(layer);
  return "layers" in attention ? { ...attention, layers: attention.layers.map(layer) } : layer(attention);
}

/** The patterns in a model's attention, in the order they are written. */
export function patternsIn(attention: ModelAttention): AttentionConfig[] {
  checkShape("Cannot list the patterns", attention);
  return layersOf(attention).flatMap((layer) => "heads" in layer ? layer.heads : [layer]);
}

/**
 * p: the most factors that a pattern of an attention has. `strided` and `fixed` have one more than strides, and 2 where a factor of theirs
 * is named alone.
 */
export function factorsOf(attention: ModelAttention): number {
  checkShape("Cannot count the factors", attention);
  return patternsIn(attention).reduce((most, { pattern, stride }) => {
    const p = /strided|fixed/.test(pattern) ? 1 + [stride].flat().length : /column|segment|summary/.test(pattern) ? 2 : 1;
    return Math.max(most, p);
  }, 1);
}
