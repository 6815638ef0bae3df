/**
 * Lists of tensors in chunks, for kernels that take many tensors in one call.
 *
 * @module
 */

import { size, type Tensor } from "../../../ops/mod.ts";
import { BYTES } from "./lowering.ts";

/** Tensors in pieces of at most `most` elements: which tensor, the piece's offset in bytes, its elements. */
export function chunked(tensors: readonly Tensor[], most: number): { which: number; offset: number; count: number }[] {
  return tensors.flatMap((t, which) => {
    const all = size(t);
    return Array.from(
      { length: Math.ceil(all / most) },
      (_, i) => ({ which, offset: i * most * BYTES, count: Math.min(most, all - i * most) }),
    );
  });
}
