/** Calls that fill caches. @module */

import type { CacheFill } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** Keys, then values, a head of a sequence at a time. */
export function lowerCacheFill({ k, v, keys, values, rows, n }: CacheFill): Call[] {
  const [batch, heads, slots] = keys.shape, sequences = k.shape[0] / n;
  return ([[k, keys], [v, values]] as const).map(([x, cache]) => {
    const width = cache.shape[3], args = { x, cache, rows, n, sequences, heads, slots, width };
    return call("cache_fill", { units: batch * heads, grain: PIECE / (slots * width), args });
  });
}
