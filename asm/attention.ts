// Sparse attention, o = softmax(q·kᵀ·scale over the set)·v, scale = 1/√d (Eq. 3), and its gradients, over tiles of queries × tiles of
// keys (src/pattern/layout.ts), with online softmax in base 2.
//
// A call is one part of one set, for the heads that share the set. Rows are packed into the workspace in the part's order,
// straight from where they lie, so that every inner product runs over contiguous panels (matmul.ts), and are worked on four at
// a time: a group of four rows visits only the columns that one of them attends to, rounded to panels of 8.

import { NO_KEYS } from "./lib/constants.gen";
import { getF32, getU32, loadPart, Optional, Pointer, setF32, setU32, storePart } from "./lib/memory";
import { exp2, log, maxLanes, splat, sumLanes, up8 } from "./lib/math";
import { tile4x8, transpose4, turn } from "./lib/matmul";
import { workspace } from "./workspace";

const LOG2E: f64 = 1.4426950408889634, LN2: f64 = 0.6931471805599453;

// The part and its shapes, set once per call.
let n: u32 = 0, m: u32 = 0, heads: u32 = 0, dk: u32 = 0, dv: u32 = 0, tileQ: u32 = 0, tileK: u32 = 0;
let queryRows: usize = 0, keyRows: usize = 0, keys: u32 = 0, lo: usize = 0, hi: usize = 0, starts: usize = 0, list: usize = 0;
let group: usize = 0, groupHeads: u32 = 0, first: bool = false, kvHeads: u32 = 0, alibi: usize = 0, spanned: bool = false;

/**
 * Sets the part that the next call of a kernel below works on. `group` lists the `groupHeads` heads of the set; `first` means
 * that no other part has written the outputs yet. Row maps are 0 where the order is that of the rows. `alibi` has a slope per head,
 * or is 0. Where `spanned`, lo and hi have the intervals of every sequence ({@link attention_spans}), and no tile is known to be full.
 */
// @ts-ignore: decorator
@inline
function setPart(
  aN: u32, aM: u32, aHeads: u32, aDk: u32, aDv: u32, aTileQ: u32, aTileK: u32, aQueryRows: usize, aKeyRows: usize, aKeys: u32,
  aLo: usize, aHi: usize, aStarts: usize, aList: usize, aGroup: usize, aGroupHeads: u32, aFirst: bool,
  aKvHeads: u32, aAlibi: usize, aSpanned: bool,
): void {
  n = aN;
  m = aM;
  heads = aHeads;
  dk = aDk;
  dv = aDv;
  tileQ = aTileQ;
  tileK = aTileK;
  queryRows = aQueryRows;
  keyRows = aKeyRows;
  keys = aKeys;
  lo = aLo;
  hi = aHi;
  starts = aStarts;
  list = aList;
  group = aGroup;
  groupHeads = aGroupHeads;
  first = aFirst;
  kvHeads = aKvHeads;
  alibi = aAlibi;
  spanned = aSpanned;
}

// @ts-ignore: decorator
@inline
function rowOf(map: usize, u: u32): u32 {
  return map ? getU32(map, u) : u;
}

// Address of head `head` of row u (in the order of `map`) of sequence b in a matrix [batch · tall, inRow · d].
// @ts-ignore: decorator
@inline
function headAt(matrix: usize, tall: u32, map: usize, b: u32, inRow: u32, head: u32, u: u32, d: u32): usize {
  return matrix + ((((b as usize) * tall + rowOf(map, u)) * inRow + head) * d << 2);
}

// Index of (b, head, row u) in lse and delta [batch, heads, n].
// @ts-ignore: decorator
@inline
function statAt(map: usize, b: u32, head: u32, u: u32): u32 {
  return (b * heads + head) * n + rowOf(map, u);
}

// Rows u0 … u0 + count − 1 of a head, times `scale`, as fours: four[row / 4][up8(d)][4]. Rows from `count` to the next multiple
// of 4 are 0, as are columns from d on.
function foursOfRows(matrix: usize, tall: u32, map: usize, b: u32, inRow: u32, head: u32, u0: u32, count: u32, d: u32, scale: f32, to: usize): void {
  for (let i: u32 = 0; i < count; i += 4) {
    turnRows(matrix, tall, map, b, inRow, head, u0 + i, count - i, d, scale, to, 16);
    to += (d as usize) << 4;
    to = clear(to, ((up8(d) - d) as usize) << 4);
  }
}

// The same rows as panels of Mᵀ: panel[row / 8][up8(d)][8]. Rows from `count` to the next multiple of 8 are 0.
function panelsOfRows(matrix: usize, tall: u32, map: usize, b: u32, inRow: u32, head: u32, u0: u32, count: u32, d: u32, scale: f32, to: usize): void {
  for (let i: u32 = 0; i < count; i += 8) {
    turnRows(matrix, tall, map, b, inRow, head, u0 + i, count - i, d, scale, to, 32);
    turnRows(matrix, tall, map, b, inRow, head, u0 + i + 4, count - min(count, i + 4), d, scale, to + 16, 32);
    to += (d as usize) << 5;
    to = clear(to, ((up8(d) - d) as usize) << 5);
  }
}

