/**
 * What descriptors check shapes with. Each throws a ShapeError that names operation and tensors; an absent tensor fits anywhere.
 *
 * @module
 */

import { ShapeError } from "../base/errors.ts";
import type { Named } from "./operation.ts";
import { type DType, size, type Tensor } from "./tensor.ts";

const show = (t: Tensor | undefined) => t ? `${t.name} ${t.dtype} [${t.shape.join(", ")}]` : "nothing";

/** Says what an operation needs, and what it got. */
export function fail(op: Named, what: string, ...tensors: (Tensor | undefined)[]): never {
  throw new ShapeError(`Cannot add ${op.op}: ${what}, got ${tensors.map(show).join("; ")}`);
}

/** `t` is a matrix of that many rows and columns. */
export function matrix(op: Named, t: Tensor | undefined, rows: number, columns: number): void {
  if (t && (t.dtype === "u32" || t.shape.length !== 2 || t.shape[0] !== rows || t.shape[1] !== columns)) {
    fail(op, `needs a matrix of [${rows}, ${columns}]`, t);
  }
}

/** `w` is a matrix of weights: with a scale for each of its rows where it is of i8, and where it is not without. */
export function weights(op: Named, w: Tensor, scale: Tensor | undefined, columns = w.shape[1]): void {
  matrix(op, w, w.shape[0], columns);
  if ((w.dtype === "i8") !== !!scale) fail(op, "needs a scale with weights of i8, and none without", w, scale);
  holds(op, scale, w.shape[0]);
}

/** `t` holds that many elements of that type. */
export function holds(op: Named, t: Tensor | undefined, count: number, dtype: DType = "f32"): void {
  if (t && (t.dtype !== dtype || size(t) !== count)) fail(op, `needs ${count} elements of ${dtype}`, t);
}

/** `out` is none of the `ins`. */
export function distinct(op: Named, out: Tensor, ...ins: (Tensor | undefined)[]): void {
  if (ins.includes(out)) fail(op, "needs its output apart from its inputs", out);
}

/** Caches are [batch, heads, slots, width of a head]. */
export function caches(op: Named & { keys: Tensor; values: Tensor }, batch: number, dq: number, dv: number): void {
  for (const [cache, width] of [[op.keys, dq], [op.values, dv]] as const) {
    const [b, heads, slots, own] = cache.shape;
    if (cache.shape.length !== 4 || b !== batch || heads !== op.keys.shape[1] || slots !== op.keys.shape[2] || own * heads !== width) {
      fail(op, `needs caches of ${batch} sequences, heads ${width} wide together`, cache);
    }
    holds(op, cache, size(cache));
  }
}
