/**
 * Operations over tensors that no binding holds, by rows: all whose rows do not know each other, sums over rows with `accumulate`. What needs
 * more than its rows goes as split.ts has it. The embedding, sums, norm and update split by themselves. Decoding does not: its operations
 * have a row a sequence, and fewer sequences need less. What is then bound whole and does not fit throws and says so.
 *
 * @module
 */

import { DESCRIPTORS, type Op, type Tensor } from "../../../ops/mod.ts";
import { rowsOf } from "../storage.ts";
import type { PartialDropout, Plan, Planner } from "./plan.ts";

/** Plans an operation with `next`, piece by piece where a binding does not hold it. */
export async function planInPieces(plan: Plan, op: Op, next: Planner<Op>): Promise<void> {
  const fields = op as unknown as Record<string, Tensor | undefined>, rows: readonly string[] = DESCRIPTORS[op.op].rows ?? [];
  const names = rows.filter((name) => fields[name]);
  const pieces = plan.pieces(names.map((name) => fields[name]!));
  if (pieces.length < 2) return await next(plan, op);
  for (const [at, { first, rows }] of pieces.entries()) {
    const made: Record<string, unknown> = { ...op };
    for (const name of names) made[name] = plan.rows(fields[name]!, first, rows);
    if ("accumulate" in op) made.accumulate = op.accumulate || at > 0;
    if ("dropout" in op && op.dropout) {
      made.dropout = { ...op.dropout, first: (op.dropout.first ?? 0) + first * rowsOf(op.y).width } satisfies PartialDropout;
    }
    await plan.step(at, pieces.length, async () => await next(plan, made as unknown as Op));
  }
}
