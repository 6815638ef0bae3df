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
export type PatternName =
  | "dense"
  | "local"
  | "strided"
  | "column"
  | "fixed"
  | "segment"
  | "summary"
  | "longformer"
  | "bigbird"
  | "blocks"
  | "routed";

/** All pattern names, for messages and checks. */
export const PATTERNS: readonly PatternName[] = [
  "dense",
  "local",
  "strided",
  "column",
  "fixed",
  "segment",
  "summary",
  "longformer",
  "bigbird",
  "blocks",
  "routed",
];

/** How the factors of `strided` and `fixed` are used (Eqs. 6–8). */
export type Integration = "interleaved" | "merged" | "multihead";

/** All of them. */
export const INTEGRATIONS: readonly Integration[] = ["interleaved", "merged", "multihead"];

/** Key blocks of each query block, or those of each head. */
export type BlockLists = readonly (readonly number[])[];

/** Intervals of keys, [first, end), of each query. */
export type IntervalLists = readonly (readonly (readonly [first: number, end: number])[])[];

/** A pattern as written in `config.json`. */
export interface AttentionConfig {
  /** Which pattern. `column` is A⁽²⁾ of `strided` alone, `segment` and `summary` are A⁽¹⁾ and A⁽²⁾ of `fixed`. */
  pattern: PatternName;
  /**
   * l: the stride of `strided`, `fixed` and their factors, the reach of `local`, the window of `longformer`. Of `strided` and `fixed` also
   * l₁ < l₂ < … < l₍p₋₁₎, for p factors.
   */
  stride?: number | number[];
  /** `fixed`, `summary`: summary columns per head, 1 ≤ c ≤ l₁. */
  c?: number;
  /**
   * `fixed`: learned tokens after every l, which stand in its second factor in the place of the last columns; c of them per head, default
   * all. The same in every `fixed` of a model that has them.
   */
  memory?: number;
  /** `column`: the farthest key. `segment`, `summary`: the stride of the windows that theirs lie in (`fixed` of more than two factors). */
  within?: number;
  /** `strided`, `fixed`: default `merged`. */
  integration?: Integration;
  /** Default true: a query sees no later key. */
  causal?: boolean;
  /** `longformer`: the first so many tokens see and are seen by all. `bigbird`: the same in blocks. Default 1. */
  globals?: number;
  /** `bigbird`, `blocks`, `routed`: positions per block. */
  block?: number;
  /** `bigbird`: blocks on each side of the query's own, default 1. `routed`: the farthest key of the window, at least `block`, the default. */
  window?: number;
  /** `routed`: past blocks that each block of queries of a head chooses, 1 to 64. */
  top_k?: number;
  /** `routed`: whether queries attend to the means of past blocks too. Default false. */
  compressed?: boolean;
  /** `bigbird`: random blocks per query block. Default 3. */
  random?: number;
  /** `bigbird`: which random blocks. Default 0. */
  seed?: number;
  /** `blocks`: the key blocks of each query block, for all heads or for each head. */
  blocks?: BlockLists | readonly BlockLists[];
}

/** A pattern per head: head h has number h mod their count, which divides that of heads. */
export interface HeadsAttention {
  /** The patterns. */
  heads: AttentionConfig[];
}

/** The attention of a layer: one pattern, or one per head. */
export type LayerAttention = AttentionConfig | HeadsAttention;

/** Layers that repeat: layer r has number r mod their count, so that patterns are interleaved at a ratio. */
export interface LayersAttention {
  /** The attention of each layer of a round. */
  layers: LayerAttention[];
}

/** The attention of a model as written in `config.json`: one for all layers, a round of layers that repeats, or a list of one per layer. */
export type ModelAttention = LayerAttention | LayersAttention | LayerAttention[];

/** The layers that an attention writes down. */
export const layersOf = (attention: ModelAttention): LayerAttention[] =>
  Array.isArray(attention) ? attention : "layers" in attention ? attention.layers : [attention];

/** The attention of layer r. */
export function layerAttention(attention: ModelAttention, layer: number): LayerAttention {
  const list = layersOf(attention);
  return list[layer % list.length];
}

