/**
 * Tiles of attention and of the products on the WebGPU engine.
 *
 * Plan. Large and small tiles, in both orders, agree with the oracle on both sides of their boundaries.
 */

import { assert } from "@std/assert";
import { ReferenceEngine } from "../src/engines/reference/engine.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import type { TilePreference } from "../src/engines/webgpu/plan/plan.ts";
import { relativeError } from "../src/run/verify.ts";
import { pick, type Query } from "./cases.ts";
import { gpuTest } from "./engines.ts";
import { software } from "./gpu.ts";
import { outputs } from "./runtimes/conformance.ts";

// Small problems take small tiles by themselves; these see the others, on both sides of their boundaries.
const TILED: readonly Query[] = [
  ...[[65, 129, 66], [130, 256, 100], [64, 64, 64]]
    .map(([rows, inner, out]) => ({ op: ["linear", "linear_input_grad", "linear_weight_grad"] as const, rows, in: inner, out })),
  { op: "attention", pattern: "dense", n: 129 },
  { op: "attention", pattern: "strided", stride: 16, causal: true, n: 101 },
  { op: "attention", pattern: "strided", n: 70, d: 64, dv: 64 },
  { op: "attention", pattern: "strided", n: 70, d: 128 },
  { op: "attention", pattern: "fixed", stride: 16 },
];

for (
  const [tiles, limits, order] of [
    ["largest", "adapter", "grouped"],
    ["largest", "default", "in order"],
    ["smallest", "default", "grouped"],
    ["smallest", "default", "in order"],
  ] as [TilePreference, "adapter" | "default", "grouped" | "in order"][]
) {
  gpuTest(`${tiles} tiles, ${limits} limits, ${order}, agree with the oracle`, async () => {
    const engine = await WebGpuEngine.create({ ...software, tiles, limits, inOrder: order === "in order" }), oracle = new ReferenceEngine();
    // The widest heads take llvmpipe ten seconds to compile, and the order changes nothing about them.
    const chosen = pick(...TILED.map((query) => ({ ...query, dtype: "f32" })))
      .filter(({ fields }) => order === "grouped" || fields.d !== 128);
    assert(chosen.length >= 14, `${chosen.length} cases`);
    for (const c of chosen) {
      const want = await outputs(oracle, c), got = await outputs(engine, c);
      c.problem.outputs.forEach((t, i) => {
        const error = relativeError(got[i], want[i]);
        assert(error <= 5e-6, `${c.name}: ${t.name}: relative error ${error.toExponential(2)}`);
      });
    }
    engine.dispose();
  });
}
