// Routed attention of one decoded position, o = Σ σ(gate)·softmax(q·keysᵀ·scale)·values over its branches (Eq. 3 in each). A unit is (sequence,
// head).

import { choose, offered } from "./lib/choice";
import { dot, exp, splat } from "./lib/math";
import { getF32, getU32, loadPart, Pointer, setF32, storePart } from "./lib/memory";
import { sigmoid } from "./mix";
import { workspace } from "./workspace";

function routed_decode_workspace(slots: u32): u32 {
  return slots;
}

// Scores of `count` slots from `first` on, to `scores`.
// @ts-ignore: decorator
@inline
function scoreSlots(q: usize, keys: usize, first: u32, count: u32, d: u32, scores: usize, scale: f32): void {
  for (let t: u32 = 0; t < count; t++) setF32(scores, t, scale * dot(q, keys + ((((first + t) * d) as usize) << 2), d));
}

// Scores become weights, whose sum is `gate`.
function weigh(scores: usize, count: u32, gate: f32): void {
  let most: f32 = -Infinity, sum: f32 = 0;
  for (let t: u32 = 0; t < count; t++) most = max(most, getF32(scores, t));
  for (let t: u32 = 0; t < count; t++) {
    const weight = f32x4.extract_lane(exp(splat(getF32(scores, t) - most)), 0);
    setF32(scores, t, weight);
    sum += weight;
  }
  for (let t: u32 = 0; t < count; t++) setF32(scores, t, getF32(scores, t) * gate / sum);
}

// o += Σ weight · value
// @ts-ignore: decorator
@inline
function addValues(o: usize, values: usize, first: u32, count: u32, dv: u32, weights: usize): void {
  for (let t: u32 = 0; t < count; t++) {
    const from = values + ((((first + t) * dv) as usize) << 2), by = v128.load32_splat(weights + ((t as usize) << 2));
    for (let c: u32 = 0; c < dv; c += 4) {
      const at = (c as usize) << 2, left = dv - c;
      storePart(o + at, f32x4.add(loadPart(o + at, left), f32x4.mul(by, loadPart(from + at, left))), left);
    }
  }
}

// The mean of `count` slots from `first` on, to slot `to`.
function summarise(cache: usize, first: u32, count: u32, to: u32, d: u32): void {
  const mean = cache + ((to * d as usize) << 2);
  memory.fill(mean, 0, (d as usize) << 2);
  for (let t: u32 = 0; t < count; t++) {
    for (let c: u32 = 0; c < d; c++) setF32(mean, c, getF32(mean, c) + getF32(cache, (first + t) * d + c) / (count as f32));
  }
}

export function routed_decode(
  begin: u32, end: u32, q: Pointer<f32>, k: Pointer<f32>, v: Pointer<f32>, gates: Pointer<f32>, o: Pointer<f32>, keys: Pointer<f32>,
  values: Pointer<f32>, choice: Pointer<u32>, position: Pointer<u32>, heads: u32, slots: u32, blocks: u32, top: u32, dk: u32, dv: u32, block: u32,
  window: u32, branches: u32,
): void {
  const i = getU32(position, 0), j = i / block, n = slots - blocks, scores = workspace(), scale = (1 / sqrt(dk as f64)) as f32;
  const wideK = (dk as usize) << 2, wideV = (dv as usize) << 2;
  for (let unit = begin; unit < end; unit++) {
    const query = q + (unit as usize) * wideK, output = o + (unit as usize) * wideV, chosen = choice + (((unit * blocks + j) * top as usize) << 2);
    const keyCache = keys + (unit * slots as usize) * wideK, valueCache = values + (unit * slots as usize) * wideV;
    const gate = gates + ((unit / heads * branches * heads + unit % heads as usize) << 2);
    memory.copy(keyCache + (i as usize) * wideK, k + (unit as usize) * wideK, wideK);
    memory.copy(valueCache + (i as usize) * wideV, v + (unit as usize) * wideV, wideV);
    if (i % block == 0) {
      const count = offered(j, block, window);
      scoreSlots(query, keyCache, n, count, dk, scores, 1);
      choose(scores, count, top, chosen);
    }
    memory.fill(output, 0, wideV);
    const first = i - min(i, window);
    scoreSlots(query, keyCache, first, i + 1 - first, dk, scores, scale);
    weigh(scores, i + 1 - first, sigmoid(getF32(gate, 0)));
    addValues(output, valueCache, first, i + 1 - first, dv, scores);
    let count: u32 = 0;
    while (count < top && getU32(chosen, count) != u32.MAX_VALUE) {
      scoreSlots(query, keyCache, getU32(chosen, count) * block, block, dk, scores + ((count * block as usize) << 2), scale);
      count++;
    }
    weigh(scores, count * block, sigmoid(getF32(gate, heads)));
    for (let r: u32 = 0; r < count; r++) {
      addValues(output, valueCache, getU32(chosen, r) * block, block, dv, scores + ((r * block as usize) << 2));
    }
    if (branches == 3) {
      scoreSlots(query, keyCache, n, j, dk, scores, scale);
      weigh(scores, j, sigmoid(getF32(gate, 2 * heads)));
      addValues(output, valueCache, n, j, dv, scores);
    }
    if ((i + 1) % block == 0) {
      summarise(keyCache, j * block, block, n + j, dk);
      summarise(valueCache, j * block, block, n + j, dv);
    }
  }
}
