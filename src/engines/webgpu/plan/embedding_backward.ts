/**
 * Dispatches of the embedding's gradients.
 *
 * @module
 */

import type { EmbeddingBackward } from "../../../ops/mod.ts";
import { type Plan, planInF32 } from "./plan.ts";

/** dTable[i] (+)= Σ dy[r] over the rows that read i */
export async function planEmbeddingBackward(plan: Plan, op: EmbeddingBackward): Promise<void> {
  await planInF32(plan, op, planTables);
}

function planTables(plan: Plan, op: EmbeddingBackward): void {
  for (const { tensor: table, first: tableFirst, rows: entries } of plan.blocks(op.dTable)) {
    const starts = plan.rows(op.starts, tableFirst, entries + 1);
    for (const { tensor: dy, first, rows } of plan.blocks(op.dy)) {
      const [, width] = op.dTable.shape;
      plan.dispatch({
        kernel: "embedding_backward",
        values: { ACCUMULATE: op.accumulate || first > 0 },
        bindings: { dy, order: op.order, starts, table },
        params: { size: entries, width, first, rows },
        grid: [Math.ceil(width / 32), entries, 1],
      });
    }
  }
}
