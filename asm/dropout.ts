// y = x masked and scaled. A unit is 1,024 elements.

import { loadPart, storePart } from "./memory";
import { beginDropout, drop8 } from "./random";
import { workspace } from "./workspace";

export function dropout(
  begin: u32, end: u32, x: usize, y: usize, count: u32, seeds: usize, site: u32, micro: u32, p: f64,
): void {
  beginDropout(seeds, site, micro, p);
  const last = min(count, end << 10), eight = workspace();
  for (let i = begin << 10; i < last; i += 8) {
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