// The same rows as panels of M, `high` rows each: panel[column / 8][high][8]. Rows from `count` to the next multiple of 8 are 0.
function panelsOfColumns(
  matrix: usize, tall: u32, map: usize, b: u32, inRow: u32, head: u32, u0: u32, count: u32, d: u32, scale: f32, high: u32, to: usize,
): void {
  const stride = (high as usize) << 5, by = splat(scale);
  for (let i: u32 = 0, last = up8(count); i < last; i++) {
    const from = i < count ? headAt(matrix, tall, map, b, inRow, head, u0 + i, d) : zeros;
    for (let c: u32 = 0, at = to; c < d; c += 8) {
      const part = from + ((c as usize) << 2), left = d - c;
      v128.store(at, f32x4.mul(loadPart(part, left), by));
      v128.store(at, f32x4.mul(loadPart(part + 16, left > 4 ? left - 4 : 0), by), 16);
      at += stride;
    }
    to += 32;
  }
}

// Begins with sequence b: its intervals, where each has its own; returns where they begin, in bytes.
// @ts-ignore: decorator
@inline
function sequence(b: u32, aLo: usize, aHi: usize): usize {
  const at = spanned ? ((b as usize) * n) << 2 : 0;
  lo = aLo + at;
  hi = aHi + at;
  return at;
}

// What a score in base 2 loses per position of distance; 0 where there is no such bias.
// @ts-ignore: decorator
@inline
function slopeOf(head: u32): f32 {
  return alibi ? ((getF32(alibi, head) as f64) * LOG2E) as f32 : 0;
}

// Positions of `count` rows from u0 on, as floats; those after them up to a multiple of 8 are 0.
function positions(map: usize, u0: u32, count: u32, to: usize): void {
  for (let c: u32 = 0, last = up8(count); c < last; c++) setF32(to, c, c < count ? rowOf(map, u0 + c) as f32 : 0);
}

// Four rows of scores, which are those from u on, lose `slope` per position to each of the columns from … to at `places`.
function addBias(scores: usize, stride: usize, from: u32, to: u32, map: usize, u: u32, places: usize, slope: f32): void {
  const by = splat(slope);
  for (let r: u32 = 0; r < 4; r++) {
    const own = splat(rowOf(map, u + r) as f32);
    for (let c = from; c < to; c += 4) {
      const at = scores + ((c as usize) << 2), distance = f32x4.abs(f32x4.sub(own, v128.load(places + ((c as usize) << 2))));
      v128.store(at, f32x4.sub(v128.load(at), f32x4.mul(distance, by)));
    }
    scores += stride;
  }
}

// The first place from `low` on whose key is not before `key`, or `high`: keys of an interval ascend.
function firstKey(map: usize, key: u32, low: u32, high: u32): u32 {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rowOf(map, middle) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The intervals of keys that are left of lo and hi in the spans of each sequence, [batch, n] in the order of the part: a span of an interval
 * is an interval, as keys ascend in it. A unit is a query of a sequence.
 */
export function attention_spans(
  begin: u32, end: u32, spans: Pointer<u32>, n: u32, queryRows: Optional<u32>, keyRows: Optional<u32>, lo: Pointer<u32>, hi: Pointer<u32>,
  spanLo: Pointer<u32>, spanHi: Pointer<u32>,
): void {
  for (let unit = begin; unit < end; unit++) {
    const u = unit % n, at = (unit - u + rowOf(queryRows, u)) * 2, high = getU32(hi, u);
    const from = firstKey(keyRows, getU32(spans, at), getU32(lo, u), high);
    setU32(spanLo, unit, from);
    setU32(spanHi, unit, firstKey(keyRows, getU32(spans, at + 1), from, high));
  }
}

// A row of zeros, as long as a head's.
let zeros: usize = 0;

// d columns of four rows from u on, times `scale`, as rows of four numbers, `stride` bytes apart; only the first `have` rows exist.
// @ts-ignore: decorator
@inline
function turnRows(matrix: usize, tall: u32, map: usize, b: u32, inRow: u32, head: u32, u: u32, have: u32, d: u32, scale: f32, to: usize, stride: usize): void {
  const r0 = have > 0 ? headAt(matrix, tall, map, b, inRow, head, u, d) : zeros, r1 = have > 1 ? headAt(matrix, tall, map, b, inRow, head, u + 1, d) : zeros;
  const r2 = have > 2 ? headAt(matrix, tall, map, b, inRow, head, u + 2, d) : zeros, r3 = have > 3 ? headAt(matrix, tall, map, b, inRow, head, u + 3, d) : zeros;
  turn(r0, r1, r2, r3, d, to, stride, scale);
}

// Zeros from `at` on; returns where they end.
// @ts-ignore: decorator
@inline
function clear(at: usize, bytes: usize): usize {
  if (bytes) memory.fill(at, 0, bytes);
  return at + bytes;
}

// Rows u0 … u0 + count − 1 of a head, one after another, up8(d) numbers each.
function copyRows(matrix: usize, tall: u32, map: usize, b: u32, inRow: u32, head: u32, u0: u32, count: u32, d: u32, to: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    memory.copy(to, headAt(matrix, tall, map, b, inRow, head, u0 + i, d), (d as usize) << 2);
    to = clear(to + ((d as usize) << 2), ((up8(d) - d) as usize) << 2);
  }
}

