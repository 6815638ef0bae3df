/**
 * Cases of attention and its gradient, in one program: every pattern; on both sides of the tiles' boundaries; heads of several widths;
 * groups of heads, several sequences.
 *
 * @module
 */

import { resolveSets } from "../../src/pattern/sets.ts";
import { Case } from "../case.ts";
import { callersBlocks, type Pattern, patternFields, PATTERNS } from "../patterns.ts";

const DENSE: Pattern = { name: "dense", config: { pattern: "dense" } };
const STRIDED_5: Pattern = { name: "strided 5 merged", config: { pattern: "strided", stride: 5 } };
const STRIDED_16: Pattern = { name: "strided 16 merged", config: { pattern: "strided", stride: 16 } };
const FIXED_20: Pattern = { name: "fixed 20/6 merged", config: { pattern: "fixed", stride: 20, c: 6 } };

interface Sizes {
  readonly n: number;
  readonly heads: number;
  readonly batch?: number;
  /** Of a head's queries and keys. */
  readonly d: number;
  /** Of a head's values. */
  readonly dv: number;
}

function attention(pattern: Pattern, { n, heads, batch = 1, d, dv }: Sizes): Case {
  const name = `attention ${pattern.name}, n ${n}, ${batch}×${heads} heads, d ${d}/${dv}`;
  return new Case(name, { op: "attention", ...patternFields(pattern), n, heads, batch, d, dv }, (c) => {
    const rows = batch * n, sets = resolveSets(pattern.config, { n, layer: pattern.layer ?? 0, heads });
    const shared = {
      // A softmax over two keys that is saturated has gradients of the size of rounding.
      q: c.f32("q", [rows, heads * d], n < 4 ? 0.5 : 2),
      k: c.f32("k", [rows, heads * d]),
      v: c.f32("v", [rows, heads * dv]),
      o: c.out("o", [rows, heads * dv]),
      lse: c.out("lse", [batch, heads, n]),
      sets,
      batch,
      n,
    };
    c.ops.push({ op: "attention", ...shared }, {
      op: "attention_backward",
      ...shared,
      dO: c.f32("dO", [rows, heads * dv]),
      delta: c.out("delta", [batch, heads, n]),
      dq: c.out("dq", [rows, heads * d]),
      dk: c.out("dk", [rows, heads * d]),
      dv: c.out("dv", [rows, heads * dv]),
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
  attention(
    { name: "strided 16 multihead", config: { pattern: "strided", stride: 16, integration: "multihead" } },
    { n: 200, heads: 24, d: 5, dv: 7 },
  ),
);

export default cases;
