/** Cases of gated branches and their gradients, and of a sum: one branch to three, heads of odd widths, rows about a workgroup. @module */

import { Case } from "../case.ts";

export default [
  ...[[1, 1, 1, 4], [2, 9, 3, 4], [3, 33, 2, 16], [3, 7, 4, 5]].map(([branches, rows, heads, d]) =>
    new Case(`mix ${branches} of ${rows} rows, ${heads} heads of ${d}`, { op: "mix", branches, rows, heads, d }, (c) => {
      const shape = [rows, heads * d], gates = c.f32("gates", [rows, branches * heads], 2);
      const each = <T>(make: (p: number) => T) => Array.from({ length: branches }, (_, p) => make(p));
      const parts = each((p) => c.f32(`part ${p}`, shape));
      c.ops.push({ op: "mix", gates, parts, y: c.out("y", shape), heads }, {
        op: "mix_backward",
        gates,
        parts,
        dy: c.f32("dy", shape),
        dGates: c.out("dGates", [rows, branches * heads]),
        dParts: each((p) => c.out(`dPart ${p}`, shape)),
        heads,
      });
    })
  ),
  ...[[1, 1], [33, 12], [7, 5]].map(([rows, width]) =>
    new Case(`add ${rows}×${width}`, { op: "add", rows, width }, (c) => {
      c.ops.push({ op: "add", x: c.f32("x", [rows, width]), y: c.inOut("y", [rows, width]) });
    })
  ),
];
