/**
 * Cases of attention and its gradient, in one program: every pattern; on both sides of the tiles' boundaries; heads of several widths;
 * groups of heads, several sequences; heads that share keys and values, biases by distance and spans, alone and together.
 *
 * @module
 */

import { alibiSlopes } from "../../src/pattern/alibi.ts";
import { type AttentionSet, resolveSets } from "../../src/pattern/sets.ts";
import { documentSpans, lengthSpans } from "../../src/pattern/spans.ts";
import { Case } from "../case.ts";
import { callersBlocks, FACTORS, type Pattern, patternFields, PATTERNS } from "../patterns.ts";

const DENSE: Pattern = { name: "dense", config: { pattern: "dense" } };
const STRIDED_5: Pattern = { name: "strided 5 merged", config: { pattern: "strided", stride: 5 } };
const STRIDED_16: Pattern = { name: "strided 16 merged", config: { pattern: "strided", stride: 16 } };
const FIXED_20: Pattern = { name: "fixed 20/6 merged", config: { pattern: "fixed", stride: 20, c: 6 } };
const STRIDED_9: Pattern = { name: "strided 9 merged bidirectional", config: { pattern: "strided", stride: 9, causal: false } };
const MULTIHEAD: Pattern = { name: "strided 16 multihead", config: { pattern: "strided", stride: 16, integration: "multihead" } };

interface Sizes {
  readonly n: number;
  readonly heads: number;
  readonly batch?: number;
  /** Of a head's queries and keys. */
  readonly d: number;
  /** Of a head's values. */
  readonly dv: number;
  readonly kvHeads?: number;
  /** Whether scores lose by distance. */
  readonly alibi?: boolean;
  readonly spans?: keyof typeof SPANS;
  /** Positions of another sequence, whose keys and values these are, and whether every query sees all of them. */
  readonly keys?: number;
  readonly all?: boolean;
  /** Of such keys the set of all heads. */
  readonly set?: AttentionSet;
}

// Lengths that divide nothing; some positions at the end of all but the first sequence see nothing.
const SPANS = {
  documents: (batch: number, n: number) =>
    documentSpans(
      Array.from({ length: batch }, (_, b) => {
        const third = Math.floor(n / 3), first = third + b;
        return [first, third, Math.max(0, n - first - third - 3 * b)];
      }),
      n,
    ),
  lengths: (batch: number, n: number) => lengthSpans(Array.from({ length: batch }, (_, b) => n - b * Math.floor(n / 4)), n),
  /** Any: some begin after the query, some are empty, some end past the last position. */
  any: (batch: number, n: number) =>
    Uint32Array.from({ length: batch * n * 2 }, (_, at) => (at >> 1) * (at & 1 ? 37 : 11) % (n + n / 4 | 0)),
};

function attention(
  pattern: Pick<Pattern, "name"> & Partial<Pattern>,
  { n, heads, batch = 1, d, dv, kvHeads, alibi, spans, keys, all = false, set }: Sizes,
): Case {
  const more = [keys && ` of ${keys} positions`, kvHeads && ` of ${kvHeads} keys`, alibi && ", alibi", spans && `, ${spans}`].filter(
    Boolean,
  ).join("");
  const name = `attention ${pattern.name}, n ${n}, ${batch}×${heads} heads${more}, d ${d}/${dv}`;
  const options = { ...keys && { keys }, ...kvHeads && { kvHeads }, ...alibi && { alibi }, ...spans && { spans } };
  return new Case(name, {
    op: "attention",
    ...pattern.config ? patternFields(pattern as Pattern) : { pattern: pattern.name },
    n,
    heads,
    batch,
    d,
    dv,
    ...options,
  }, (c) => {
    const keyHeads = kvHeads ?? heads;
    const rows = batch * n, keyRows = batch * (keys ?? n);
    const sets = pattern.config
      ? resolveSets(pattern.config, { n, layer: pattern.layer ?? 0, heads })
      : Array.from({ length: heads }, (_, head) => set ?? between(n, keys!, all || head % 2 === 1));
    const shared = {
      // A softmax over two keys that is saturated has gradients of the size of rounding.
      q: c.f32("q", [rows, heads * d], n < 4 ? 0.5 : 2),
      k: c.f32("k", [keyRows, keyHeads * d]),
      v: c.f32("v", [keyRows, keyHeads * dv]),
      o: c.out("o", [rows, heads * dv]),
      lse: c.out("lse", [batch, heads, n]),
      sets,
      batch,
      n,
      ...kvHeads && { kvHeads },
      ...alibi && { slopes: alibiSlopes(heads) },
      ...spans && { spans: c.words("spans", [batch, n, 2], SPANS[spans](batch, n)) },
    };
    c.ops.push({ op: "attention", ...shared }, {
      op: "attention_backward",
      ...shared,
      dO: c.f32("dO", [rows, heads * dv]),
      delta: c.out("delta", [batch, heads, n]),
      dq: c.out("dq", [rows, heads * d]),
      dk: c.out("dk", [keyRows, keyHeads * d]),
      dv: c.out("dv", [keyRows, keyHeads * dv]),
    });
  });
}

const cases = [...PATTERNS, { name: "caller's blocks", config: callersBlocks(101) }]
  .map((pattern) => attention(pattern, { n: 101, heads: 2, d: 16, dv: 16 }));

