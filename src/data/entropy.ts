/**
 * What counting bytes makes of them.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { lazily, Scratch } from "../base/scratch.ts";

/** Order-0 entropy in bits per byte: what the best code for single bytes reaches. */
export function entropy0(bytes: Uint8Array): number {
  expect("Cannot measure the entropy", { bytes: [bytes, "an array of bytes"] });
  const counts = new Float64Array(256);
  for (const byte of bytes) counts[byte]++;
  return entropyOf(counts);
}

/** Order-0 entropy, in bits per symbol, of symbols that occur so often. */
export function entropyOf(counts: Float64Array): number {
  expect("Cannot measure the entropy", { counts: [counts, "an array of floats"] });
  const all = counts.reduce((a, b) => a + b, 0);
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= count / all * Math.log2(count / all);
  return bits;
}

const PIECE = 65536;

const counting = lazily(async () => {
  const made = await Scratch.create();
  return { made, bytes: made.take(PIECE), counts: made.take(1024), tables: made.take(4096) };
});

/** How often each byte occurs, [256]. */
export async function histogram(bytes: Uint8Array): Promise<Float64Array<ArrayBuffer>> {
  expect("Cannot count", { bytes: [bytes, "an array of bytes"] });
  const { made, bytes: at, counts, tables } = await counting(), total = new Float64Array(256);
  for (let from = 0; from < bytes.length; from += PIECE) {
    const piece = bytes.subarray(from, from + PIECE);
    made.u8(at, piece.length).set(piece);
    made.u32(counts, 256).fill(0);
    made.kernels.histogram(at, piece.length, counts, tables);
    made.u32(counts, 256).forEach((count, byte) => total[byte] += count);
  }
  return total;
}