// C[4][8·(last − start)] = four[wide][4] · panels start … last − 1; C's rows are `stride` bytes apart.
// @ts-ignore: decorator
@inline
function products(four: usize, wide: u32, panels: usize, start: u32, last: u32, c: usize, stride: usize): void {
  for (let p = start; p < last; p++) {
    tile4x8(four, panels + (p as usize) * wide * 32, wide, c + ((p as usize) << 5), stride, false);
  }
}

// C[4][wide] += four[from … to)[4] · panels[wide / 8][tall][8] from their row `from` on.
// @ts-ignore: decorator
@inline
function accumulate(four: usize, from: u32, to: u32, panels: usize, tall: u32, wide: u32, c: usize): void {
  const at = four + ((from as usize) << 4), row = (wide as usize) << 2;
  for (let p: u32 = 0; p < wide; p += 8) {
    tile4x8(at, panels + (p as usize) * tall * 4 + ((from as usize) << 5), to - from, c + ((p as usize) << 2), row, true);
  }
}

// The next free place of the workspace.
let top: usize = 0;

// @ts-ignore: decorator
@inline
function take(floats: u32): usize {
  const at = top;
  top += (floats as usize) << 2;
  return at;
}

// Begins the workspace of a call with the row of zeros.
// @ts-ignore: decorator
@inline
function takeZeros(): void {
  top = workspace();
  zeros = take(max(up8(dk), up8(dv)));
  memory.fill(zeros, 0, top - zeros);
}

// Where `value` stands in the interval of `count` places from `start` on.
// @ts-ignore: decorator
@inline
function place(value: u32, start: u32, count: u32): u32 {
  return value <= start ? 0 : min(value - start, count);
}

// Columns that the rows of a tile attend to, in the tile's own numbering: [low, high) of each row to `bounds`, of all as
// the result, low in the upper half. Full tiles have all `count` columns; rows past the last query have none.
function intervals(u0: u32, rows: u32, padded: u32, k0: u32, count: u32, masked: bool, bounds: usize): u32 {
  let low = count, high: u32 = 0;
  for (let i: u32 = 0; i < padded; i++) {
    let a: u32 = 0, b: u32 = 0;
    if (i < rows) {
      a = masked ? place(getU32(lo, u0 + i), k0, count) : 0;
      b = masked ? place(getU32(hi, u0 + i), k0, count) : count;
    }
    store<u16>(bounds + ((i as usize) << 2), a);
    store<u16>(bounds + ((i as usize) << 2), b, 2);
    if (a < b) {
      low = min(low, a);
      high = max(high, b);
    }
  }
  return low << 16 | high;
}

// The union of four rows' intervals, rounded out to panels, low in the upper half; 0 where all are empty.
// @ts-ignore: decorator
@inline
function groupInterval(bounds: usize): u32 {
  let low: u32 = 0xffff, high: u32 = 0;
  for (let i: usize = 0; i < 16; i += 4) {
    const a = load<u16>(bounds + i) as u32, b = load<u16>(bounds + i, 2) as u32;
    if (a < b) {
      low = min(low, a);
      high = max(high, b);
    }
  }
  return high == 0 ? 0 : (low & ~7) << 16 | up8(high);
}

// Writes −∞ into row[from … low) and row[high … to): the columns outside [low, high). From and to are multiples of 4, and whole
// vectors are written, because a vector that is read soon after a part of it was written waits for the cache.
// @ts-ignore: decorator
@inline
function maskRow(row: usize, from: u32, low: u32, high: u32, to: u32): void {
  for (let c = from; c < low; c += 4) maskFour(row, c, low, high);
  for (let c = high & ~3; c < to; c += 4) maskFour(row, c, low, high);
}

// @ts-ignore: decorator
@inline
function maskFour(row: usize, c: u32, low: u32, high: u32): void {
  const at = row + ((c as usize) << 2), column = i32x4.add(i32x4.splat(c), i32x4(0, 1, 2, 3));
  const inside = v128.and(i32x4.ge_s(column, i32x4.splat(low)), i32x4.lt_s(column, i32x4.splat(high)));
  v128.store(at, v128.bitselect(v128.load(at), splat(-Infinity), inside));
}

/**
 * Four rows of scores in columns [from, to) to a four of probabilities, updating each row's maximum, sum and output.
 * `stride` is the bytes between rows of scores.
 */
