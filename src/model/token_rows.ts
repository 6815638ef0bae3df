/**
 * Rows of tokens among those of a sequence with memory tokens, and back.
 *
 * @module
 */

import { type ModelConfig, outputsOf } from "../files/model_config.ts";
import { NO_ROW, type Tensor } from "../ops/mod.ts";
import { type Memory, memoryOf, placesOf, rowsOf } from "../pattern/memory.ts";
import type { Emitter, Normed } from "./emitter.ts";

/** What sequences of n tokens read at their positions, with what memory tokens between them read; V is the start token. */
export function withMemory(
  tokens: Uint32Array,
  { attention, vocab_size }: Pick<ModelConfig, "attention" | "vocab_size">,
  n: number,
): Uint32Array {
  const memory = memoryOf(attention);
  return memory ? insertMemory(tokens, memory, vocab_size, n) : tokens;
}

/** The same of sequences whose model has memory tokens. */
export function insertMemory(tokens: Uint32Array, memory: Memory, start: number, n: number): Uint32Array {
  const rows = rowsOf(n, memory), made = new Uint32Array(tokens.length / n * rows), places = [...placesOf(n, memory)];
  for (let at = 0; at < made.length; at++) {
    const [token, k] = places[at % rows];
    made[at] = k === undefined ? tokens[Math.floor(at / rows) * n + token] : start + 1 + k;
  }
  return made;
}

/** For each token of all sequences its row. */
function tokenRows({ batch, n, length, config }: Emitter): Uint32Array {
  const rows: number[] = [];
  let row = 0;
  for (const [, k] of placesOf(n, memoryOf(config.attention))) {
    if (k === undefined) rows.push(row);
    row++;
  }
  return Uint32Array.from({ length: batch * n }, (_, r) => Math.floor(r / n) * length + rows[r % n]);
}

/** Of a value for each row those of tokens, which are all where the model has no memory tokens: (batch · n, width) of (R, width). */
export function tokensOf(e: Emitter, x: Tensor, name: string): Tensor {
  if (e.length === e.n) return x;
  const y = e.matrix(name, x.shape[1], e.batch * e.n), index = e.constant(`${name}.rows`, tokenRows(e));
  e.program.add({ op: "gather", x, index, y });
  return y;
}

/** The gradient of all rows where dy is that of the tokens': of memory tokens nothing comes. */
export function tokensBackward(e: Emitter, dy: Tensor, name: string): Tensor {
  if (e.length === e.n) return dy;
  const rows = new Uint32Array(e.rows).fill(NO_ROW), dx = e.matrix(`${name}.dx`, dy.shape[1]);
  tokenRows(e).forEach((row, r) => rows[row] = r);
  e.program.add({ op: "gather", x: dy, index: e.constant(`${name}.tokens`, rows), y: dx });
  return dx;
}

/** The last norm, its rows of tokens x, and (batch · n, V) logits of those, or (batch · n, 1) scores. */
export function logitsOf(e: Emitter, h: Tensor): { final: Normed; x: Tensor; logits: Tensor } {
  const final = e.norm("norm", h), x = tokensOf(e, final.y, "norm.tokens"), logits = e.matrix("logits", outputsOf(e.config), x.shape[0]);
  e.program.add({ op: "linear", x, ...e.params.matrix("out.weight"), y: logits });
  return { final, x, logits };
}
