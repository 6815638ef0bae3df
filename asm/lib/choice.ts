// The choice of blocks by score.

import { getF32, getU32, setF32, setU32 } from "./memory";

// Blocks that block j of queries chooses from: see src/pattern/routed.ts.
// @ts-ignore: decorator
@inline
export function offered(j: u32, block: u32, window: u32): u32 {
  const end = (j + 1) * block - 1;
  return end <= window ? 0 : min(j, (end - window + block - 1) / block);
}

// The `top` largest of `count` scores, of equal ones the first, ascending; 2³² − 1 after the last. Scores that are chosen are lost.
export function choose(scores: usize, count: u32, top: u32, choice: usize): void {
  for (let r: u32 = 0; r < top; r++) {
    let best: u32 = u32.MAX_VALUE, most: f32 = -Infinity;
    for (let k: u32 = 0; k < count; k++) {
      const score = getF32(scores, k);
      if (score > most) {
        most = score;
        best = k;
      }
    }
    if (best != u32.MAX_VALUE) setF32(scores, best, -Infinity);
    // Into the places of larger ones.
    let at = r;
    while (at > 0 && getU32(choice, at - 1) > best) {
      setU32(choice, at, getU32(choice, at - 1));
      at--;
    }
    setU32(choice, at, best);
  }
}
