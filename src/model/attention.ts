/**
 * An attention by itself: what its options mean, its tensors, and the programs of its passes.
 *
 * @module
 */

import { type Allowed, expect } from "../base/check.ts";
import { ConfigError, excerpt, ShapeError } from "../base/errors.ts";
import { keyPositions, Program, type Tensor, tensor } from "../ops/mod.ts";
import { checkSet } from "../pattern/check_set.ts";
import { PATTERN_FIELDS } from "../pattern/patterns_in.ts";
import { type AttentionConfig, type AttentionSet, type IntervalLists, keysOf, LARGEST, resolveSets } from "../pattern/sets.ts";

/**
 * Which keys a query attends to: a `pattern` with its fields, as a model's `attention` has them, or `intervals`, or `sets`. What it attends
 * to besides is the same for every sequence; `spans` are not.
 */
export interface AttentionPattern extends Partial<AttentionConfig> {
  /** Of query i, keys from first to before end for each of `intervals[i]`; for all heads. With `causal` (the default) only those up to i. */
  readonly intervals?: IntervalLists;
  /**
   * Of intervals: positions of another sequence, which k and v are of; `n` are those of q alone. Keys are then not before or after a query, so
   * `causal` is false. Absent where keys and queries are of one sequence.
   */
  readonly keys?: number;
  /** One set for all heads, or one per head; each says itself whether it is causal. */
  readonly sets?: AttentionSet | readonly AttentionSet[];
  /** Of a pattern: the number of the layer, by which `interleaved` alternates and `bigbird` draws. Default 0. */
  readonly layer?: number;
}

/** Sizes of an attention, and which keys its queries attend to. */
export interface AttentionOptions extends AttentionPattern {
  /** Sequences, default 1. */
  readonly batch?: number;
  /** Positions of a sequence. */
  readonly n: number;
  /** Heads of q. */
  readonly heads: number;
  /** Heads of k and v, of which each is read by heads / kvHeads of q (grouped-query attention); default `heads`. */
  readonly kvHeads?: number;
  /** Width of a head of q and k; on the WebGPU engine up to 128. */
  readonly headDim: number;
  /** Width of a head of v and o, default `headDim`. */
  readonly valueDim?: number;
  /** How q, k, v, o and their gradients are stored: default f32. Sums are f32 in either. */
  readonly dtype?: "f32" | "f16";
  /** ALiBi: what a scaled score loses per position between query and key, one per head of q; see {@linkcode alibiSlopes}. */
  readonly slopes?: readonly number[];
  /** Whether each pass gets spans: the keys that each query of each sequence may see. Default false. */
  readonly spans?: boolean;
}

/** The same, checked, and with what was left out. */
export interface ResolvedAttention
  extends Required<Pick<AttentionOptions, "batch" | "n" | "keys" | "heads" | "kvHeads" | "headDim" | "valueDim">> {
  readonly dtype: "f32" | "f16";
  readonly sets: readonly AttentionSet[];
  readonly slopes?: readonly number[];
  readonly spans: boolean;
}

const SIZE = [1, LARGEST] as const, HEADS = [1, 4096] as const;

const OPTIONS: Readonly<Record<string, Allowed>> = {
  batch: SIZE,
  kvHeads: HEADS,
  dtype: { oneOf: ["f32", "f16"] },
  slopes: "a list",
  spans: "true or false",
};

/** Fields that say what a pattern is. */
const FIELDS = [...PATTERN_FIELDS, "layer"];
const KNOWN = [
  "n",
  "heads",
  "headDim",
  "valueDim",
  ...Object.keys(OPTIONS),
  "pattern",
  "intervals",
  "keys",
  "sets",
  "causal",
  ...FIELDS,
];

/** The set of each head, every query of which has a key. */
function setsOf(cannot: string, options: AttentionOptions): readonly AttentionSet[] {
  const { n, heads, pattern, intervals, keys, sets, causal = keys === undefined, layer = 0 } = options;
  const ways = Object.entries({ pattern, intervals, sets }).filter(([, way]) => way !== undefined).map(([name]) => name);
  if (ways.length !== 1) {
    throw new ConfigError(`${cannot}: give one of pattern, intervals and sets, found ${ways.length ? ways.join(" and ") : "none"}`);
  }
  if (keys !== undefined && intervals === undefined) throw new ConfigError(`${cannot}: keys of another sequence go with intervals alone`);
  if (pattern === "routed") {
    throw new ConfigError(`${cannot}: routed attention has gates beside queries, keys and values; it is a layer of a model`);
  }
  if (pattern !== undefined) return resolveSets({ ...options, pattern }, { n, layer, heads });
  const beside = [...FIELDS, ...sets ? ["causal"] : []].find((name) => options[name as keyof AttentionOptions] !== undefined);
  if (beside) throw new ConfigError(`${cannot}: ${beside} does not go with ${ways[0]}`);
  expect(cannot, { causal: [causal, "true or false"] });
  if (intervals !== undefined) {
    if (keys !== undefined) expect(cannot, { keys: [keys, SIZE] });
    expect(cannot, { intervals: [intervals, { each: { each: { each: [0, keys ?? n], count: 2, words: "[first, end]" } }, count: n }] });
    const set: AttentionSet = { kind: "intervals", intervals, causal, ...keys !== undefined && { keys } };
    checkRows(cannot, set, n);
    return Array.from({ length: heads }, () => set);
  }
  const given = Array.isArray(sets) ? sets as readonly AttentionSet[] : Array.from({ length: heads }, () => sets as AttentionSet);
  if (given.length !== heads) throw new ConfigError(`${cannot}: sets must be one, or one per head: ${heads}, found ${given.length}`);
  for (const set of new Set(given)) checkRows(cannot, set, n);
  if (given.some((set) => keysOf(set, n) !== keysOf(given[0], n))) throw new ConfigError(`${cannot}: sets must all have as many keys`);
  return given;
}

