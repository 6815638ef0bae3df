/** Routing in float64. @module */

import type { Route, RouteLists } from "../../ops/mod.ts";
import { bestBlocks, blocksIn, NO_BLOCK, offered } from "../../pattern/routed.ts";
import { dot } from "./attention.ts";
import type { Values } from "./values.ts";

/** The choice of every block of queries. */
export function route({ q, summaries, choice, n, block, window }: Route, values: Values): void {
  const [batch, heads, places, top] = choice.shape, [rows, width] = q.shape, d = width / heads, blocks = blocksIn(n, block);
  const qs = values(q), keys = values(summaries), to = values(choice);
  for (let line = 0; line < batch * heads; line++) {
    const b = Math.floor(line / heads) % (rows / n), head = line % heads;
    for (let j = 0; j < blocks; j++) {
      const scores = Array.from(
        { length: offered(j, { block, window }) },
        (_, k) => dot(qs, (b * n + j * block) * width + head * d, keys, (b * blocks + k) * width + head * d, d),
      );
      to.set(bestBlocks(scores, top), (line * places + j) * top);
    }
  }
}

/** Entries by the block that they hold. */
export function routeLists({ choice, starts, list }: RouteLists, values: Values): void {
  const [batch, heads, blocks, top] = choice.shape, from = values(choice), begins = values(starts), to = values(list).fill(NO_BLOCK);
  for (let line = 0; line < batch * heads; line++) {
    let at = 0;
    for (let k = 0; k <= blocks; k++) {
      begins[line * (blocks + 1) + k] = at;
      for (let e = 0; e < blocks * top; e++) if (k < blocks && from[line * blocks * top + e] === k) to[line * blocks * top + at++] = e;
    }
  }
}