function softmaxGroup(scores: usize, stride: usize, from: u32, to: u32, bounds: usize, stats: usize, output: usize, wide: u32, four: usize): void {
  // A row without columns here is shifted by ∞: all its probabilities are 0.
  let shift0: f32 = Infinity, shift1: f32 = Infinity, shift2: f32 = Infinity, shift3: f32 = Infinity;
  for (let r: u32 = 0; r < 4; r++) {
    const low = load<u16>(bounds + (r << 2)) as u32, high = load<u16>(bounds + (r << 2), 2) as u32;
    if (low >= high) continue;
    const row = scores + (r as usize) * stride, end = row + ((to as usize) << 2), stat = stats + ((r as usize) << 3);
    maskRow(row, from, low, high, to);
    let largest = splat(-Infinity);
    for (let at = row + ((from as usize) << 2); at < end; at += 32) {
      largest = f32x4.pmax(largest, f32x4.pmax(v128.load(at, 16), v128.load(at)));
    }
    const before = load<f32>(stat), now = max(before, maxLanes(largest));
    if (before < now) {
      const fade = exp2(splat(before - now)), place = output + ((r * wide as usize) << 2);
      for (let at = place, last = place + ((wide as usize) << 2); at < last; at += 16) v128.store(at, f32x4.mul(v128.load(at), fade));
      store<f32>(stat, now);
      store<f32>(stat, load<f32>(stat, 4) * f32x4.extract_lane(fade, 0), 4);
    }
    if (r == 0) shift0 = now;
    else if (r == 1) shift1 = now;
    else if (r == 2) shift2 = now;
    else shift3 = now;
  }
  const s0 = splat(shift0), s1 = splat(shift1), s2 = splat(shift2), s3 = splat(shift3);
  let sum0 = splat(0), sum1 = splat(0), sum2 = splat(0), sum3 = splat(0);
  four += (from as usize) << 4;
  for (let at = scores + ((from as usize) << 2), end = scores + ((to as usize) << 2); at < end; at += 16) {
    const p0 = exp2(f32x4.sub(v128.load(at), s0)), p1 = exp2(f32x4.sub(v128.load(at + stride), s1));
    const p2 = exp2(f32x4.sub(v128.load(at + 2 * stride), s2)), p3 = exp2(f32x4.sub(v128.load(at + 3 * stride), s3));
    sum0 = f32x4.add(sum0, p0);
    sum1 = f32x4.add(sum1, p1);
    sum2 = f32x4.add(sum2, p2);
    sum3 = f32x4.add(sum3, p3);
    transpose4(p0, p1, p2, p3, four, 16);
    four += 64;
  }
  store<f32>(stats, load<f32>(stats, 4) + sumLanes(sum0), 4);
  store<f32>(stats, load<f32>(stats, 12) + sumLanes(sum1), 12);
  store<f32>(stats, load<f32>(stats, 20) + sumLanes(sum2), 20);
  store<f32>(stats, load<f32>(stats, 28) + sumLanes(sum3), 28);
}

// Floats of workspace that a kernel of this name takes, as everywhere below.
function attention_workspace(dk: u32, dv: u32, tileQ: u32, tileK: u32): u32 {
  return max(up8(dk), up8(dv)) + (tileQ + tileK) * (up8(dk) + up8(dv)) + 9 * tileK + 3 * tileQ;
}

/**
 * o and lse of the queries of a part. A unit is (query tile, sequence, head), later tiles first: where causal they have more
 * keys, and the last units to start should be the short ones.
 * Tiles are multiples of 8.
 */
