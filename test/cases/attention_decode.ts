/**
 * Cases of a decoded position's attention over its cache: every causal pattern at the first position, the last and one between; on both
 * sides of a share's boundary; heads of several widths; a cache of many shares.
 *
 * @module
 */

import { CachePlan } from "../../src/pattern/cache.ts";
import { resolveSets } from "../../src/pattern/sets.ts";
import { Case } from "../case.ts";
import { callersBlocks, FACTORS, type Pattern, patternFields, PATTERNS } from "../patterns.ts";

const DENSE: Pattern = { name: "dense", config: { pattern: "dense" } };
const STRIDED_16: Pattern = { name: "strided 16 merged", config: { pattern: "strided", stride: 16 } };

const planOf = ({ config, layer = 0 }: Pattern, n: number, heads: number) => CachePlan.create(resolveSets(config, { n, layer, heads }), n);

interface Sizes {
  readonly position: number;
  readonly batch: number;
  readonly d: number;
  readonly dv: number;
  readonly tags?: readonly string[];
}

function decode(pattern: Pattern, plan: CachePlan, { position, batch, d, dv, tags }: Sizes): Case {
  const { n, heads, slots } = plan;
  const name = `attention_decode ${pattern.name}, position ${position} of ${n}, ${batch}×${heads} heads, d ${d}/${dv}`;
  return new Case(name, { op: "attention_decode", ...patternFields(pattern), position, n, heads, batch, d, dv, tags }, (c) => {
    c.ops.push({
      op: "attention_decode",
      q: c.f32("q", [batch, heads * d]),
      k: c.f32("k", [batch, heads * d]),
      v: c.f32("v", [batch, heads * dv]),
      o: c.out("o", [batch, heads * dv]),
      keys: c.inOut("keys", [batch, heads, slots, d]),
      values: c.inOut("values", [batch, heads, slots, dv]),
      position: c.u32("position", [1], () => position),
      plan,
    });
  });
}

const cases: Case[] = [];

for (const pattern of [...PATTERNS, { name: "caller's blocks", config: callersBlocks(101) }]) {
  if (pattern.config.causal === false) continue;
  const plan = await planOf(pattern, 101, 2);
  for (const position of FACTORS.includes(pattern) ? [100] : [0, 37, 100]) {
    cases.push(decode(pattern, plan, { position, batch: 1, d: 16, dv: 16 }));
  }
}
// Both sides of the 128 keys that a share holds, and several of them.
const shares = await planOf(DENSE, 300, 2);
for (const position of [126, 127, 128, 255, 299]) {
  cases.push(decode(DENSE, shares, { position, batch: 2, d: 64, dv: 64, tags: ["whole"] }));
}
const wide = await planOf(STRIDED_16, 70, 3);
for (const [d, dv] of [[4, 4], [8, 16], [20, 12], [64, 128], [128, 128], [5, 7], [4, 7], [6, 36]]) {
  cases.push(decode(STRIDED_16, wide, { position: 69, batch: 3, d, dv, tags: dv === 128 ? ["whole"] : [] }));
}
cases.push(decode(DENSE, await planOf(DENSE, 17000, 1), { position: 16999, batch: 1, d: 4, dv: 4, tags: ["whole"] }));

export default cases;
