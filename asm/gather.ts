// Rows picked out of others: y[r] = x[index[r]].

import { getU32, Pointer } from "./lib/memory";

// y[r] = x[index[r]], or 0 where that is 2³² − 1. A unit is a row.
export function gather(begin: u32, end: u32, x: Pointer<f32>, index: Pointer<u32>, y: Pointer<f32>, d: u32): void {
  const bytes = (d as usize) << 2;
  for (let row = begin; row < end; row++) {
    const from = getU32(index, row), to = y + (row as usize) * bytes;
    if (from == u32.MAX_VALUE) memory.fill(to, 0, bytes);
    else memory.copy(to, x + (from as usize) * bytes, bytes);
  }
}