export function attention(
  begin: u32, end: u32, q: Pointer<f32>, k: Pointer<f32>, v: Pointer<f32>, o: Pointer<f32>, lse: Pointer<f32>, batch: u32, n: u32, m: u32, heads: u32,
  dk: u32, dv: u32, tileQ: u32, tileK: u32, queryRows: Optional<u32>, keyRows: Optional<u32>, keys: u32, lo: Pointer<u32>,
  hi: Pointer<u32>, starts: Pointer<u32>, list: Pointer<u32>, group: Pointer<u32>, groupHeads: u32, first: bool,
  kvHeads: u32, alibi: Optional<u32>, spanned: bool,
): void {
  setPart(n, m, heads, dk, dv, tileQ, tileK, queryRows, keyRows, keys, lo, hi, starts, list, group, groupHeads, first, kvHeads, alibi, spanned);
  const wideK = up8(dk), wideV = up8(dv), pairs = batch * groupHeads, tiles = (n + tileQ - 1) / tileQ;
  takeZeros();
  const queries = take(tileQ * wideK), output = take(tileQ * wideV);
  const keyPanels = take(tileK * wideK), valuePanels = take(tileK * wideV), scores = take(4 * tileK), four = take(4 * tileK);
  const stats = take(2 * tileQ), bounds = take(tileQ), places = take(tileK), stride = (tileK as usize) << 2;
  const scale = (LOG2E / sqrt(dk as f64)) as f32;
  for (let unit = begin; unit < end; unit++) {
    const tile = tiles - 1 - unit / pairs, pair = unit % pairs, b = pair / groupHeads, head = getU32(group, pair % groupHeads);
    const kvHead = head * kvHeads / heads, slope = slopeOf(head);
    sequence(b, lo, hi);
    const u0 = tile * tileQ, rows = min(tileQ, n - u0), padded = (rows + 3) & ~3;
    const firstEntry = getU32(starts, tile), lastEntry = getU32(starts, tile + 1);
    if (!first && firstEntry == lastEntry) continue;
    foursOfRows(q, n, queryRows, b, heads, head, u0, rows, dk, scale, queries);
    memory.fill(output, 0, (padded * wideV as usize) << 2);
    if (!first) copyRows(o, n, queryRows, b, heads, head, u0, rows, dv, output);
    for (let i: u32 = 0; i < padded; i++) {
      const before: f32 = first || i >= rows ? NO_KEYS as f32 : getF32(lse, statAt(queryRows, b, head, u0 + i));
      const none = before == NO_KEYS as f32;
      setF32(stats, i * 2, none ? -Infinity : ((before as f64) * LOG2E) as f32);
      setF32(stats, i * 2 + 1, none ? 0 : 1);
    }
    for (let e = firstEntry; e < lastEntry; e++) {
      const entry = getU32(list, e), k0 = (entry >> 1) * tileK, count = min(tileK, keys - k0);
      const all = intervals(u0, rows, padded, k0, count, (entry & 1) != 0 || spanned, bounds);
      if ((all & 0xffff) == 0) continue;
      if (slope) positions(keyRows, k0, count, places);
      const from = (all >> 16) & ~7, have = (all & 0xffff) - from;
      panelsOfRows(k, m, keyRows, b, kvHeads, kvHead, k0 + from, have, dk, 1, keyPanels + ((from * wideK as usize) << 2));
      panelsOfColumns(v, m, keyRows, b, kvHeads, kvHead, k0 + from, have, dv, 1, tileK, valuePanels + ((from as usize) << 5));
      for (let i: u32 = 0; i < padded; i += 4) {
        const bound = bounds + ((i as usize) << 2), interval = groupInterval(bound);
        if (interval == 0) continue;
        const low = interval >> 16, high = interval & 0xffff, target = output + ((i * wideV as usize) << 2);
        products(queries + ((i * wideK as usize) << 2), wideK, keyPanels, low >> 3, high >> 3, scores, stride);
        if (slope) addBias(scores, stride, low, high, queryRows, u0 + i, places, slope);
        softmaxGroup(scores, stride, low, high, bound, stats + ((i as usize) << 3), target, wideV, four);
        accumulate(four, low, high, valuePanels, tileK, wideV, target);
      }
    }
    for (let i: u32 = 0; i < rows; i++) {
      const largest = getF32(stats, i * 2) as f64, sum = getF32(stats, i * 2 + 1);
      setF32(lse, statAt(queryRows, b, head, u0 + i), sum == 0 ? NO_KEYS as f32 : (largest * LN2 + log(sum as f64)) as f32);
      scatter(output + ((i * wideV as usize) << 2), headAt(o, n, queryRows, b, heads, head, u0 + i, dv), dv, sum == 0 ? 0 : 1 / sum, false);
    }
  }
}

// A row of d numbers times `factor` to its place, or added there.
// @ts-ignore: decorator
@inline
function scatter(from: usize, to: usize, d: u32, factor: f32, add: bool): void {
  const by = splat(factor);
  for (let c: u32 = 0; c < d; c += 4) {
    const at = (c as usize) << 2, left = d - c;
    let value = f32x4.mul(v128.load(from + at), by);
    if (add) value = f32x4.add(value, loadPart(to + at, left));
    storePart(to + at, value, left);
  }
}

// delta = rowsum(dO ∘ o) by head, summed in the order of tile4x8: then dO·v − delta of a query with one key is exactly 0.
// A unit is a row of o.
export function attention_delta(
  begin: u32, end: u32, o: Pointer<f32>, dO: Pointer<f32>, delta: Pointer<f32>, n: u32, heads: u32, dv: u32,
): void {
  for (let row = begin; row < end; row++) {
    for (let head: u32 = 0; head < heads; head++) {
      const at = ((row as usize) * heads + head) * dv << 2;
      let sum: f32 = 0;
      for (let c: u32 = 0; c < dv; c++) sum += getF32(o + at, c) * getF32(dO + at, c);
      setF32(delta, (row / n * heads + head) * n + row % n, sum);
    }
  }
}

// p (slope − delta) of one row's four columns, p = 2^(score − lse).
// @ts-ignore: decorator
@inline
function slope4(score: usize, slope: usize, shift: v128, level: v128): v128 {
  return f32x4.mul(exp2(f32x4.sub(v128.load(score), shift)), f32x4.sub(v128.load(slope), level));
}

