/**
 * Cases of Muon over matrices of several shapes at once: square, wide, tall, of odd sides, one row; and those that fill more than one tile.
 * In f16 p is small and the rate 1, so that what f16 leaves of X, 1.5e-3, shows.
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
  { factor: 1, shapes: [[33, 20], [20, 33], [7, 5], [1, 9], [16, 16]], dtype: "f16" },
  { factor: 0.3, shapes: [[68, 132], [132, 68]], dtype: "f16" },
] as const;

export default UPDATES.map(({ factor, shapes, ...more }) => {
  const { dtype = "f32" } = more as { dtype?: "f16" }, isHalf = dtype === "f16";
  const name = `muon ${shapes.map((shape) => shape.join("×")).join(", ")}, factor ${factor}${isHalf ? ", f16" : ""}`;
  return new Case(name, { op: "muon", dtype, factor }, (c) => {
    const factors = c.values("factor", factor), hyper = c.values("hyper", 0.01, 10, 1000, isHalf ? 1 : 0.02);
    const each = (name: string, make: (name: string, shape: readonly number[]) => Tensor) => shapes.map((s, i) => make(`${name}${i}`, s));
    c.ops.push({
      op: "muon",
      params: each("p", (name, shape) => c.inOut(name, shape, isHalf ? 0.1 : 1)),
      grads: each("g", (name, shape) => c.f32(name, shape)),
      m: each("m", (name, shape) => c.inOut(name, shape, 0.1)),
      factor: factors,
      hyper,
      momentum: 0.95,
      weightDecay: 0.01,
      dtype,
    });
  });
});
