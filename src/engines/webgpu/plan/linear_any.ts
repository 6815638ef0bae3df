/**
 * Dispatches of products whose widths are no multiples of four: of those that sampling meets, loaded where a model has them.
 *
 * @module
 */

import type { Linear } from "../../../ops/mod.ts";
import type { Constants } from "../shader/kernels.gen.ts";
import { planEmbedding } from "./embedding.ts";
import { linearParts } from "./linear.ts";
import type { Plan } from "./plan.ts";

/** A product with a copy of its int8 weights in f32: the embedding of every row, in order. */
export async function inF32(plan: Plan, { scale, ...op }: Linear): Promise<Linear> {
  const rows = Uint32Array.from({ length: op.w.shape[0] }, (_, row) => row), y = plan.temporary(`${op.w.name} in f32`, ...op.w.shape);
  await planEmbedding(plan, { op: "embedding", indices: [plan.constant("rows", rows)], tables: [op.w], scales: [scale!], y });
  return { ...op, w: y };
}

/** Nothing but the product. */
export const PLAIN: Constants<"linear_any"> = {
  BIAS: false,
  PRE: false,
  GELU: false,
  GELU_GRADIENT: false,
  DROPOUT: false,
  RESIDUAL: false,
  ACCUMULATE: false,
};

/** y = residual + dropout(f(x·wᵀ + b)) */
export function planAnyLinear(plan: Plan, op: Linear): void {
  const { rows, out, inner, values, bindings, dropout } = linearParts(op), { x, w } = op;
  const params = { m: rows, k: inner, n: out, am: inner, ak: 1, bk: 1, bn: inner, ...dropout };
  const own = { ...bindings, bias: op.b, z_out: op.pre, a: x, b: w };
  plan.dispatch({ kernel: "linear_any", values: { ...PLAIN, ...values }, bindings: own, params, grid: anyGrid(rows, out) });
}

/** Workgroups of the product of any widths. */
export const anyGrid = (rows: number, columns: number): [number, number, number] => [Math.ceil(columns / 16), Math.ceil(rows / 16), 1];