/** The routed attention of layer r, where that has it. */
export function routedAt(attention: ModelAttention, layer: number): AttentionConfig | undefined {
  const one = layerAttention(attention, layer), first = "heads" in one ? one.heads[0] : one;
  return first.pattern === "routed" ? first : undefined;
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
    /** (i − j) mod l = 0, and |i − j| ≤ within: strided A⁽²⁾ … A⁽ᵖ⁾ */
    | { readonly kind: "column"; readonly l: number; readonly within?: number }
    /** strided A⁽¹⁾ ∪ … ∪ A⁽ᵖ⁾; `more` has l₂ < … < l₍p₋₁₎, all larger than l */
    | { readonly kind: "strided"; readonly l: number; readonly more?: readonly number[] }
    /** i and j in one window of l: fixed A⁽¹⁾. With `larger` strides l₂ < …, windows begin anew where one of the next stride begins. */
    | { readonly kind: "segment"; readonly l: number; readonly larger?: readonly number[] }
    /**
     * j mod l ∈ [from, to), or j = i: fixed A⁽²⁾. With `larger`, as of a segment: j is so far from the start of its window of l, which
     * is another than i's, in one window of the first of them: fixed A⁽²⁾ … A⁽ᵖ⁾ of three factors or more.
     */
    | { readonly kind: "summary"; readonly l: number; readonly from: number; readonly to: number; readonly larger?: readonly number[] }
    /** fixed A⁽¹⁾ ∪ … ∪ A⁽ᵖ⁾; `more` has l₂ < … < l₍p₋₁₎, whose columns are as far from their window's end as those of l */
    | { readonly kind: "fixed"; readonly l: number; readonly from: number; readonly to: number; readonly more?: readonly number[] }
    /** |i − j| ≤ l, or j < globals, or i < globals */
    | { readonly kind: "longformer"; readonly l: number; readonly globals: number }
    /** ⌊j/block⌋ ∈ blocks[⌊i/block⌋] */
    | { readonly kind: "blocks"; readonly block: number; readonly blocks: BlockLists }
    /**
     * first ≤ j < end for one of the intervals of query i. With `keys`, keys are so many positions of another sequence than the queries';
     * such a set is not causal.
     */
    | { readonly kind: "intervals"; readonly intervals: IntervalLists; readonly keys?: number }
    /**
     * j ≤ i, and i − j ≤ window or j in a block that i's block of queries chooses: which, the engine finds when it runs. Where nothing runs, it
     * stands for a choice evenly spread over the past.
     */
    | {
      readonly kind: "routed";
      readonly block: number;
      readonly top_k: number;
      readonly window: number;
      readonly compressed: boolean;
    }
    /** Of routed attention the copies of the blocks that i's block of queries chose; `keys`: copies, `top_k` blocks of each block of queries. */
    | { readonly kind: "chosen"; readonly block: number; readonly top_k: number; readonly window: number; readonly keys: number }
    /** j < ⌊i/block⌋: summaries of the blocks before i's; `keys`: blocks. */
    | { readonly kind: "past"; readonly block: number; readonly keys: number }
  );

/** Keys of a set over n positions: as many, unless they are of another sequence. */
export const keysOf = (set: AttentionSet, n: number): number => (set as { keys?: number }).keys ?? n;

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

/** Sets that {@linkcode resolveSets} made, which need no check. */
export const RESOLVED = new WeakSet<AttentionSet>();

/** l₁ < l₂ < … of a pattern. */
function stridesOf(config: AttentionConfig): number[] {
  const { stride, pattern } = config;
  if (!Array.isArray(stride)) return [integer(config, "stride", 1, LARGEST)];
  expect(`Cannot use attention pattern "${pattern}"`, {
    stride: [stride, { each: [1, LARGEST] }],
    "number of strides": [stride.length, [1, 62]],
  });
  if (stride.some((l, at) => l <= stride[at - 1])) {
    throw new ConfigError(`Cannot use attention pattern "${pattern}": strides must ascend, found ${stride.join(", ")}`);
  }
  return [...stride];
}

/**
 * The set of each head at one layer.
 *
 * @param config the attention of that layer: a pattern, or one per head
 * @param shape n positions, layer number r from 0, number of heads
 * @returns one set per head
 * @throws {ConfigError} where a field is missing or out of range, or patterns are not as many as divide the heads
 */
export function resolveSets(config: LayerAttention, shape: { n: number; layer: number; heads: number }): AttentionSet[] {
  const cannot = "Cannot resolve the pattern";
  expect(cannot, { attention: [config, "an object"], shape: [shape, "an object"] });
  const { n, layer, heads } = shape;
  expect(cannot, { n: [n, [1, LARGEST]], layer: [layer, [0, MOST]], heads: [heads, [1, 4096]] });
  let own = [config as AttentionConfig];
  // Of an attention alone `heads` says how many.
  if ("heads" in config && Array.isArray(config.heads)) {
    expect("Cannot use the attention", { it: [config, { fields: { heads: { each: "an object" } } }] });
    own = config.heads;
    if (heads % own.length !== 0) {
      throw new ConfigError(
        `Cannot use the attention: heads lists ${own.length} patterns, their number must divide that of the heads, ${heads}`,
      );
    }
  }
  const columns = new Map<string, number>();
  const sets = Array.from(
    { length: heads },
    (_, head) =>
      setOf(own[head % own.length], { ...shape, head, rank: Math.floor(head / own.length) }, (key) => {
        const place = columns.get(key) ?? 0;
        columns.set(key, place + 1);
        return place;
      }),
  );
  for (const set of sets) RESOLVED.add(set);
  if (sets.some(({ kind }) => kind === "routed") && new Set(sets.map(setKey)).size > 1) {
    throw new ConfigError(`Cannot use the attention: all heads of a layer must be routed alike`);
  }
  return sets;
}

