// Adam with decoupled decay (arXiv:1711.05101, algorithm 2): p ← p − lr·(m̂/(√v̂ + ε) + wd·p), nothing at all where factor is 0. A unit
// is a chunk: table entry (p, g, m, v addresses, elements, whether it decays).

import { getU32, loadPart, Pointer, storePart } from "./lib/memory";
import { splat } from "./lib/math";

export function adam(
  begin: u32, end: u32, table: Pointer<u32>, factor: Pointer<f32>, hyper: Pointer<f32>, beta1: f64, beta2: f64, eps: f32,
  weightDecay: f32,
): void {
  const scale = load<f32>(factor);
  if (scale == 0) return;
  const rate = splat(load<f32>(hyper)), correct1 = splat(load<f32>(hyper, 4)), correct2 = splat(load<f32>(hyper, 8));
  const b1 = splat(beta1 as f32), b2 = splat(beta2 as f32), a1 = splat((1 - beta1) as f32), a2 = splat((1 - beta2) as f32);
  for (let unit = begin; unit < end; unit++) {
    const entry = unit * 6;
    const p = getU32(table, entry) as usize, g = getU32(table, entry + 1) as usize, m = getU32(table, entry + 2) as usize;
    const v = getU32(table, entry + 3) as usize, count = getU32(table, entry + 4);
    const decay = splat(getU32(table, entry + 5) ? weightDecay : 0);
    for (let i: u32 = 0; i < count; i += 4) {
      const at = (i as usize) << 2, left = count - i;
      const gradient = f32x4.mul(loadPart(g + at, left), splat(scale)), value = loadPart(p + at, left);
      const first = f32x4.add(f32x4.mul(b1, loadPart(m + at, left)), f32x4.mul(a1, gradient));
      const second = f32x4.add(f32x4.mul(b2, loadPart(v + at, left)), f32x4.mul(a2, f32x4.mul(gradient, gradient)));
      storePart(m + at, first, left);
      storePart(v + at, second, left);
      const root = f32x4.add(f32x4.sqrt(f32x4.mul(second, correct2)), splat(eps));
      const change = f32x4.add(f32x4.div(f32x4.mul(first, correct1), root), f32x4.mul(decay, value));
      storePart(p + at, f32x4.sub(value, f32x4.mul(rate, change)), left);
    }
  }
}
