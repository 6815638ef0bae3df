/**
 * Sparse attention patterns as mathematics (section 4, Fig. 3): which keys j a query i attends to.
 *
 * A configuration resolves, for one layer and head, to an {@linkcode AttentionSet}. {@linkcode attends} is its
 * definition, one pair at a time: the oracle.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { Random, STREAM } from "../base/random.ts";

/** Names of the patterns. */
export type PatternName = "dense" | "local" | "strided" | "fixed" | "longformer" | "bigbird" | "blocks";

/** All pattern names, for messages and checks. */
export const PATTERNS: readonly PatternName[] = ["dense", "local", "strided", "fixed", "longformer", "bigbird", "blocks"];

/** How the two factors of `strided` and `fixed` are used (Eqs. 6–8). */
export type Integration = "interleaved" | "merged" | "multihead";

/** All of them. */
export const INTEGRATIONS: readonly Integration[] = ["interleaved", "merged", "multihead"];

/** Key blocks of each query block, or those of each head. */
export type BlockLists = readonly (readonly number[])[];

/** Intervals of keys, [first, end), of each query. */
export type IntervalLists = readonly (readonly (readonly [first: number, end: number])[])[];

/** Attention as written in `config.json`. */
export interface AttentionConfig {
  /** Which pattern. */
  pattern: PatternName;
  /** l: the stride of `strided` and `fixed`, the reach of `local`, the window of `longformer`. */
  stride?: number;
  /** `fixed`: summary columns per head, 1 ≤ c ≤ l. */
  c?: number;
  /** `strided`, `fixed`: default `merged`. */
  integration?: Integration;
  /** Default true: a query sees no later key. */
  causal?: boolean;
  /** `longformer`: the first so many tokens see and are seen by all. `bigbird`: the same in blocks. Default 1. */
  globals?: number;
  /** `bigbird`, `blocks`: positions per block. */
  block?: number;
  /** `bigbird`: blocks on each side of the query's own. Default 1. */
  window?: number;
  /** `bigbird`: random blocks per query block. Default 3. */
  random?: number;
  /** `bigbird`: which random blocks. Default 0. */
  seed?: number;
  /** `blocks`: the key blocks of each query block, for all heads or for each head. */
  blocks?: BlockLists | readonly BlockLists[];
}

/** A pattern resolved for one layer and head; plain data, equal sets have equal {@linkcode setKey}. */
export type AttentionSet =
  & {
    /** j ≤ i is intersected with the set. */
    readonly causal: boolean;
  }
  & (
    | { readonly kind: "dense" }
    /** |i − j| ≤ l: local, strided A⁽¹⁾ */
    | { readonly kind: "window"; readonly l: number }
    /** (i − j) mod l = 0: strided A⁽²⁾ */
    | { readonly kind: "column"; readonly l: number }
    /** strided A⁽¹⁾ ∪ A⁽²⁾ */
    | { readonly kind: "strided"; readonly l: number }
    /** ⌊j/l⌋ = ⌊i/l⌋: fixed A⁽¹⁾ */
    | { readonly kind: "segment"; readonly l: number }
    /** j mod l ∈ [from, to), or j = i: fixed A⁽²⁾ */
    | { readonly kind: "summary"; readonly l: number; readonly from: number; readonly to: number }
    /** fixed A⁽¹⁾ ∪ A⁽²⁾ */
    | { readonly kind: "fixed"; readonly l: number; readonly from: number; readonly to: number }
    /** |i − j| ≤ l, or j < globals, or i < globals */
    | { readonly kind: "longformer"; readonly l: number; readonly globals: number }
    /** ⌊j/block⌋ ∈ blocks[⌊i/block⌋] */
    | { readonly kind: "blocks"; readonly block: number; readonly blocks: BlockLists }
    /**
     * first ≤ j < end for one of the intervals of query i. With `keys`, keys are so many positions of another sequence than the queries';
     * such a set is not causal.
     */
    | { readonly kind: "intervals"; readonly intervals: IntervalLists; readonly keys?: number }
  );

/** A canonical string: the key of layouts and kernels made for a set. */
export function setKey(set: AttentionSet): string {
  expect("Cannot name the attention set", { set: [set, "an object"] });
  return JSON.stringify(Object.entries(set).sort(([a], [b]) => a < b ? -1 : 1));
}

function integer(config: AttentionConfig, field: keyof AttentionConfig, low: number, high: number, fallback?: number): number {
  const value = config[field] ?? fallback;
  expect(`Cannot use attention pattern "${config.pattern}"`, { [field]: [value, [low, high]] });
  return value as number;
}

/** Most positions of a sequence, and so the largest of any size of a pattern. */
export const LARGEST = 2 ** 24;

