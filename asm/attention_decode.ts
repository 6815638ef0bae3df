// Eq. 3 for one new position over a cache: o = softmax(q·keysᵀ·scale)·values. A unit is (sequence, head).

import { getU32, loadPart, Pointer, setF32, storePart } from "./lib/memory";
import { dot, exp2, splat, sumLanes, up4 } from "./lib/math";
import { workspace } from "./workspace";

// o[0 … dv] = Σ p[i] · values[slots[i]], 32 columns at a time in registers: two lines of the cache of each row.
// @ts-ignore: decorator
@inline
function mix(o: usize, p: usize, values: usize, slots: usize, count: u32, dv: u32): void {
  const stride = (dv as usize) << 2;
  let c: u32 = 0;
  for (; c + 32 <= dv; c += 32) {
    const at = (c as usize) << 2;
    let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0), s4 = splat(0), s5 = splat(0), s6 = splat(0), s7 = splat(0);
    for (let i: u32 = 0; i < count; i++) {
      const from = values + (getU32(slots, i) as usize) * stride + at, x = v128.load32_splat(p + ((i as usize) << 2));
      s0 = f32x4.add(s0, f32x4.mul(x, v128.load(from)));
      s1 = f32x4.add(s1, f32x4.mul(x, v128.load(from, 16)));
      s2 = f32x4.add(s2, f32x4.mul(x, v128.load(from, 32)));
      s3 = f32x4.add(s3, f32x4.mul(x, v128.load(from, 48)));
      s4 = f32x4.add(s4, f32x4.mul(x, v128.load(from, 64)));
      s5 = f32x4.add(s5, f32x4.mul(x, v128.load(from, 80)));
      s6 = f32x4.add(s6, f32x4.mul(x, v128.load(from, 96)));
      s7 = f32x4.add(s7, f32x4.mul(x, v128.load(from, 112)));
    }
    v128.store(o + at, s0);
    v128.store(o + at, s1, 16);
    v128.store(o + at, s2, 32);
    v128.store(o + at, s3, 48);
    v128.store(o + at, s4, 64);
    v128.store(o + at, s5, 80);
    v128.store(o + at, s6, 96);
    v128.store(o + at, s7, 112);
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

function attention_decode_workspace(most: u32): u32 {
  return 2 * up4(most);
}

// `plan` is CachePlan.words (src/pattern/cache.ts), `most` the most keys of a position.
export function attention_decode(
  begin: u32, end: u32, q: Pointer<f32>, k: Pointer<f32>, v: Pointer<f32>, o: Pointer<f32>, keys: Pointer<f32>, values: Pointer<f32>,
  position: Pointer<u32>, plan: Pointer<u32>, heads: u32, slots: u32, dk: u32, dv: u32, most: u32, parts: u32,
): void {
  const scale = (1.4426950408889634 / sqrt(dk as f64)) as f32, scores = workspace(), list = scores + ((up4(most) as usize) << 2);
  const i = getU32(position, 0), stride = (dk as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const set = plan + (((unit % heads) * (1 + 3 * parts) as usize) << 2), here = getU32(plan, getU32(set, 0) + i) as usize;
    const cacheK = keys + ((unit as usize) * slots * dk << 2), cacheV = values + ((unit as usize) * slots * dv << 2);
    const query = q + ((unit as usize) * dk << 2), to = o + ((unit as usize) * dv << 2);
    memory.copy(cacheK + here * stride, k + ((unit as usize) * dk << 2), stride);
    memory.copy(cacheV + (here * dv << 2), v + ((unit as usize) * dv << 2), (dv as usize) << 2);
    let have: u32 = 0;
    for (let part: u32 = 0; part < parts; part++) {
      const lo = getU32(plan, getU32(set, 1 + 3 * part) + i), hi = getU32(plan, getU32(set, 2 + 3 * part) + i), at = getU32(set, 3 + 3 * part);
      memory.copy(list + ((have as usize) << 2), plan + (((at + lo) as usize) << 2), ((hi - lo) as usize) << 2);
      have += hi - lo;
    }
    const padded = up4(have);
    let top: f32 = -Infinity, sum = splat(0);
    for (let key: u32 = 0; key < have; key++) {
      const s = dot(query, cacheK + (getU32(list, key) as usize) * stride, dk) * scale;
      setF32(scores, key, s);
      top = max(top, s);
    }
    for (let key = have; key < padded; key++) setF32(scores, key, -Infinity);
    const shift = splat(top);
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
