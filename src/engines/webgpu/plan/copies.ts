/**
 * What planInF32 (plan.ts) makes of operations over tensors in f16: their kernels have none of it.
 *
 * @module
 */

import { activations, type Op, operands, size, type Tensor } from "../../../ops/mod.ts";
import { isPacked } from "../storage.ts";
import type { Plan, Planner } from "./plan.ts";

/** Plans an operation that has some with `next` on f32 copies of its packed tensors. */
export async function planCopies<O extends Op>(plan: Plan, op: O, next: Planner<O>): Promise<void> {
  const held = new Set(activations(op).filter(isPacked));
  const copies = new Map([...held].map((t) => [t, plan.temporary(`${t.name} in f32`, ...t.shape)]));
  const { reads, writes } = operands(op);
  const convert = (kernel: "pack_f16" | "unpack_f16", from: Tensor, to: Tensor) => {
    for (const { first, rows } of plan.pieces([from, to])) {
      const x = plan.rows(from, first, rows), y = plan.rows(to, first, rows), count = size(x) / 4;
      plan.dispatch({ kernel, values: { STORAGE: "f16x4" }, bindings: { x, y }, params: { count }, grid: plan.linear(count) });
    }
  };
  for (const t of new Set(reads)) if (held.has(t)) convert("unpack_f16", t, copies.get(t)!);
  const copyOf = (value: unknown): unknown => Array.isArray(value) ? value.map(copyOf) : copies.get(value as Tensor) ?? value;
  const fields = Object.entries(op).map(([name, value]) => [name, copyOf(value)]);
  await next(plan, Object.fromEntries(fields) as O);
  for (const t of new Set(writes)) if (held.has(t)) convert("pack_f16", copies.get(t)!, t);
}
