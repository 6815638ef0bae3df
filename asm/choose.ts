// The token of a position, drawn from softmax(logits / temperature) within topK, topP and minP, tokens that were there made less likely.

import { getF32, getU32, Pointer, setF32, setU32 } from "./lib/memory";
import { exp, splat, up4 } from "./lib/math";
import { threefry } from "./lib/random";
import { words, workspace } from "./workspace";

// Whether token a goes before token b: larger logit, then lower number.
// @ts-ignore: decorator
@inline
function before(logits: usize, a: u32, b: u32): bool {
  const x = getF32(logits, a), y = getF32(logits, b);
  return x > y || (x == y && a < b);
}

// Puts the token at `at` of a heap of `count` where it belongs; the first of all is on top.
function sink(heap: usize, at: u32, count: u32, logits: usize): void {
  const token = getU32(heap, at);
  for (let child: u32 = (at << 1) + 1; child < count; child = (at << 1) + 1) {
    if (child + 1 < count && before(logits, getU32(heap, child + 1), getU32(heap, child))) child++;
    const other = getU32(heap, child);
    if (before(logits, token, other)) break;
    setU32(heap, at, other);
    at = child;
  }
  setU32(heap, at, token);
}

// Takes the first of all from the heap to the place behind it. The whole is then in order from its end.
// @ts-ignore: decorator
@inline
function take(heap: usize, count: u32, logits: usize): u32 {
  const token = getU32(heap, 0);
  setU32(heap, 0, getU32(heap, count - 1));
  setU32(heap, count - 1, token);
  if (count > 1) sink(heap, 0, count - 1, logits);
  return token;
}

// Only as many tokens are brought into order as the choice needs: all of topK and topP, or those before the chosen one.
function draw(logits: usize, vocabulary: u32, temperature: f32, topK: u32, topP: f64, minP: f32, uniform: f64): u32 {
  let best: u32 = 0;
  for (let token: u32 = 1; token < vocabulary; token++) if (getF32(logits, token) > getF32(logits, best)) best = token;
  if (temperature == 0) return best;
  const weights = workspace(), heap = weights + ((up4(vocabulary) as usize) << 2), top = getF32(logits, best);
  let all: f64 = 0;
  for (let token: u32 = 0; token < vocabulary; token++) {
    setU32(heap, token, token);
    setF32(weights, token, f32x4.extract_lane(exp(splat((getF32(logits, token) - top) / temperature)), 0));
    all += getF32(weights, token) as f64;
  }
  for (let at = vocabulary >> 1; at > 0; at--) sink(heap, at - 1, vocabulary, logits);
  const most = topK > 0 ? min(topK, vocabulary) : vocabulary;
  let reach: f64 = all, count: u32 = most, left = vocabulary;
  if (most < vocabulary || topP < 1 || minP > 0) {
    if (most < vocabulary) {
      all = 0;
      for (let at: u32 = 0; at < most; at++) all += getF32(weights, take(heap, left--, logits)) as f64;
    }
    reach = 0;
    count = 0;
    while (count < most && (count == 0 || reach < topP * all)) {
      if (vocabulary - count <= left) take(heap, left--, logits);
      const weight = getF32(weights, getU32(heap, vocabulary - 1 - count));
      if (count > 0 && weight < minP) break;
      reach += weight as f64;
      count++;
    }
  }
  let rest = uniform * reach, token = best;
  for (let at: u32 = 0; at < count && rest >= 0; at++) {
    if (vocabulary - at <= left) take(heap, left--, logits);
    token = getU32(heap, vocabulary - 1 - at);
    rest -= getF32(weights, token) as f64;
  }
  return token;
}

// Logits with those of the tokens at positions before i made less likely, in a place of their own.
function penalise(logits: usize, vocabulary: u32, tape: usize, batch: u32, i: u32, penalty: f32): usize {
  const less = workspace() + ((up4(vocabulary) as usize) << 3);
  memory.copy(less, logits, (vocabulary as usize) << 2);
  for (let at: u32 = 0; at < i; at++) {
    const token = getU32(tape, at * batch), logit = getF32(logits, token);
    setF32(less, token, logit > 0 ? logit / penalty : logit * penalty);
  }
  return less;
}

function choose_workspace(vocabulary: u32): u32 {
  return 3 * up4(vocabulary);
}

// A unit is a sequence.
export function choose(
  begin: u32, end: u32, logits: Pointer<f32>, tape: Pointer<u32>, position: Pointer<u32>, given: Pointer<u32>, choice: Pointer<f32>,
  seeds: Pointer<u32>, batch: u32, vocabulary: u32, stream: u32,
): void {
  const i = getU32(position, 0), drawn = words();
  if (i < getU32(given, 0)) return;
  for (let unit = begin; unit < end; unit++) {
    threefry(getU32(seeds, 0), stream + unit, i, getU32(seeds, 1), drawn);
    const uniform = (getU32(drawn, 0) as f64) / 4294967296, penalty = getF32(choice, 4);
    let row: usize = logits + (((unit * vocabulary) as usize) << 2);
    if (penalty != 1) row = penalise(row, vocabulary, tape + ((unit as usize) << 2), batch, i, penalty);
    const token = draw(row, vocabulary, getF32(choice, 0), getF32(choice, 1) as u32, getF32(choice, 2) as f64, getF32(choice, 3), uniform);
    setU32(tape, i * batch + unit, token);
  }
}

// position += 1, once every sequence has chosen.
export function choose_advance(begin: u32, end: u32, position: Pointer<u32>): void {
  setU32(position, 0, getU32(position, 0) + (end - begin));
}
