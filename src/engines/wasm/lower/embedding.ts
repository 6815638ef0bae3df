/** Calls of the embedding. @module */

import { type Embedding, type EmbeddingBackward, type EmbeddingDecode, size } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** Table after table, each added to what the one before it left. */
export function lowerEmbedding({ indices, tables, scales, y }: Embedding): Call[] {
  const [rows, d] = y.shape;
  return tables.map((table, t) => {
    const index = indices[t], args = { index, length: size(index), table, scale: scales?.[t], y, d, accumulate: t > 0 };
    return call("embedding", { units: rows, grain: PIECE / d, args });
  });
}

/** The same of one position: tokens first, then the positional tables. */
export function lowerEmbeddingDecode({ tape, position, rows, tables, scales, y, start }: EmbeddingDecode): Call[] {
  const [batch, d] = y.shape;
  return tables.map((table, t) => {
    const args = { tape, position, rows: t > 0 ? rows[t - 1] : null, table, scale: scales?.[t], y, batch, d, start };
    return call("embedding_decode", { units: batch, grain: PIECE / d, args });
  });
}

/** A row of the table at a time, however many rows of dy it was read by. */
export function lowerEmbeddingBackward({ dy, order, starts, dTable, accumulate }: EmbeddingBackward): Call[] {
  const [rows, d] = dy.shape, [entries] = dTable.shape, grain = PIECE / d * entries / rows;
  return [call("embedding_backward", { units: entries, grain, args: { dy, order, starts, dTable, d, accumulate } })];
}
