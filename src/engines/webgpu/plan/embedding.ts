/**
 * Dispatches of the embedding.
 *
 * @module
 */

import { type Embedding, type EmbeddingDecode, size } from "../../../ops/mod.ts";
import { type Plan, planInF32, THREADS } from "./plan.ts";

/** y[r] = Σₜ tables[t][indices[t][r mod length]] */
export async function planEmbedding(plan: Plan, op: Embedding): Promise<void> {
  await planInF32(plan, op, planSums);
}

function planSums(plan: Plan, op: Embedding): void {
  for (const { tensor: y, first } of plan.blocks(op.y)) {
    const [rows, width] = y.shape, count = rows * width;
    op.tables.forEach((whole, t) => {
      for (const { tensor: table, first: tableFirst, rows: tableRows } of plan.blocks(whole)) {
        const scale = op.scales && plan.rows(op.scales[t], tableFirst, tableRows);
        plan.dispatch({
          kernel: "embedding",
          values: { ACCUMULATE: t > 0 || tableFirst > 0 },
          bindings: { indices: op.indices[t], table, scale, y },
          params: { count, width, length: size(op.indices[t]), first, table_first: tableFirst, table_rows: tableRows },
          grid: plan.linear(count),
        });
      }
    });
  }
}

/** y[b] = the row of the token before the position, and those of the position itself */
export function planEmbeddingDecode(plan: Plan, op: EmbeddingDecode): void {
  const { tape, position, start, y } = op, [batch, width] = y.shape, count = batch * width;
  op.tables.forEach((table, t) =>
    plan.dispatch({
      kernel: "embedding_decode",
      values: { TOKENS: t === 0 },
      bindings: { tape, position, rows: t > 0 ? op.rows[t - 1] : undefined, table, scale: op.scales?.[t], y },
      params: { count, width, batch, start },
      grid: [Math.ceil(count / THREADS), 1, 1],
    })
  );
}
