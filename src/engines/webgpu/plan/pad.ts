/**
 * Heads of widths that are no multiples of 4: the kernels load vec4, so they are copied to wider ones.
 *
 * @module
 */

import { type Attention, size, type Tensor } from "../../../ops/mod.ts";
import { geometry, planKernel } from "./attention.ts";
import type { Plan } from "./plan.ts";

/** Copies heads to a width that is a multiple of 4, since the kernels load vec4. */
export function padded(plan: Plan, t: Tensor, width: number): Tensor {
  if (width % 4 === 0) return t;
  const to = Math.ceil(width / 4) * 4, count = size(t) / width * to, y = plan.temporary(`${t.name} padded`, count);
  planPad(plan, t, width, y, to, count);
  return y;
}

/** A place for heads of a width that is a multiple of 4: the tensor itself where it is one. */
export function paddedOutput(plan: Plan, t: Tensor, width: number): Tensor {
  return width % 4 === 0 ? t : plan.temporary(`${t.name} padded`, size(t) / width * Math.ceil(width / 4) * 4);
}

/** Copies padded heads back. */
export function unpad(plan: Plan, x: Tensor, t: Tensor, width: number): void {
  if (x !== t) planPad(plan, x, Math.ceil(width / 4) * 4, t, width, size(t));
}

function planPad(plan: Plan, x: Tensor, source: number, y: Tensor, width: number, count: number): void {
  plan.dispatch({ kernel: "pad_heads", values: {}, bindings: { x, y }, params: { count, source, width }, grid: plan.linear(count) });
}

/** Attention over such heads, in f32. */
export async function planPadded(plan: Plan, op: Attention): Promise<void> {
  const { d, dv } = geometry(op), q = padded(plan, op.q, d), k = padded(plan, op.k, d), v = padded(plan, op.v, dv);
  const o = paddedOutput(plan, op.o, dv);
  await planKernel(plan, op, "attention_forward", { q, k, v, o, lse: op.lse, spans: op.spans }, {});
  unpad(plan, o, op.o, dv);
}
