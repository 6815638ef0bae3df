/** Filling caches from many positions at once. @module */

import type { CacheFill } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** Slot s of head h gets the key and the value of position rows[h, s]. */
export function cacheFill(op: CacheFill, values: Values): void {
  const rows = values(op.rows), [batch, heads, slots] = op.keys.shape, sequences = op.k.shape[0] / op.n;
  for (const [from, to] of [[op.k, op.keys], [op.v, op.values]] as const) {
    const x = values(from), cache = values(to), width = to.shape[3];
    for (let b = 0; b < batch; b++) {
      for (let line = 0; line < heads * slots; line++) {
        if (rows[line] >= op.n) continue;
        const h = Math.floor(line / slots), source = (((b % sequences) * op.n + rows[line]) * heads + h) * width;
        cache.set(x.subarray(source, source + width), (b * heads * slots + line) * width);
      }
    }
  }
}
