// Attention of one new position over a cache. A unit is (sequence, head).

import { getF32, getU32, loadPart, setF32, storePart } from "./memory";
import { exp2, maxLanes, splat, sumLanes } from "./math";
import { workspace } from "./workspace";

// Workspace, in floats: slots rounded up to 4.
export function attention_decode(
  begin: u32, end: u32, q: usize, k: usize, v: usize, o: usize, keys: usize, values: usize, slot: usize, index: usize, count: usize,
  heads: u32, slots: u32, dk: u32, dv: u32,
): void {
  const scale = (1.4426950408889634 / sqrt(dk as f64)) as f32, scores = workspace();
  for (let unit = begin; unit < end; unit++) {
    const head = unit % heads, have = getU32(count, head), list = index + ((head * slots as usize) << 2);
    const cacheK = keys + ((unit as usize) * slots * dk << 2), cacheV = values + ((unit as usize) * slots * dv << 2);
    const query = q + ((unit as usize) * dk << 2), to = o + ((unit as usize) * dv << 2), here = getU32(slot, head) as usize;
    memory.copy(cacheK + (here * dk << 2), k + ((unit as usize) * dk << 2), (dk as usize) << 2);
    memory.copy(cacheV + (here * dv << 2), v + ((unit as usize) * dv << 2), (dv as usize) << 2);
    for (let i: u32 = 0; i < have; i++) {
      const key = cacheK + ((getU32(list, i) as usize) * dk << 2);
      let sum = splat(0);
      for (let c: u32 = 0; c < dk; c += 4) {
        const at = (c as usize) << 2, left = dk - c;
        sum = f32x4.add(sum, f32x4.mul(loadPart(query + at, left), loadPart(key + at, left)));
      }
      setF32(scores, i, sumLanes(sum) * scale);
    }
    const padded = (have + 3) & ~3;
    for (let i = have; i < padded; i++) setF32(scores, i, -Infinity);
    let top = splat(-Infinity), sum = splat(0);
    for (let i: u32 = 0; i < padded; i += 4) top = f32x4.pmax(top, v128.load(scores + ((i as usize) << 2)));
    const shift = splat(maxLanes(top));
    for (let i: u32 = 0; i < padded; i += 4) {
      const p = exp2(f32x4.sub(v128.load(scores + ((i as usize) << 2)), shift));
      sum = f32x4.add(sum, p);
      v128.store(scores + ((i as usize) << 2), p);
    }
    const factor = (1 as f32) / sumLanes(sum);
    memory.fill(to, 0, (dv as usize) << 2);
    for (let i: u32 = 0; i < have; i++) {
      const value = cacheV + ((getU32(list, i) as usize) * dv << 2), p = splat(getF32(scores, i) * factor);
      for (let c: u32 = 0; c < dv; c += 4) {
        const at = (c as usize) << 2, left = dv - c;
        storePart(to + at, f32x4.add(loadPart(to + at, left), f32x4.mul(p, loadPart(value + at, left))), left);
      }
    }
  }
}
