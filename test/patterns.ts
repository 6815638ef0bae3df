/**
 * Attention patterns for tests: every pattern and integration, causal and not, at odd sizes.
 *
 * @module
 */

import type { AttentionConfig } from "../src/pattern/sets.ts";

/** A pattern with its name; `layer` picks the factor where interleaved. */
export interface Pattern {
  readonly name: string;
  readonly config: AttentionConfig;
  readonly layer?: number;
}

/** Factors named alone, and patterns of three factors and more. */
export const FACTORS: readonly Pattern[] = [
  { name: "column 9", config: { pattern: "column", stride: 9 } },
  { name: "column 4 within 14", config: { pattern: "column", stride: 4, within: 14 } },
  { name: "column 4 within 14 bidirectional", config: { pattern: "column", stride: 4, within: 14, causal: false } },
  { name: "segment 9", config: { pattern: "segment", stride: 9 } },
  { name: "summary 9/2", config: { pattern: "summary", stride: 9, c: 2 } },
  { name: "summary 5/2 within 13", config: { pattern: "summary", stride: 5, c: 2, within: 13 } },
  { name: "summary 5/2 within 13 bidirectional", config: { pattern: "summary", stride: 5, c: 2, within: 13, causal: false } },
  { name: "strided 3, 14 merged", config: { pattern: "strided", stride: [3, 14] } },
  { name: "strided 3, 12, 24 merged bidirectional", config: { pattern: "strided", stride: [3, 12, 24], causal: false } },
  ...[1, 2].map((layer): Pattern => ({
    name: `strided 3, 14 interleaved, layer ${layer}`,
    config: { pattern: "strided", stride: [3, 14], integration: "interleaved" },
    layer,
  })),
  { name: "fixed 4, 18/2 merged", config: { pattern: "fixed", stride: [4, 18], c: 2 } },
  { name: "fixed 3, 7, 25/1 merged", config: { pattern: "fixed", stride: [3, 7, 25], c: 1 } },
  { name: "fixed 3, 7, 25/1 merged bidirectional", config: { pattern: "fixed", stride: [3, 7, 25], c: 1, causal: false } },
  ...[1, 2, 3].map((layer): Pattern => ({
    name: `fixed 3, 7, 25/1 interleaved${layer > 1 ? " bidirectional" : ""}, layer ${layer}`,
    config: { pattern: "fixed", stride: [3, 7, 25], c: 1, integration: "interleaved", causal: layer < 2 },
    layer,
  })),
];

/** Every pattern and integration, causal and not. */
export const PATTERNS: readonly Pattern[] = [
  { name: "dense", config: { pattern: "dense" } },
  { name: "dense bidirectional", config: { pattern: "dense", causal: false } },
  { name: "local 0", config: { pattern: "local", stride: 0 } },
  { name: "local 13", config: { pattern: "local", stride: 13 } },
  { name: "local 8 bidirectional", config: { pattern: "local", stride: 8, causal: false } },
  { name: "strided 16 merged", config: { pattern: "strided", stride: 16 } },
  { name: "strided 1 merged", config: { pattern: "strided", stride: 1 } },
  { name: "strided 7 interleaved, layer 0", config: { pattern: "strided", stride: 7, integration: "interleaved" } },
  { name: "strided 7 interleaved, layer 1", config: { pattern: "strided", stride: 7, integration: "interleaved" }, layer: 1 },
  { name: "strided 11 multihead", config: { pattern: "strided", stride: 11, integration: "multihead" } },
  { name: "strided 9 merged bidirectional", config: { pattern: "strided", stride: 9, causal: false } },
  {
    name: "strided 9 interleaved bidirectional, layer 1",
    config: { pattern: "strided", stride: 9, integration: "interleaved", causal: false },
    layer: 1,
  },
  { name: "fixed 16/4 merged", config: { pattern: "fixed", stride: 16, c: 4 } },
  { name: "fixed 10/3 merged", config: { pattern: "fixed", stride: 10, c: 3 } },
  { name: "fixed 8/8 merged", config: { pattern: "fixed", stride: 8, c: 8 } },
  { name: "fixed 12/4 interleaved, layer 0", config: { pattern: "fixed", stride: 12, c: 4, integration: "interleaved" } },
  { name: "fixed 12/4 interleaved, layer 1", config: { pattern: "fixed", stride: 12, c: 4, integration: "interleaved" }, layer: 1 },
  { name: "fixed 12/4 multihead", config: { pattern: "fixed", stride: 12, c: 4, integration: "multihead" } },
  { name: "fixed 12/4 merged bidirectional", config: { pattern: "fixed", stride: 12, c: 4, causal: false } },
  {
    name: "fixed 12/4 interleaved bidirectional, layer 1",
    config: { pattern: "fixed", stride: 12, c: 4, integration: "interleaved", causal: false },
    layer: 1,
  },
  ...FACTORS,
  { name: "longformer 9/3", config: { pattern: "longformer", stride: 9, globals: 3 } },
  { name: "longformer 9/3 bidirectional", config: { pattern: "longformer", stride: 9, globals: 3, causal: false } },
  { name: "bigbird 8", config: { pattern: "bigbird", block: 8, random: 2 } },
  { name: "bigbird 6 bidirectional", config: { pattern: "bigbird", block: 6, random: 2, causal: false } },
];

/** A caller's block layout, different for each of two heads. */
export function callersBlocks(n: number): AttentionConfig {
  const count = Math.ceil(n / 10), list = (skip: number) => Array.from({ length: count }, (_, q) => [q, ...q >= skip ? [q - skip] : [], 0]);
  return { pattern: "blocks", block: 10, blocks: [list(2), list(3)] };
}

/** What a case of a pattern is picked by. */
export function patternFields({ config, layer = 0 }: Pattern) {
  const { pattern, stride = 0, c = 0, integration = "merged", causal = true } = config;
  return { pattern, stride: Array.isArray(stride) ? stride.join("/") : stride, c, integration, causal, layer };
}
