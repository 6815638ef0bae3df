/**
 * Memory tokens: learned tokens after every window of a sequence, which later windows read in the place of its last columns. They are rows
 * of the model like others; what comes out of them is nobody's.
 *
 * @module
 */

import { layersOf, type ModelAttention } from "./sets.ts";

/** Memory tokens of a model: so many after every `stride` tokens that others follow. */
export interface Memory {
  /** Tokens of a window. */
  readonly stride: number;
  /** Memory tokens of a window. */
  readonly count: number;
}

/** Those of a model's attention; undefined where it has none. */
export function memoryOf(attention: ModelAttention): Memory | undefined {
  for (const { pattern, memory, stride } of layersOf(attention).flatMap((one) => "heads" in one ? one.heads : [one])) {
    if (pattern === "fixed" && memory && Number.isInteger(memory) && Number.isInteger(stride)) {
      return { stride: stride as number, count: memory };
    }
  }
}

/** Where token i of a sequence is among its rows; of n tokens there are as many rows as this says of the last, and one. */
export const rowOfToken = (i: number, memory?: Memory): number => memory ? i + Math.floor(i / memory.stride) * memory.count : i;

/** Rows of n tokens, memory tokens among them. */
export const rowsOf = (n: number, memory?: Memory): number => rowOfToken(n - 1, memory) + 1;

/** What each row of n tokens is: the number of a token, or of a memory token k that of the window's last, with k from 0 beside it. */
export function* placesOf(n: number, memory?: Memory): Generator<readonly [token: number, k?: number]> {
  for (let i = 0; i < n; i++) {
    if (memory && i > 0 && i % memory.stride === 0) { for (let k = 0; k < memory.count; k++) yield [i - 1, k]; }
    yield [i];
  }
}
