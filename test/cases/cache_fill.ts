/** Cases of filling a cache from a prompt's keys and values: fewer sequences than the cache has, empty slots, odd widths. @module */

import { EMPTY_SLOT } from "../../src/pattern/cache.ts";
import { Case } from "../case.ts";

export default [[1, 1, 1, 5, 3, 4, 4], [3, 3, 2, 40, 33, 16, 24], [1, 3, 4, 17, 65, 5, 7]].map((
  [sequences, batch, heads, slots, n, d, dv],
) =>
  new Case(
    `cache_fill ${sequences} of ${batch}×${heads} heads, ${n} to ${slots} slots, d ${d}/${dv}`,
    { op: "cache_fill", sequences, batch, heads, slots, n, d, dv },
    (c) => {
      c.ops.push({
        op: "cache_fill",
        k: c.f32("k", [sequences * n, heads * d]),
        v: c.f32("v", [sequences * n, heads * dv]),
        keys: c.inOut("keys", [batch, heads, slots, d]),
        values: c.inOut("values", [batch, heads, slots, dv]),
        rows: c.u32("rows", [heads, slots], () => c.below(5) === 0 ? EMPTY_SLOT : c.below(n)),
        n,
      });
    },
  )
);
