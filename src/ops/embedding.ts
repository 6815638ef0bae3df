/**
 * Embedding tables: the sum of rows of several, forward, of one decoded position, and backward.
 *
 * @module
 */

import { fail, holds, matrix, weights } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/** y[r] = Σₜ tables[t][indices[t][r mod length]] (Eq. 15). */
export interface Embedding {
  /** Which operation. */
  readonly op: "embedding";
  /** u32, one per table; each as long as `rows` or a divisor of it, then repeated. Values are below the table's rows. */
  readonly indices: readonly Tensor[];
  /** [sizeₜ, d] each, all f32 or all i8. */
  readonly tables: readonly Tensor[];
  /** f32 [sizeₜ] each, where tables are i8: what their rows are multiplied by. */
  readonly scales?: readonly Tensor[];
  /** [rows, d] */
  readonly y: Tensor;
}

/**
 * The embedding of one decoded position i of every sequence: y[b] = tables[0][the token before it, or `start` at i = 0] +
 * Σₜ tables[t][rows[t − 1][i]] over the positional tables t ≥ 1.
 */
export interface EmbeddingDecode {
  /** Which operation. */
  readonly op: "embedding_decode";
  /** u32 [n, batch]: token of each position and sequence. */
  readonly tape: Tensor;
  /** u32 [1]: i. */
  readonly position: Tensor;
  /** The start token. */
  readonly start: number;
  /** u32 [n], one per positional table. */
  readonly rows: readonly Tensor[];
  /** [sizeₜ, d] each, that of tokens first; all f32 or all i8. */
  readonly tables: readonly Tensor[];
  /** f32 [sizeₜ] each, where tables are i8: what their rows are multiplied by. */
  readonly scales?: readonly Tensor[];
  /** [batch, d] */
  readonly y: Tensor;
}

/** dTable[i] (+)= Σ dy[r] over the rows r that read row i: rows `order[starts[i]]` … `order[starts[i + 1] − 1]`. */
export interface EmbeddingBackward {
  /** Which operation. */
  readonly op: "embedding_backward";
  /** [rows, d] */
  readonly dy: Tensor;
  /** u32 [rows]: row numbers sorted by the table row they read. */
  readonly order: Tensor;
  /** u32 [size + 1] */
  readonly starts: Tensor;
  /** f32 [size, d] */
  readonly dTable: Tensor;
  /** Add to dTable instead of overwriting it. */
  readonly accumulate: boolean;
}

/** What {@linkcode Embedding} says of itself. */
export const embedding: Descriptor<Embedding> = {
  reads: ["indices", "tables", "scales"],
  writes: ["y"],
  activations: ["y"],
  weights: ["tables"],
  check(op) {
    const [rows, d] = op.y.shape;
    if (op.indices.length !== op.tables.length) fail(op, "needs one index list per table", ...op.indices);
    for (const index of op.indices) {
      if (index.dtype !== "u32" || rows % size(index) !== 0) fail(op, `needs u32 indices whose length divides ${rows}`, index);
    }
    op.tables.forEach((table, t) => weights(op, table, op.scales?.[t], d));
  },
};

/** What {@linkcode EmbeddingDecode} says of itself. */
export const embeddingDecode: Descriptor<EmbeddingDecode> = {
  reads: ["tape", "position", "rows", "tables", "scales"],
  writes: ["y"],
  activations: [],
  weights: ["tables"],
  check(op) {
    const [batch, d] = op.y.shape, [n] = op.tape.shape;
    holds(op, op.tape, n * batch, "u32");
    holds(op, op.position, 1, "u32");
    if (op.tables.length !== op.rows.length + 1) fail(op, "needs a token table and one more per list of rows", ...op.tables);
    for (const rows of op.rows) holds(op, rows, n, "u32");
    op.tables.forEach((table, t) => weights(op, table, op.scales?.[t], d));
  },
};

/** What {@linkcode EmbeddingBackward} says of itself. */
export const embeddingBackward: Descriptor<EmbeddingBackward> = {
  reads: ["dy", "order", "starts"],
  writes: ["dTable"],
  activations: ["dy"],
  late: true,
  check(op) {
    const [rows, d] = op.dy.shape;
    matrix(op, op.dTable, op.dTable.shape[0], d);
    holds(op, op.order, rows, "u32");
    holds(op, op.starts, op.dTable.shape[0] + 1, "u32");
  },
};
