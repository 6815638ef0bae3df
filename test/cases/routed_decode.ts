/**
 * Cases of a decoded position's routed attention: the first position; the first of a block, where blocks are chosen (of whole numbers, some
 * products equal); one within, the last, after which there is a summary; windows of several blocks, more keys than go at a time.
 *
 * @module
 */

import { Case } from "../case.ts";
import { choices } from "./blocks.ts";
import { whole } from "./route.ts";

export default [
  [1, 2, 16, 4, 4, 2, 8, 8, 0],
  [2, 3, 37, 8, 8, 2, 4, 8, 16],
  [2, 3, 37, 8, 8, 2, 4, 8, 21],
  [1, 2, 37, 8, 13, 9, 5, 7, 31],
  [1, 2, 37, 8, 13, 3, 16, 16, 36],
  [1, 1, 600, 40, 300, 6, 4, 4, 599],
  [1, 1, 300, 2, 2, 5, 4, 4, 298],
].flatMap(([batch, heads, n, block, window, top_k, d, dv, position]) =>
  [false, true].map((compressed) =>
    new Case(
      `routed_decode ${top_k} blocks of ${block}, window ${window}${compressed ? ", compressed" : ""}, position ${position} of ${n}, ` +
        `${batch}×${heads} heads, d ${d}/${dv}`,
      { op: "routed_decode", batch, heads, n, block, window, top_k, d, dv, position, compressed },
      (c) => {
        const blocks = Math.ceil(n / block), shape = [batch, heads, blocks, top_k], slots = n + blocks;
        c.ops.push({
          op: "routed_decode",
          q: whole(c, c.f32("q", [batch, heads * d])),
          k: c.f32("k", [batch, heads * d]),
          v: c.f32("v", [batch, heads * dv]),
          gates: c.f32("gates", [batch, heads * (compressed ? 3 : 2)]),
          o: c.out("o", [batch, heads * dv]),
          keys: c.update(whole(c, c.f32("keys", [batch, heads, slots, d]))),
          values: c.inOut("values", [batch, heads, slots, dv]),
          choice: c.update(c.words("choice", shape, choices(c, shape, block, window))),
          position: c.u32("position", [1], () => position),
          block,
          window,
          compressed,
        });
      },
    )
  )
);