// Four rows of scores and of dO·v in columns [from, to) to a four of gradients of the scores; stats are lse (base 2) and delta.
function slopesGroup(scores: usize, slopes: usize, stride: usize, from: u32, to: u32, bounds: usize, stats: usize, four: usize): void {
  for (let r: u32 = 0; r < 4; r++) {
    const low = load<u16>(bounds + (r << 2)) as u32, high = load<u16>(bounds + (r << 2), 2) as u32;
    maskRow(scores + (r as usize) * stride, from, min(low, to), max(high, from), to);
  }
  const shift0 = v128.load32_splat(stats), shift1 = v128.load32_splat(stats, 8), shift2 = v128.load32_splat(stats, 16);
  const shift3 = v128.load32_splat(stats, 24), level0 = v128.load32_splat(stats, 4), level1 = v128.load32_splat(stats, 12);
  const level2 = v128.load32_splat(stats, 20), level3 = v128.load32_splat(stats, 28);
  four += (from as usize) << 4;
  for (let c = from; c < to; c += 4) {
    const s = scores + ((c as usize) << 2), t = slopes + ((c as usize) << 2);
    transpose4(
      slope4(s, t, shift0, level0), slope4(s + stride, t + stride, shift1, level1),
      slope4(s + 2 * stride, t + 2 * stride, shift2, level2), slope4(s + 3 * stride, t + 3 * stride, shift3, level3), four, 16,
    );
    four += 64;
  }
}

function attention_backward_queries_workspace(dk: u32, dv: u32, tileQ: u32, tileK: u32): u32 {
  return max(up8(dk), up8(dv)) + (tileQ + tileK) * (2 * up8(dk) + up8(dv)) + 13 * tileK + 3 * tileQ;
}

/**
 * dq of the queries of a part: dq = scale · Σ p (dO·v − delta) k, p = 2^(score − lse). Units as for {@link attention}.
 */
export function attention_backward_queries(
  begin: u32, end: u32, q: Pointer<f32>, k: Pointer<f32>, v: Pointer<f32>, dO: Pointer<f32>, lse: Pointer<f32>, delta: Pointer<f32>,
  dQ: Pointer<f32>, batch: u32, n: u32, m: u32, heads: u32,
  dk: u32, dv: u32, tileQ: u32, tileK: u32, queryRows: Optional<u32>, keyRows: Optional<u32>, keys: u32, lo: Pointer<u32>,
  hi: Pointer<u32>, starts: Pointer<u32>, list: Pointer<u32>, group: Pointer<u32>, groupHeads: u32, first: bool,
  kvHeads: u32, alibi: Optional<u32>, spanned: bool,
): void {
  setPart(n, m, heads, dk, dv, tileQ, tileK, queryRows, keyRows, keys, lo, hi, starts, list, group, groupHeads, first, kvHeads, alibi, spanned);
  const wideK = up8(dk), wideV = up8(dv), pairs = batch * groupHeads, tiles = (n + tileQ - 1) / tileQ;
  takeZeros();
  const queries = take(tileQ * wideK), output = take(tileQ * wideK);
  const gradients = take(tileQ * wideV), keyPanels = take(tileK * wideK), keyColumns = take(tileK * wideK);
  const valuePanels = take(tileK * wideV), scores = take(4 * tileK), slopes = take(4 * tileK), four = take(4 * tileK);
  const stats = take(2 * tileQ), bounds = take(tileQ), places = take(tileK);
  const stride = (tileK as usize) << 2, scale = 1 / sqrt(dk as f64);
  for (let unit = begin; unit < end; unit++) {
    const tile = tiles - 1 - unit / pairs, pair = unit % pairs, b = pair / groupHeads, head = getU32(group, pair % groupHeads);
    const kvHead = head * kvHeads / heads, slope = slopeOf(head);
    sequence(b, lo, hi);
    const u0 = tile * tileQ, rows = min(tileQ, n - u0), padded = (rows + 3) & ~3;
    const firstEntry = getU32(starts, tile), lastEntry = getU32(starts, tile + 1);
    if (!first && firstEntry == lastEntry) continue;
    foursOfRows(q, n, queryRows, b, heads, head, u0, rows, dk, (scale * LOG2E) as f32, queries);
    foursOfRows(dO, n, queryRows, b, heads, head, u0, rows, dv, 1, gradients);
    memory.fill(output, 0, (padded * wideK as usize) << 2);
    for (let i: u32 = 0; i < padded; i++) {
      const at = i < rows ? statAt(queryRows, b, head, u0 + i) : 0;
      setF32(stats, i * 2, i < rows ? ((getF32(lse, at) as f64) * LOG2E) as f32 : 0);
      setF32(stats, i * 2 + 1, i < rows ? getF32(delta, at) : 0);
    }
    for (let e = firstEntry; e < lastEntry; e++) {
      const entry = getU32(list, e), k0 = (entry >> 1) * tileK, count = min(tileK, keys - k0);
      const all = intervals(u0, rows, padded, k0, count, (entry & 1) != 0 || spanned, bounds);
      if ((all & 0xffff) == 0) continue;
      if (slope) positions(keyRows, k0, count, places);
      const from = (all >> 16) & ~7, have = (all & 0xffff) - from;
      panelsOfRows(k, m, keyRows, b, kvHeads, kvHead, k0 + from, have, dk, 1, keyPanels + ((from * wideK as usize) << 2));
      panelsOfColumns(k, m, keyRows, b, kvHeads, kvHead, k0 + from, have, dk, 1, tileK, keyColumns + ((from as usize) << 5));
      panelsOfRows(v, m, keyRows, b, kvHeads, kvHead, k0 + from, have, dv, 1, valuePanels + ((from * wideV as usize) << 2));
      for (let i: u32 = 0; i < padded; i += 4) {
        const bound = bounds + ((i as usize) << 2), interval = groupInterval(bound);
        if (interval == 0) continue;
        const low = interval >> 16, high = interval & 0xffff;
        products(queries + ((i * wideK as usize) << 2), wideK, keyPanels, low >> 3, high >> 3, scores, stride);
        if (slope) addBias(scores, stride, low, high, queryRows, u0 + i, places, slope);
        products(gradients + ((i * wideV as usize) << 2), wideV, valuePanels, low >> 3, high >> 3, slopes, stride);
        slopesGroup(scores, slopes, stride, low, high, bound, stats + ((i as usize) << 3), four);
        accumulate(four, low, high, keyColumns, tileK, wideK, output + ((i * wideK as usize) << 2));
      }
    }
    for (let i: u32 = 0; i < rows; i++) {
      scatter(output + ((i * wideK as usize) << 2), headAt(dQ, n, queryRows, b, heads, head, u0 + i, dk), dk, scale as f32, !first);
    }
  }
}

