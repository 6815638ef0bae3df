/** Cases of means of blocks and copies of blocks, with their gradients: the last block short, heads of odd widths, blocks nobody chose. @module */

import { chosenOf, NO_BLOCK, offered } from "../../src/pattern/routed.ts";
import { Case, type Problem } from "../case.ts";

/** Choices that differ by head, some of a block by none and some by all. */
export function choices(c: Problem, [batch, heads, blocks, top_k]: readonly number[], block: number, window = block): Uint32Array {
  const made = new Uint32Array(batch * heads * blocks * top_k).fill(NO_BLOCK);
  for (let line = 0; line < batch * heads; line++) {
    for (let j = 0; j < blocks; j++) {
      const some = new Set<number>(), count = chosenOf(j, { block, window, top_k });
      while (some.size < count) some.add(c.below(3) === 0 ? 0 : c.below(offered(j, { block, window })));
      made.set([...some].sort((a, b) => a - b), (line * blocks + j) * top_k);
    }
  }
  return made;
}

const SIZES = [[1, 1, 1, 1, 1, 4], [2, 3, 37, 8, 2, 4], [1, 2, 48, 16, 3, 16], [3, 2, 29, 5, 4, 5]];

export default [
  ...SIZES.flatMap(([batch, heads, n, block, , d]) => {
    const shapes = [[batch * n, heads * d], [batch * Math.ceil(n / block), heads * d]],
      name = `${batch}×${n} in blocks of ${block}, ${heads * d} wide`;
    return [
      new Case(`block_mean ${name}`, { op: "block_mean", n, block, batch, width: heads * d }, (c) => {
        c.ops.push({ op: "block_mean", x: c.f32("x", shapes[0]), y: c.out("y", shapes[1]), n, block });
      }),
      new Case(`block_mean_backward ${name}`, { op: "block_mean_backward", n, block, batch, width: heads * d }, (c) => {
        c.ops.push({ op: "block_mean_backward", dy: c.f32("dy", shapes[1]), dx: c.inOut("dx", shapes[0]), n, block });
      }),
    ];
  }),
  ...SIZES.map(([batch, heads, n, block, top_k, d]) =>
    new Case(
      `gather_blocks ${top_k} of ${batch}×${n} in blocks of ${block}, ${heads} heads of ${d}`,
      { op: "gather_blocks", n, block, batch, heads, top_k, d },
      (c) => {
        const blocks = Math.ceil(n / block), shape = [batch, heads, blocks, top_k], copies = [batch * blocks * top_k * block, heads * d];
        const choice = c.words("choice", shape, choices(c, shape, block)), starts = c.out("starts", [batch, heads, blocks + 1], "u32");
        const list = c.out("list", shape, "u32");
        c.ops.push({ op: "gather_blocks", x: c.f32("x", [batch * n, heads * d]), choice, y: c.out("y", copies), n, block }, {
          op: "route_lists",
          choice,
          starts,
          list,
        }, { op: "gather_blocks_backward", dy: c.f32("dy", copies), starts, list, dx: c.inOut("dx", [batch * n, heads * d]), n, block });
      },
    )
  ),
];