/**
 * The set of a head.
 *
 * @param rank its place among the heads that have the pattern
 * @param placeOf which of the heads that read some summary columns asks; sub-blocks go round among them
 */
function setOf(
  config: AttentionConfig,
  { n, layer, heads, head, rank }: { n: number; layer: number; heads: number; head: number; rank: number },
  placeOf: (columns: string) => number,
): AttentionSet {
  const { pattern, integration = "merged", causal = true } = config;
  expect("Cannot use the attention", { pattern: [pattern, { oneOf: PATTERNS }] });
  expect(`Cannot use attention pattern "${pattern}"`, {
    integration: [integration, { oneOf: INTEGRATIONS }],
    causal: [causal, "true or false"],
  });
  /** 0 all factors, else which, of p. */
  const factorOf = (p: number) => integration === "merged" ? 0 : 1 + (integration === "interleaved" ? layer : rank) % p;
  if (config.memory && pattern !== "fixed") throw new ConfigError(`Cannot use attention pattern "${pattern}": only fixed has memory`);
  const bound = (low: number) => config.within === undefined ? undefined : integer(config, "within", low, LARGEST);
  /** The sub-block of c columns that the head reads, of the last `of` of a window of l. */
  const subBlock = (l: number, factor: number, of = l) => {
    const c = integer(config, "c", 1, of, of < l ? of : undefined), s = placeOf(`${l} ${c} ${factor}`) % Math.floor(of / c);
    return { from: l - c * (s + 1), to: l - c * s };
  };
  switch (pattern) {
    case "dense":
      return { kind: "dense", causal };
    case "local":
      return { kind: "window", l: integer(config, "stride", 0, LARGEST), causal };
    case "column": {
      const l = integer(config, "stride", 1, LARGEST), within = bound(l);
      return { kind: "column", l, ...within && { within }, causal };
    }
    case "segment":
    case "summary": {
      const l = integer(config, "stride", 1, LARGEST), within = bound(l + 1), larger = within && { larger: [within] };
      return pattern === "segment"
        ? { kind: pattern, l, ...larger, causal }
        : { kind: pattern, l, ...subBlock(l, within ?? 0), ...larger, causal };
    }
    case "strided": {
      const strides = stridesOf(config), [l, ...more] = strides, p = strides.length + 1, factor = factorOf(p);
      if (factor === 0) return { kind: "strided", l, ...more.length && { more }, causal };
      if (factor === 1) return { kind: "window", l, causal };
      return { kind: "column", l: strides[factor - 2], ...factor < p && { within: strides[factor - 1] }, causal };
    }
    case "fixed": {
      const strides = stridesOf(config), memory = integer(config, "memory", 0, LARGEST, 0);
      if (memory && strides.length > 1) throw new ConfigError(`Cannot use attention pattern "fixed": memory goes with one stride`);
      strides[0] += memory;
      const [l, ...more] = strides, p = strides.length + 1, factor = factorOf(p);
      if (factor === 1) {
        return integer(config, "c", 1, memory || l, memory || undefined),
          { kind: "segment", l, ...more.length && { larger: more }, causal };
      }
      const { from, to } = subBlock(l, more.length && factor, memory || l);
      if (factor === 0) return { kind: "fixed", l, from, to, ...more.length && { more }, causal };
      const own = strides[factor - 2], past = own - l;
      return { kind: "summary", l: own, from: from + past, to: to + past, ...more.length && { larger: strides.slice(factor - 1) }, causal };
    }
    case "longformer":
      return { kind: "longformer", l: integer(config, "stride", 0, LARGEST), globals: integer(config, "globals", 0, LARGEST, 1), causal };
    case "bigbird":
      return bigbird(config, n, layer, head, causal);
    case "blocks":
      return callersBlocks(config, n, head, heads, causal);
    case "routed": {
      const block = integer(config, "block", 1, LARGEST), { compressed = false } = config;
      // Blocks are chosen from those before.
      expect(`Cannot use attention pattern "${pattern}"`, {
        compressed: [compressed, "true or false"],
        causal: [`${causal}`, { oneOf: ["true"] }],
      });
      return {
        kind: pattern,
        block,
        top_k: integer(config, "top_k", 1, 64),
        window: integer(config, "window", block, LARGEST, block),
        compressed,
        causal,
      };
    }
  }
}