/** Refuses lists that leave a query without a key. */
function checkRows(cannot: string, set: AttentionSet, n: number): void {
  checkSet(set, n);
  if (set.kind !== "blocks" && set.kind !== "intervals") return;
  for (let i = 0; i < n; i++) {
    const end = set.causal ? i + 1 : keysOf(set, n);
    const has = set.kind === "intervals"
      ? set.intervals[i].some(([first, last]) => first < Math.min(last, end))
      : set.blocks[Math.floor(i / set.block)].some((block) => block * set.block < end);
    if (has) continue;
    throw new ConfigError(`${cannot}: query ${i} has no key${set.causal ? " up to itself" : ""}; give it one, leave queries out by spans`);
  }
}

/**
 * What options mean.
 *
 * @throws {ConfigError} naming the option that is missing, unknown or out of range
 * @throws {ShapeError} where the heads of k and v do not divide those of q
 */
export function resolveAttention(cannot: string, options: AttentionOptions): ResolvedAttention {
  expect(cannot, { options: [options, "an object"] });
  const unknown = Object.keys(options).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) throw new ConfigError(`${cannot}: there is no option ${excerpt(unknown)}, known are ${KNOWN.join(", ")}`);
  const { n, heads, headDim, batch = 1, kvHeads = heads, valueDim = headDim, dtype = "f32", slopes, spans = false } = options;
  for (const [name, allowed] of Object.entries(OPTIONS)) {
    const value = options[name as keyof AttentionOptions];
    if (value !== undefined) expect(cannot, { [name]: [value, allowed] });
  }
  expect(cannot, { n: [n, SIZE], heads: [heads, HEADS], headDim: [headDim, SIZE], valueDim: [valueDim, SIZE] });
  if (heads % kvHeads !== 0) throw new ShapeError(`${cannot}: kvHeads is ${kvHeads} and must divide heads, ${heads}`);
  if (slopes) expect(cannot, { slopes: [slopes, { each: { from: 0 }, count: heads, words: `a list of ${heads} numbers, one per head` }] });
  const sets = setsOf(cannot, options);
  return { n, keys: keyPositions({ sets, n }), heads, headDim, batch, kvHeads, valueDim, dtype, slopes, spans, sets };
}

/** What goes in and comes out, by the names of the operation's operands. */
export type AttentionTensors = Readonly<Record<"q" | "k" | "v" | "o" | "lse" | "spans" | "dO" | "dq" | "dk" | "dv", Tensor>>;

/** Its tensors: q, o [batch · n, heads · width], k, v [batch · keys, kvHeads · width], gradients alike; lse f32 [batch, heads, n]. */
export function attentionTensors({ batch, n, keys, heads, kvHeads, headDim, valueDim, dtype }: ResolvedAttention): AttentionTensors {
  const matrix = (name: string, count: number, width: number, rows = n) => tensor(name, [batch * rows, count * width], dtype);
  return {
    q: matrix("q", heads, headDim),
    k: matrix("k", kvHeads, headDim, keys),
    v: matrix("v", kvHeads, valueDim, keys),
    o: matrix("o", heads, valueDim),
    lse: tensor("lse", [batch, heads, n]),
    spans: tensor("spans", [batch, n, 2], "u32"),
    dO: matrix("dO", heads, valueDim),
    dq: matrix("dq", heads, headDim),
    dk: matrix("dk", kvHeads, headDim, keys),
    dv: matrix("dv", kvHeads, valueDim, keys),
  };
}

/** The program of one pass over those tensors. */
export function attentionProgram(of: ResolvedAttention, tensors: AttentionTensors, pass: "forward" | "backward"): Program {
  const { batch, n, heads, kvHeads, sets, slopes } = of, { q, k, v, o, lse, dO, dq, dk, dv } = tensors;
  const program = new Program(`attention ${pass}`);
  const shared = { q, k, v, o, lse, sets, batch, n, slopes, kvHeads, spans: of.spans ? tensors.spans : undefined };
  if (pass === "forward") program.add({ op: "attention", ...shared });
  else program.add({ op: "attention_backward", ...shared, dO, dq, dk, dv, delta: program.scratch("delta", [batch, heads, n]) });
  return program;
}
