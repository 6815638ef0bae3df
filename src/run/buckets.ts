/**
 * Gradients in the buckets in which they go from process to process.
 *
 * @module
 */

import { operands, type Program, size, type Tensor } from "../ops/mod.ts";

/** The last operation that writes each gradient; the update reads them only. */
function lastWrites(program: Program, grads: readonly Tensor[]): Map<Tensor, number> {
  const all = new Set(grads), last = new Map<Tensor, number>();
  program.ops.forEach((op, at) => {
    for (const t of operands(op).writes) if (all.has(t)) last.set(t, at);
  });
  return last;
}

/**
 * Cuts gradients into buckets of about so many bytes, in the order in which a training step has done with them: the last layer's first.
 *
 * @param program a training step
 */
export function bucketsOf(program: Program, grads: readonly Tensor[], bytes: number): Tensor[][] {
  const last = lastWrites(program, grads), buckets: Tensor[][] = [];
  let room = 0;
  for (const t of grads.toSorted((a, b) => last.get(a)! - last.get(b)!)) {
    if (room <= 0) {
      buckets.push([]);
      room = bytes;
    }
    buckets.at(-1)!.push(t);
    room -= 4 * size(t);
  }
  return buckets;
}

/**
 * The operation after the last that writes to each bucket or one before it.
 *
 * @param program a training step, maybe another than the buckets were made for, of the same model
 */
export function endsOf(program: Program, buckets: readonly (readonly Tensor[])[]): number[] {
  const last = lastWrites(program, buckets.flat());
  let end = 0;
  return buckets.map((bucket) => end = Math.max(end, ...bucket.map((t) => last.get(t)! + 1)));
}
