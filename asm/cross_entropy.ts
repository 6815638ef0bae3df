// The loss, −ln of Eq. 1 by position, and its gradient: losses[r] = −ln softmax(logits[r])[targets[r]]; dLogits = (softmax − onehot)·scale.
// A unit is a row; dLogits may be logits itself.

import { getF32, getU32, loadPart, Optional, Pointer, setF32, storePart } from "./lib/memory";
import { exp, log, maxLanes, splat, sumLanes } from "./lib/math";

export function cross_entropy(
  begin: u32, end: u32, logits: Pointer<f32>, targets: Pointer<u32>, losses: Pointer<f32>, dLogits: Optional<f32>,
  lossScale: Optional<f32>, vocabulary: u32, meanScale: f32,
): void {
  const scale = lossScale ? meanScale * load<f32>(lossScale) : meanScale;
  const vectors = vocabulary & ~3, tail = vocabulary & 3;
  for (let row = begin; row < end; row++) {
    const from = logits + (row as usize) * vocabulary * 4, target = getU32(targets, row);
    if (target >= vocabulary) {
      // It counts for nothing.
      setF32(losses, row, 0);
      if (dLogits) memory.fill(dLogits + (row as usize) * vocabulary * 4, 0, (vocabulary as usize) << 2);
      continue;
    }
    const chosen = getF32(from, target);
    let top = splat(-Infinity);
    for (let c: u32 = 0; c < vectors; c += 4) top = f32x4.pmax(top, v128.load(from + ((c as usize) << 2)));
    let highest = maxLanes(top);
    for (let c = vectors; c < vocabulary; c++) highest = max(highest, getF32(from, c));
    const shift = splat(highest), to = dLogits ? dLogits + (row as usize) * vocabulary * 4 : 0;
    let sum = splat(0);
    for (let c: u32 = 0; c < vectors; c += 4) {
      const at = (c as usize) << 2, e = exp(f32x4.sub(v128.load(from + at), shift));
      sum = f32x4.add(sum, e);
      if (to) v128.store(to + at, e);
    }
    let total = sumLanes(sum);
    if (tail) {
      const at = (vectors as usize) << 2, e = exp(f32x4.sub(loadPart(from + at, tail), shift));
      total += f32x4.extract_lane(e, 0);
      if (tail > 1) total += f32x4.extract_lane(e, 1);
      if (tail > 2) total += f32x4.extract_lane(e, 2);
      if (to) storePart(to + at, e, tail);
    }
    setF32(losses, row, (log(total as f64) + ((highest - chosen) as f64)) as f32);
    if (!to) continue;
    const factor = splat(scale / total);
    for (let c: u32 = 0; c < vectors; c += 4) {
      const at = to + ((c as usize) << 2);
      v128.store(at, f32x4.mul(v128.load(at), factor));
    }
    for (let c = vectors; c < vocabulary; c++) setF32(to, c, getF32(to, c) * (scale / total));
    setF32(to, target, getF32(to, target) - scale);
  }
}
