// Filling caches from keys and values of many positions at once: cache[h, s] = x[rows[h, s]].

import { getU32, Pointer } from "./lib/memory";

// Slot s of head h gets row rows[h, s] of its sequence in x, if that is below n. A unit is (sequence, head).
export function cache_fill(
  begin: u32, end: u32, x: Pointer<f32>, cache: Pointer<f32>, rows: Pointer<u32>, n: u32, sequences: u32, heads: u32, slots: u32,
  width: u32,
): void {
  const bytes = (width as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const head = unit % heads, first = (unit / heads % sequences) * n, to = cache + (unit as usize) * slots * bytes;
    for (let slot: u32 = 0; slot < slots; slot++) {
      const row = getU32(rows, head * slots + slot);
      if (row < n) memory.copy(to + (slot as usize) * bytes, x + (((first + row) as usize) * heads + head) * bytes, bytes);
    }
  }
}