/** Random key blocks of BigBird for one head: window, globals and `random` others of each query block. */
function bigbird(config: AttentionConfig, n: number, layer: number, head: number, causal: boolean): AttentionSet {
  const block = integer(config, "block", 1, LARGEST), window = integer(config, "window", 0, LARGEST, 1);
  const globals = integer(config, "globals", 0, LARGEST, 1), random = integer(config, "random", 0, LARGEST, 3);
  const seed = integer(config, "seed", 0, 2 ** 32 - 1, 0), count = Math.ceil(n / block);
  const blocks = Array.from({ length: count }, (_, q) => {
    const last = causal ? q : count - 1;
    const keys = new Set<number>();
    for (let k = Math.max(0, q - window); k <= Math.min(last, q + window); k++) keys.add(k);
    for (let k = 0; k < Math.min(globals, last + 1); k++) keys.add(k);
    if (q < globals) { for (let k = 0; k <= last; k++) keys.add(k); }
    const draw = new Random(seed, STREAM.layout + layer, head * count + q), most = Math.min(last + 1, keys.size + random);
    while (keys.size < most) keys.add(draw.below(last + 1));
    return [...keys].sort((a, b) => a - b);
  });
  return { kind: "blocks", block, blocks, causal };
}

function callersBlocks(config: AttentionConfig, n: number, head: number, heads: number, causal: boolean): AttentionSet {
  const block = integer(config, "block", 1, LARGEST), count = Math.ceil(n / block);
  const given = config.blocks ?? [];
  const perHead = Array.isArray(given[0]?.[0]);
  const lists = (perHead ? given[head] : given) as BlockLists | undefined;
  if (perHead && given.length !== heads) {
    throw new ConfigError(`Cannot use attention pattern "blocks": blocks holds lists for ${given.length} heads, the model has ${heads}`);
  }
  if (!lists || lists.length !== count) {
    throw new ConfigError(
      `Cannot use attention pattern "blocks": ${n} positions in blocks of ${block} need ${count} lists of key blocks, got ${
        lists?.length ?? 0
      }`,
    );
  }
  const blocks = lists.map((keys, q) => {
    for (const k of keys) {
      if (!Number.isInteger(k) || k < 0 || k >= count) {
        throw new ConfigError(
          `Cannot use attention pattern "blocks": key blocks are whole numbers from 0 to ${count - 1}, query block ${q} names ${
            JSON.stringify(k)
          }`,
        );
      }
    }
    const sorted = [...new Set(keys)].filter((k) => !causal || k <= q).sort((a, b) => a - b);
    if (!sorted.includes(q)) {
      throw new ConfigError(
        `Cannot use attention pattern "blocks": query block ${q} must name itself among its key blocks, or some of its rows would attend to nothing`,
      );
    }
    return sorted;
  });
  return { kind: "blocks", block, blocks, causal };
}

/**
 * The set of each head at one layer.
 *
 * @param config the attention of that layer
 * @param shape n positions, layer number r from 0, number of heads
 * @returns one set per head
 * @throws {ConfigError} where a field is missing or out of range
 */
export function resolveSets(config: AttentionConfig, shape: { n: number; layer: number; heads: number }): AttentionSet[] {
  expect("Cannot resolve the pattern", { attention: [config, "an object"], shape: [shape, "an object"] });
  const { n, layer, heads } = shape;
  expect("Cannot resolve the pattern", { n: [n, [1, LARGEST]], layer: [layer, [0, MOST]], heads: [heads, [1, 4096]] });
  expect("Cannot use the attention", { pattern: [config.pattern, { oneOf: PATTERNS }] });
  const { pattern } = config, integration = config.integration ?? "merged", causal = config.causal ?? true;
  expect(`Cannot use attention pattern "${pattern}"`, {
    integration: [integration, { oneOf: INTEGRATIONS }],
    causal: [causal, "true or false"],
  });
  return Array.from({ length: heads }, (_, head): AttentionSet => {
    const factor = integration === "merged" ? 0 : 1 + (integration === "interleaved" ? layer : head) % 2;
    switch (config.pattern) {
      case "dense":
        return { kind: "dense", causal };
      case "local":
        return { kind: "window", l: integer(config, "stride", 0, LARGEST), causal };
      case "strided": {
        const l = integer(config, "stride", 1, LARGEST);
        return { kind: factor === 0 ? "strided" : factor === 1 ? "window" : "column", l, causal };
      }
      case "fixed": {
        const l = integer(config, "stride", 1, LARGEST), c = integer(config, "c", 1, l);
        if (factor === 1) return { kind: "segment", l, causal };
        // Sub-blocks go round among the heads that read one: with a factor per head that is every second.
        const s = (integration === "multihead" ? head >> 1 : head) % Math.floor(l / c);
        return { kind: factor === 0 ? "fixed" : "summary", l, from: l - c * (s + 1), to: l - c * s, causal };
      }
      case "longformer":
        return { kind: "longformer", l: integer(config, "stride", 0, LARGEST), globals: integer(config, "globals", 0, LARGEST, 1), causal };
      case "bigbird":
        return bigbird(config, n, layer, head, causal);
      case "blocks":
        return callersBlocks(config, n, head, heads, causal);
    }
  });
}

