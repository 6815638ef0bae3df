/** Embedding (Eq. 15) in float64. @module */

import type { Embedding, EmbeddingBackward, EmbeddingDecode } from "../../ops/mod.ts";
import type { Values } from "./values.ts";

/** y[r] = Σₜ tables[t][indices[t][r mod length]] */
export function embedding(op: Embedding, values: Values): void {
  const y = values(op.y), [rows, d] = op.y.shape;
  y.fill(0);
  op.tables.forEach((t, at) => {
    const table = values(t), index = values(op.indices[at]), scale = op.scales && values(op.scales[at]);
    for (let r = 0; r < rows; r++) {
      const row = index[r % index.length];
      for (let c = 0; c < d; c++) y[r * d + c] += table[row * d + c] * (scale ? scale[row] : 1);
    }
  });
}

/** y[b] = the row of the token before position i, and those of i itself. */
export function embeddingDecode(op: EmbeddingDecode, values: Values): void {
  const y = values(op.y), tape = values(op.tape), [i] = values(op.position), [batch, d] = op.y.shape;
  y.fill(0);
  op.tables.forEach((t, at) => {
    const table = values(t), scale = op.scales && values(op.scales[at]);
    for (let b = 0; b < batch; b++) {
      const row = at > 0 ? values(op.rows[at - 1])[i] : i === 0 ? op.start : tape[(i - 1) * batch + b];
      for (let c = 0; c < d; c++) y[b * d + c] += table[row * d + c] * (scale ? scale[row] : 1);
    }
  });
}

/** dTable[i] (+)= Σ dy[r] over the rows r that read i. */
export function embeddingBackward(op: EmbeddingBackward, values: Values): void {
  const dy = values(op.dy), order = values(op.order), starts = values(op.starts), dTable = values(op.dTable);
  const [entries, d] = op.dTable.shape;
  if (!op.accumulate) dTable.fill(0);
  for (let i = 0; i < entries; i++) {
    for (let at = starts[i]; at < starts[i + 1]; at++) {
      for (let c = 0; c < d; c++) dTable[i * d + c] += dy[order[at] * d + c];
    }
  }
}
