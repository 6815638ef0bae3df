/**
 * Dispatches of the embedding.
 *
 * @module
 */

import { type Embedding, type EmbeddingBackward, type EmbeddingDecode, size } from "../ops.ts";
import type { Plan } from "./plan.ts";

/** y[r] = Σₜ tables[t][indices[t][r mod length]] */
export function planEmbedding(plan: Plan, op: Embedding): void {
  const [rows, width] = op.y.shape, count = rows * width;
  op.tables.forEach((table, t) =>
    plan.dispatch({
      kernel: "embedding",
      values: { ACCUMULATE: t > 0 },
      bindings: { indices: op.indices[t], table, y: op.y },
      params: { count, width, length: size(op.indices[t]) },
      grid: plan.linear(count),
    })
  );
}

/** y[b] = the row of the token before the position, and those of the position itself */
export function planEmbeddingDecode(plan: Plan, op: EmbeddingDecode): void {
  const { tape, position, start, y } = op, [batch, width] = y.shape, count = batch * width;
  op.tables.forEach((table, t) =>
    plan.dispatch({
      kernel: "embedding_decode",
      values: { TOKENS: t === 0 },
      bindings: { tape, position, rows: t > 0 ? op.rows[t - 1] : undefined, table, y },
      params: { count, width, batch, start },
      grid: [Math.ceil(count / 256), 1, 1],
    })
  );
}

/** dTable[i] (+)= Σ dy[r] over the rows that read i */
export function planEmbeddingBackward(plan: Plan, op: EmbeddingBackward): void {
  const [rows, width] = op.dTable.shape;
  plan.dispatch({
    kernel: "embedding_backward",
    values: { ACCUMULATE: op.accumulate },
    bindings: { dy: op.dy, order: op.order, starts: op.starts, table: op.dTable },
    params: { size: rows, width },
    grid: [Math.ceil(width / 32), rows, 1],
  });
}