// Whether the query at place u sees any of the `wide` keys from `key` on.
// @ts-ignore: decorator
@inline
function sees(u: u32, key: u32, wide: u32): bool {
  const from = getU32(lo, u), to = getU32(hi, u);
  return to > key && from < key + wide && from < to;
}

// Columns u (queries of the tile) that the `wide` keys from `key` on are attended by, rounded out to panels; low in the upper half.
// @ts-ignore: decorator
@inline
function queryInterval(key: u32, wide: u32, u0: u32, count: u32): u32 {
  let low: u32 = 0;
  while (low < count && !sees(u0 + low, key, wide)) low++;
  if (low == count) return 0;
  let high = count;
  while (!sees(u0 + high - 1, key, wide)) high--;
  return (low & ~7) << 16 | up8(high);
}

// p where key lies in [from, to), else 0.
// @ts-ignore: decorator
@inline
function within(p: v128, from: v128, to: v128, key: u32): v128 {
  const at = i32x4.splat(key);
  return v128.and(p, v128.and(i32x4.le_s(from, at), i32x4.gt_s(to, at)));
}

function attention_backward_keys_workspace(dk: u32, dv: u32, tileQ: u32, tileK: u32): u32 {
  return max(up8(dk), up8(dv)) + 2 * (tileQ + tileK) * (up8(dk) + up8(dv)) + 19 * tileQ;
}

/**
 * dk and dv of the keys of a part, by tiles of keys over tiles of queries: dv = Σ p dO, dk = Σ p (dO·v − delta) q · scale.
 * `starts` and `list` are those of the transpose. A unit is (key tile, sequence, head), earlier tiles first.
 */