/** The sizes of each kind of set, and from where on they may be. */
const SIZES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  dense: {},
  window: { l: 0 },
  column: { l: 1 },
  strided: { l: 1 },
  segment: { l: 1 },
  summary: { l: 1, from: 0, to: 0 },
  fixed: { l: 1, from: 0, to: 0 },
  longformer: { l: 0, globals: 0 },
  blocks: { block: 1 },
  intervals: {},
};

/** Keys of a set over n positions: as many, unless they are of another sequence. */
export const keysOf = (set: AttentionSet, n: number): number => set.kind === "intervals" ? set.keys ?? n : n;

/**
 * Refuses sets whose keys are of another sequence, where positions are to be the same.
 *
 * @throws {ConfigError} where one is
 */
export function checkOneSequence(cannot: string, sets: readonly AttentionSet[]): void {
  sets.forEach((set) => checkSet(set));
  if (sets.every((set) => keysOf(set, 0) === 0)) return;
  throw new ConfigError(`${cannot}: keys of another sequence have no places among the queries' positions; give sets without keys`);
}

const checked = new WeakSet<AttentionSet>();

/**
 * Refuses what is no set: callers may make them by hand.
 *
 * @param n positions that it must have lists for, where it is said by lists
 * @throws {ConfigError} naming what is wrong
 */
export function checkSet(set: AttentionSet, n = 0): void {
  const cannot = "Cannot use the attention set", fields = set as unknown as Record<string, unknown>;
  expect(cannot, { set: [set, "an object"] });
  if (!Object.hasOwn(SIZES, set.kind)) throw new ConfigError(`${cannot}: kind must be one of ${Object.keys(SIZES).join(", ")}`);
  for (const [name, low] of Object.entries(SIZES[set.kind])) expect(cannot, { [name]: [fields[name], [low, LARGEST]] });
  if (set.kind !== "blocks" && set.kind !== "intervals") return;
  if (set.kind === "intervals" && set.keys !== undefined) {
    expect(cannot, { keys: [set.keys, [1, LARGEST]] });
    if (set.causal) throw new ConfigError(`${cannot}: keys of another sequence are not before or after a query; causal must be false`);
  }
  const isBlocks = set.kind === "blocks", lists: unknown = fields[set.kind], key = [0, MOST] as const;
  expect(cannot, { [set.kind]: [lists, { each: { each: isBlocks ? key : { each: key, count: 2 } } }] });
  const need = Math.ceil(n / (isBlocks ? set.block : 1)), { length } = lists as unknown[];
  if (length < need) throw new ConfigError(`${cannot}: ${n} positions need ${need} lists of ${set.kind}, found ${length}`);
}

/**
 * Whether query i attends to key j: the definition every layout and kernel is held against.
 *
 * @throws {ConfigError} where the set is none, or a position
 */
export function attends(set: AttentionSet, i: number, j: number): boolean {
  // Asked for n² pairs: what is right costs little.
  if (!checked.has(set)) {
    checkSet(set);
    checked.add(set);
  }
  if (!(i >= 0 && j >= 0 && i % 1 === 0 && j % 1 === 0) || i > MOST || j > MOST || typeof i !== "number" || typeof j !== "number") {
    expect("Cannot look up a pair", { query: [i, [0, MOST]], key: [j, [0, MOST]] });
  }
  if (set.causal && j > i) return false;
  switch (set.kind) {
    case "dense":
      return true;
    case "window":
      return Math.abs(i - j) <= set.l;
    case "column":
      return (i - j) % set.l === 0;
    case "strided":
      return Math.abs(i - j) <= set.l || (i - j) % set.l === 0;
    case "segment":
      return Math.floor(i / set.l) === Math.floor(j / set.l);
    case "summary":
      return i === j || (j % set.l >= set.from && j % set.l < set.to);
    case "fixed":
      return Math.floor(i / set.l) === Math.floor(j / set.l) || (j % set.l >= set.from && j % set.l < set.to);
    case "longformer":
      return Math.abs(i - j) <= set.l || j < set.globals || i < set.globals;
    case "blocks":
      return !!set.blocks[Math.floor(i / set.block)]?.includes(Math.floor(j / set.block));
    case "intervals":
      return !!set.intervals[i]?.some(([first, end]) => first <= j && j < end);
  }
}
