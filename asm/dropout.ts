// Dropout (Eqs. 9–14): y = x/(1 − p) where the generator keeps it, 0 elsewhere.

import { loadPart, Pointer, storePart } from "./lib/memory";
import { beginDropout, drop8 } from "./lib/random";
import { workspace } from "./workspace";

// Elements of a unit.
export const DROPOUT_ELEMENTS: u32 = 1024;

function dropout_workspace(): u32 {
  return 8;
}

export function dropout(
  begin: u32, end: u32, x: Pointer<f32>, y: Pointer<f32>, count: u32, seeds: Pointer<u32>, site: u32, micro: u32, first: u32, p: f64,
): void {
  beginDropout(seeds, site, micro, first, p);
  const last = min(count, end * DROPOUT_ELEMENTS), eight = workspace();
  for (let i = begin * DROPOUT_ELEMENTS; i < last; i += 8) {
    const at = (i as usize) << 2, left = count - i;
    if (left >= 8) {
      v128.store(y + at, v128.load(x + at));
      v128.store(y + at, v128.load(x + at, 16), 16);
      drop8(y + at, i);
      continue;
    }
    const tail = left > 4 ? left - 4 : 0;
    v128.store(eight, loadPart(x + at, left));
    v128.store(eight, loadPart(x + at + 16, tail), 16);
    drop8(eight, i);
    storePart(y + at, v128.load(eight), left);
    storePart(y + at + 16, v128.load(eight, 16), tail);
  }
}
