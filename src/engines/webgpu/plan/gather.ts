/**
 * Dispatches of gather.
 *
 * @module
 */

import { type Gather, size } from "../../../ops/mod.ts";
import { type Plan, planInF32 } from "./plan.ts";

/** y[r] = x[index[r]], or 0: an embedding whose table is x, which adds nothing of rows that the table has not */
export async function planGather(plan: Plan, op: Gather): Promise<void> {
  await planInF32(plan, op, planRows);
}

function planRows(plan: Plan, op: Gather): void {
  for (const { tensor: y, first } of plan.blocks(op.y)) {
    const [rows, width] = y.shape, count = rows * width;
    for (const { tensor: table, first: tableFirst, rows: tableRows } of plan.blocks(op.x)) {
      plan.dispatch({
        kernel: "embedding",
        values: { ACCUMULATE: tableFirst > 0 },
        bindings: { indices: op.index, table, scale: undefined, y },
        params: { count, width, length: size(op.index), first, table_first: tableFirst, table_rows: tableRows },
        grid: plan.linear(count),
      });
    }
  }
}