for (const n of [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200]) {
  cases.push(
    attention(DENSE, { n, heads: 1, d: 16, dv: 16 }),
    attention(STRIDED_5, { n, heads: 1, d: 16, dv: 16 }),
    attention(FIXED_20, { n, heads: 4, d: 4, dv: 4 }),
  );
}
// Lists of tiles long enough to be cut.
cases.push(
  attention(DENSE, { n: 1700, heads: 1, batch: 2, d: 4, dv: 4 }),
  attention(STRIDED_16, { n: 200, heads: 2, batch: 8, d: 16, dv: 16 }),
);
for (const [d, dv] of [[4, 4], [8, 16], [16, 32], [32, 64], [64, 32], [64, 64], [20, 12], [64, 128], [128, 128], [5, 7]]) {
  cases.push(attention(STRIDED_16, { n: 70, heads: 2, batch: 2, d, dv }));
}
// More than 128 KiB: several groups of heads, the last of fewer; several sequences; heads of odd widths, whose f16 goes through f32.
cases.push(
  attention(FIXED_20, { n: 200, heads: 7, d: 32, dv: 32 }),
  attention(STRIDED_16, { n: 200, heads: 8, batch: 2, d: 20, dv: 12 }),
  attention(MULTIHEAD, { n: 200, heads: 24, d: 5, dv: 7 }),
);

// Heads that share keys and values, biases by distance, spans. Narrow heads, since each of these is other kernels.
for (const more of [{ kvHeads: 2 }, { alibi: true }, { spans: "documents" }, { spans: "lengths" }, { spans: "any" }] as const) {
  for (const pattern of [DENSE, STRIDED_16, FIXED_20]) cases.push(attention(pattern, { n: 101, heads: 4, batch: 2, d: 4, dv: 4, ...more }));
}
const ALL = { kvHeads: 2, alibi: true, spans: "any" } as const;
cases.push(
  ...PATTERNS.filter((one) => !FACTORS.includes(one) || one.config.integration).map((pattern) =>
    attention(pattern, { n: 70, heads: 4, batch: 2, d: 4, dv: 4, ...ALL })
  ),
  attention({ name: "caller's blocks", config: callersBlocks(101) }, { n: 101, heads: 2, d: 4, dv: 4, ...ALL, kvHeads: 1 }),
  ...[1, 33, 64, 65, 129].map((n) => attention(DENSE, { n, heads: 2, d: 4, dv: 4, ...ALL, kvHeads: 1 })),
  attention(STRIDED_9, { n: 129, heads: 6, batch: 2, d: 20, dv: 12, ...ALL, kvHeads: 3, spans: "documents" }),
  // Lists of tiles long enough to be cut.
  attention(STRIDED_16, { n: 210, heads: 4, batch: 8, d: 4, dv: 4, ...ALL }),
  // More than 128 KiB: whole groups of heads; those that read one head of keys some at a time; the same of odd widths.
  attention(FIXED_20, { n: 200, heads: 14, d: 32, dv: 32, ...ALL, kvHeads: 7 }),
  attention(STRIDED_16, { n: 400, heads: 6, batch: 2, d: 32, dv: 32, ...ALL, kvHeads: 1, spans: "documents" }),
  attention(MULTIHEAD, { n: 600, heads: 6, d: 30, dv: 29, ...ALL }),
);

/** Intervals of keys of another sequence: of each query two, one of them odd, some empty; where `all`, every key as well. */
function between(n: number, keys: number, all: boolean): AttentionSet {
  const intervals = Array.from({ length: n }, (_, i): [number, number][] => {
    if (all) return [[0, keys]];
    const first = Math.floor(i * keys / n), end = Math.min(keys, Math.floor((i + 1) * keys / n) + 1 + i % 3);
    return i % 7 === 6 ? [] : [[first, end], [0, i % 5 === 0 ? Math.min(keys, 3) : 0]];
  });
  return { kind: "intervals", intervals, causal: false, keys };
}

// Keys of another sequence, shorter and longer than that of the queries, on both sides of the tiles' boundaries.
for (const [n, keys] of [[1, 70], [70, 1], [16, 130], [130, 16], [64, 65], [512, 16], [16, 512]]) {
  cases.push(attention({ name: "between two" }, { n, keys, heads: 2, batch: 2, d: 4, dv: 4 }));
}
cases.push(attention({ name: "between two, all" }, { n: 33, keys: 200, all: true, heads: 2, batch: 2, d: 4, dv: 4 }));
// Of widths that cases above have: each other is kernels of its own.
cases.push(
  attention({ name: "between two" }, { n: 45, keys: 101, heads: 4, batch: 2, d: 4, dv: 4, kvHeads: 2 }),
  attention({ name: "between two" }, { n: 45, keys: 101, heads: 4, batch: 2, d: 4, dv: 4, ...ALL }),
  // More than 128 KiB of either side.
  attention({ name: "between two" }, { n: 40, keys: 600, heads: 7, d: 32, dv: 32 }),
  attention({ name: "between two" }, { n: 600, keys: 40, heads: 8, batch: 2, d: 20, dv: 12 }),
);

// Of routed attention the copies of chosen blocks, and the summaries: queries of the first block see none.
for (const [n, block, window, top_k, d] of [[1, 4, 4, 2, 4], [70, 8, 8, 3, 4], [129, 32, 50, 2, 16]]) {
  const blocks = Math.ceil(n / block),
    chosen = { kind: "chosen", block, top_k, window, keys: blocks * top_k * block, causal: false } as const;
  for (const [name, set] of [["chosen", chosen], ["past", { kind: "past", block, keys: blocks, causal: false }]] as const) {
    cases.push(attention({ name: `${name} ${block}/${top_k}` }, { n, keys: set.keys, set, heads: 2, batch: 2, d, dv: d }));
  }
}

export default cases;