export function attention_backward_keys(
  begin: u32, end: u32, q: Pointer<f32>, k: Pointer<f32>, v: Pointer<f32>, dO: Pointer<f32>, lse: Pointer<f32>, delta: Pointer<f32>,
  dK: Pointer<f32>, dV: Pointer<f32>, batch: u32, n: u32, m: u32, heads: u32,
  dk: u32, dv: u32, tileQ: u32, tileK: u32, queryRows: Optional<u32>, keyRows: Optional<u32>, keys: u32, lo: Pointer<u32>,
  hi: Pointer<u32>, starts: Pointer<u32>, list: Pointer<u32>, group: Pointer<u32>, groupHeads: u32, first: bool,
  kvHeads: u32, alibi: Optional<u32>, spanned: bool,
): void {
  setPart(n, m, heads, dk, dv, tileQ, tileK, queryRows, keyRows, keys, lo, hi, starts, list, group, groupHeads, first, kvHeads, alibi, spanned);
  const wideK = up8(dk), wideV = up8(dv), pairs = batch * groupHeads;
  takeZeros();
  const keyFours = take(tileK * wideK), keySums = take(tileK * wideK);
  const valueFours = take(tileK * wideV), valueSums = take(tileK * wideV), queryPanels = take(tileQ * wideK);
  const queryColumns = take(tileQ * wideK), gradientPanels = take(tileQ * wideV), gradientColumns = take(tileQ * wideV);
  const scores = take(4 * tileQ), slopes = take(4 * tileQ), four = take(4 * tileQ), slopeFour = take(4 * tileQ);
  const shifts = take(tileQ), levels = take(tileQ), places = take(tileQ), stride = (tileQ as usize) << 2;
  const scale = ((1 / sqrt(dk as f64)) * LOG2E) as f32;
  for (let unit = begin; unit < end; unit++) {
    const tile = unit / pairs, pair = unit % pairs, b = pair / groupHeads, head = getU32(group, pair % groupHeads);
    const kvHead = head * kvHeads / heads, slope = slopeOf(head);
    const own = sequence(b, lo, hi);
    const k0 = tile * tileK, rows = min(tileK, keys - k0), padded = (rows + 3) & ~3;
    const firstEntry = getU32(starts, tile), lastEntry = getU32(starts, tile + 1);
    if (!first && firstEntry == lastEntry) continue;
    foursOfRows(k, m, keyRows, b, kvHeads, kvHead, k0, rows, dk, 1, keyFours);
    foursOfRows(v, m, keyRows, b, kvHeads, kvHead, k0, rows, dv, 1, valueFours);
    memory.fill(keySums, 0, (padded * wideK as usize) << 2);
    memory.fill(valueSums, 0, (padded * wideV as usize) << 2);
    for (let e = firstEntry; e < lastEntry; e++) {
      const entry = getU32(list, e), masked = (entry & 1) != 0 || spanned, u0 = (entry >> 1) * tileQ, count = min(tileQ, n - u0), last = up8(count);
      if (spanned && queryInterval(k0, rows, u0, count) == 0) continue;
      if (slope) positions(queryRows, u0, count, places);
      panelsOfRows(q, n, queryRows, b, heads, head, u0, count, dk, scale, queryPanels);
      panelsOfColumns(q, n, queryRows, b, heads, head, u0, count, dk, scale, tileQ, queryColumns);
      panelsOfRows(dO, n, queryRows, b, heads, head, u0, count, dv, 1, gradientPanels);
      panelsOfColumns(dO, n, queryRows, b, heads, head, u0, count, dv, 1, tileQ, gradientColumns);
      for (let i: u32 = 0; i < last; i++) {
        const at = i < count ? statAt(queryRows, b, head, u0 + i) : 0;
        // Queries that do not exist get probability 0.
        setF32(shifts, i, i < count ? ((getF32(lse, at) as f64) * LOG2E) as f32 : Infinity);
        setF32(levels, i, i < count ? getF32(delta, at) : 0);
      }
      for (let i: u32 = 0; i < padded; i += 4) {
        const interval = masked ? queryInterval(k0 + i, 4, u0, count) : last;
        if (interval == 0) continue;
        const low = interval >> 16, high = interval & 0xffff;
        products(keyFours + ((i * wideK as usize) << 2), wideK, queryPanels, low >> 3, high >> 3, scores, stride);
        if (slope) addBias(scores, stride, low, high, keyRows, k0 + i, places, slope);
        products(valueFours + ((i * wideV as usize) << 2), wideV, gradientPanels, low >> 3, high >> 3, slopes, stride);
        for (let c = low; c < high; c += 4) {
          const s = scores + ((c as usize) << 2), t = slopes + ((c as usize) << 2);
          const shift = v128.load(shifts + ((c as usize) << 2)), level = v128.load(levels + ((c as usize) << 2));
          let p0 = exp2(f32x4.sub(v128.load(s), shift)), p1 = exp2(f32x4.sub(v128.load(s + stride), shift));
          let p2 = exp2(f32x4.sub(v128.load(s + 2 * stride), shift)), p3 = exp2(f32x4.sub(v128.load(s + 3 * stride), shift));
          if (masked) {
            // Past the last query the bounds are whatever follows them, but there p is 0 already.
            const at = own + (((u0 + c) as usize) << 2), from = v128.load(lo + at), to = v128.load(hi + at);
            p0 = within(p0, from, to, k0 + i);
            p1 = within(p1, from, to, k0 + i + 1);
            p2 = within(p2, from, to, k0 + i + 2);
            p3 = within(p3, from, to, k0 + i + 3);
          }
          const at = (c as usize) << 4;
          transpose4(p0, p1, p2, p3, four + at, 16);
          transpose4(
            f32x4.mul(p0, f32x4.sub(v128.load(t), level)), f32x4.mul(p1, f32x4.sub(v128.load(t + stride), level)),
            f32x4.mul(p2, f32x4.sub(v128.load(t + 2 * stride), level)), f32x4.mul(p3, f32x4.sub(v128.load(t + 3 * stride), level)),
            slopeFour + at, 16,
          );
        }
        accumulate(four, low, high, gradientColumns, tileQ, wideV, valueSums + ((i * wideV as usize) << 2));
        accumulate(slopeFour, low, high, queryColumns, tileQ, wideK, keySums + ((i * wideK as usize) << 2));
      }
    }
    for (let i: u32 = 0; i < rows; i++) {
      // Queries were packed times scale · log₂ e.
      scatter(keySums + ((i * wideK as usize) << 2), headAt(dK, m, keyRows, b, kvHeads, kvHead, k0 + i, dk), dk, LN2 as f32, !first);
      scatter(valueSums + ((i * wideV as usize) << 2), headAt(dV, m, keyRows, b, kvHeads, kvHead, k0 + i, dv), dv, 1, !first);
    }
  }
}
