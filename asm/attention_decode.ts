// Attention of one new position over a cache. A unit is (sequence, head).

import { getF32, getU32, loadPart, setF32, setU32, storePart } from "./memory";
import { dot4, exp2, maxLanes, splat, sumLanes } from "./math";
import { workspace } from "./workspace";

// o[0 … dv] = Σ p[i] · values[slots[i]], 16 columns at a time in registers.
// @ts-ignore: decorator
@inline
function mix(o: usize, p: usize, values: usize, slots: usize, count: u32, dv: u32): void {
  const stride = (dv as usize) << 2;
  let c: u32 = 0;
  for (; c + 16 <= dv; c += 16) {
    const at = (c as usize) << 2;
    let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
    for (let i: u32 = 0; i < count; i++) {
      const from = values + (getU32(slots, i) as usize) * stride + at, x = v128.load32_splat(p + ((i as usize) << 2));
      s0 = f32x4.add(s0, f32x4.mul(x, v128.load(from)));
      s1 = f32x4.add(s1, f32x4.mul(x, v128.load(from, 16)));
      s2 = f32x4.add(s2, f32x4.mul(x, v128.load(from, 32)));
      s3 = f32x4.add(s3, f32x4.mul(x, v128.load(from, 48)));
    }
    v128.store(o + at, s0);
    v128.store(o + at, s1, 16);
    v128.store(o + at, s2, 32);
    v128.store(o + at, s3, 48);
  }
  for (; c < dv; c += 4) {
    const at = (c as usize) << 2, left = dv - c;
    let sum = splat(0);
    for (let i: u32 = 0; i < count; i++) {
      const from = values + (getU32(slots, i) as usize) * stride + at;
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(p + ((i as usize) << 2)), loadPart(from, left)));
    }
    storePart(o + at, sum, left);
  }
}

// `plan` is CachePlan.words (src/cache.ts). Workspace, in floats: twice the most keys of a position, rounded up to 4.
export function attention_decode(
  begin: u32, end: u32, q: usize, k: usize, v: usize, o: usize, keys: usize, values: usize, position: usize, plan: usize,
  heads: u32, slots: u32, dk: u32, dv: u32, most: u32,
): void {
  const scale = (1.4426950408889634 / sqrt(dk as f64)) as f32, scores = workspace(), list = scores + ((((most + 3) & ~3) as usize) << 2);
  const i = getU32(position, 0), stride = (dk as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const set = plan + ((getU32(plan, unit % heads) as usize) << 2), parts = getU32(set, 0);
    const here = getU32(plan, getU32(set, 1) + i) as usize;
    const cacheK = keys + ((unit as usize) * slots * dk << 2), cacheV = values + ((unit as usize) * slots * dv << 2);
    const query = q + ((unit as usize) * dk << 2), to = o + ((unit as usize) * dv << 2);
    memory.copy(cacheK + here * stride, k + ((unit as usize) * dk << 2), stride);
    memory.copy(cacheV + (here * dv << 2), v + ((unit as usize) * dv << 2), (dv as usize) << 2);
    let have: u32 = 0;
    for (let part: u32 = 0; part < parts; part++) {
      const lo = getU32(plan, getU32(set, 2 + 3 * part) + i), hi = getU32(plan, getU32(set, 3 + 3 * part) + i), at = getU32(set, 4 + 3 * part);
      memory.copy(list + ((have as usize) << 2), plan + (((at + lo) as usize) << 2), ((hi - lo) as usize) << 2);
      have += hi - lo;
    }
    const padded = (have + 3) & ~3;
    for (let key = have; key < padded; key++) setU32(list, key, here as u32);
    let top = splat(-Infinity), sum = splat(0);
    for (let key: u32 = 0; key < padded; key += 4) {
      const w0 = cacheK + (getU32(list, key) as usize) * stride, w1 = cacheK + (getU32(list, key + 1) as usize) * stride;
      const w2 = cacheK + (getU32(list, key + 2) as usize) * stride, w3 = cacheK + (getU32(list, key + 3) as usize) * stride;
      const s = f32x4.mul(dot4(query, w0, w1, w2, w3, dk), splat(scale));
      v128.store(scores + ((key as usize) << 2), s);
      // What pads repeats the position's own key, which is in its set: the maximum is the same.
      top = f32x4.pmax(top, s);
    }
    for (let key = have; key < padded; key++) setF32(scores, key, -Infinity);
    const shift = splat(maxLanes(top));
    for (let key: u32 = 0; key < padded; key += 4) {
      const at = scores + ((key as usize) << 2), p = exp2(f32x4.sub(v128.load(at), shift));
      sum = f32x4.add(sum, p);
      v128.store(at, p);
    }
    const factor = splat((1 as f32) / sumLanes(sum));
    for (let key: u32 = 0; key < padded; key += 4) {
      const at = scores + ((key as usize) << 2);
      v128.store(at, f32x4.mul(v128.load(at), factor));
    }
    mix(to, scores, cacheV, list, have, dv);
  }
}
