/**
 * Cases of Muon over matrices of several shapes at once: square, wide, tall, of odd sides, one row; and those that fill more than one tile.
 *
 * @module
 */

import type { Tensor } from "../../src/ops/mod.ts";
import { Case } from "../case.ts";

const UPDATES = [
  { factor: 1, shapes: [[16, 16], [16, 16], [33, 20], [20, 33], [7, 5], [1, 9], [64, 40]] },
  { factor: 0.3, shapes: [[100, 300], [300, 100]] },
  { factor: 1, shapes: [[68, 132], [160, 132], [132, 68]] },
  { factor: 0, shapes: [[16, 16], [33, 20]] },
];

export default UPDATES.map(({ factor, shapes }) =>
  new Case(`muon ${shapes.map((shape) => shape.join("×")).join(", ")}, factor ${factor}`, { op: "muon", factor }, (c) => {
    const factors = c.values("factor", factor), hyper = c.values("hyper", 0.01, 10, 1000, 0.02);
    const each = (name: string, make: (name: string, shape: number[]) => Tensor) => shapes.map((s, i) => make(`${name}${i}`, s));
    c.ops.push({
      op: "muon",
      params: each("p", (name, shape) => c.inOut(name, shape)),
      grads: each("g", (name, shape) => c.f32(name, shape)),
      m: each("m", (name, shape) => c.inOut(name, shape, 0.1)),
      factor: factors,
      hyper,
      momentum: 0.95,
      weightDecay: 0.01,
    });
  })
);
