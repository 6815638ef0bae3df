// Layouts: the order of rows, the interval of keys of each query, and the tile lists made from them.
// The meaning of each kind is in src/pattern/sets.ts (Rows, Span); src/pattern/layout.ts calls these in that order.

import { getU32, setU32 } from "./lib/memory";

// Rows by residue mod l: 0, l, 2l, …, 1, l + 1, …
export function residueRows(n: u32, l: u32, rows: usize): void {
  let at: u32 = 0;
  for (let s: u32 = 0; s < min(l, n); s++) {
    for (let row = s; row < n; row += l) setU32(rows, at++, row);
  }
}

// Rows j with j mod l in [from, to). Returns how many.
export function columnRows(n: u32, l: u32, from: u32, to: u32, rows: usize): u32 {
  let at: u32 = 0;
  for (let start: u32 = 0; start < n; start += l) {
    const end = min(n, start + to);
    for (let row = start + from; row < end; row++) setU32(rows, at++, row);
  }
  return at;
}

// Columns below row x.
// @ts-ignore: decorator
@inline
function columnsBelow(x: u32, l: u32, from: u32, to: u32): u32 {
  const inside = x % l;
  return x / l * (to - from) + (inside <= from ? 0 : min(inside, to) - from);
}

// Keys u − back … u + ahead.
export function windowSpans(n: u32, back: u32, ahead: u32, lo: usize, hi: usize): void {
  for (let u: u32 = 0; u < n; u++) {
    setU32(lo, u, u > back ? u - back : 0);
    setU32(hi, u, min(n as u64, (u as u64) + ahead + 1) as u32);
  }
}

// Keys of u's segment of l, up to u where causal.
export function segmentSpans(n: u32, l: u32, causal: u32, lo: usize, hi: usize): void {
  for (let u: u32 = 0; u < n; u++) {
    const start = u / l * l;
    setU32(lo, u, start);
    setU32(hi, u, causal ? u + 1 : min(n as u64, (start as u64) + l) as u32);
  }
}

// Queries and keys by residue: of the class of u those `gap` or more before it (−1), after it (1), or on either side (0), up to `reach`.
export function residueSpans(n: u32, l: u32, side: i32, gap: u32, reach: u32, lo: usize, hi: usize): void {
  let start: u32 = 0;
  for (let s: u32 = 0; s < min(l, n); s++) {
    const end = start + (n - s + l - 1) / l;
    for (let u = start; u < end; u++) {
      const first = u - start > reach ? u - reach : start, last = end - u > reach ? u + reach + 1 : end;
      let a = first, b = last;
      if (side < 0) b = u + 1 > start + gap ? u + 1 - gap : start;
      if (side > 0) a = min(end, u + gap);
      setU32(lo, u, a);
      setU32(hi, u, max(a, b));
    }
    start = end;
  }
}

// Columns of windows before u's own (−1), after it (1), at or before u itself (2), or all (0).
export function summarySpans(n: u32, l: u32, from: u32, to: u32, side: i32, lo: usize, hi: usize): void {
  const all = columnsBelow(n, l, from, to);
  for (let u: u32 = 0; u < n; u++) {
    const start = u / l * l;
    let a: u32 = 0, b = all;
    if (side == -1) b = columnsBelow(start, l, from, to);
    else if (side == 1) a = columnsBelow(min(n as u64, (start as u64) + l) as u32, l, from, to);
    else if (side == 2) b = columnsBelow(u + 1, l, from, to);
    setU32(lo, u, a);
    setU32(hi, u, b);
  }
}

// u alone, only where it is not a column.
export function selfSpans(n: u32, l: u32, from: u32, to: u32, lo: usize, hi: usize): void {
  for (let u: u32 = 0; u < n; u++) {
    const inside = u % l;
    setU32(lo, u, u);
    setU32(hi, u, inside >= from && inside < to ? u : u + 1);
  }
}

// Pairs in all: Σ hi − lo.
export function countPairs(n: u32, lo: usize, hi: usize): f64 {
  let pairs: f64 = 0;
  for (let u: u32 = 0; u < n; u++) pairs += (getU32(hi, u) - getU32(lo, u)) as f64;
  return pairs;
}

// 0: no pair in these rows and keys; 1: some; 2: all.
// @ts-ignore: decorator
@inline
function coverage(row: u32, rowEnd: u32, key: u32, keyEnd: u32, lo: usize, hi: usize): u32 {
  let some = false, all = true;
  for (let u = row; u < rowEnd; u++) {
    const a = getU32(lo, u), b = getU32(hi, u);
    if (a < keyEnd && b > key && a < b) some = true;
    if (a > key || b < keyEnd) all = false;
    if (some && !all) return 1;
  }
  return some ? 2 : 0;
}

/**
 * Forward tile lists. `starts` has a place for every query tile and one more. With list 0 it only counts, so that the
 * caller can make room; then it is called again to fill.
 * Returns the number of entries, or 2³⁰ as soon as there are that many: 4 GiB of them never fit.
 */
export function forwardTiles(n: u32, keys: u32, tileQ: u32, tileK: u32, lo: usize, hi: usize, starts: usize, list: usize): u32 {
  let at: u32 = 0, tile: u32 = 0;
  for (let row: u32 = 0; row < n; row += tileQ, tile++) {
    setU32(starts, tile, at);
    const rowEnd = min(n, row + tileQ);
    // Keys of any query, low … high; keys of every query, commonLow … commonHigh.
    let low: u32 = keys, high: u32 = 0, commonLow: u32 = 0, commonHigh: u32 = keys;
    for (let u = row; u < rowEnd; u++) {
      const a = getU32(lo, u), b = getU32(hi, u);
      commonLow = max(commonLow, a);
      commonHigh = min(commonHigh, b);
      if (a < b) {
        low = min(low, a);
        high = max(high, b);
      }
    }
    if (low >= high) continue;
    for (let k = low / tileK; k * tileK < high; k++) {
      const key = k * tileK, keyEnd = min(keys, key + tileK);
      // Most tiles are full: known from the common keys without a look at each row (1.4 s → 0.1 s at n = 1,048,576 fixed).
      const covered = key >= commonLow && keyEnd <= commonHigh ? 2 : coverage(row, rowEnd, key, keyEnd, lo, hi);
      if (covered == 0) continue;
      if (list) setU32(list, at, k << 1 | (covered == 1 ? 1 : 0));
      if (++at == 1 << 30) return at;
    }
  }
  setU32(starts, tile, at);
  return at;
}

/**
 * Adds a part's pairs to a set as bits: of query i, `words` words from i · words, key j as bit j mod 32 of word j / 32, both numbered
 * as rows. `queryRows` and `keyRows` are the part's orders, 0 where rows are in order.
 */
export function setBits(n: u32, queryRows: usize, keyRows: usize, lo: usize, hi: usize, words: u32, bits: usize): void {
  for (let u: u32 = 0; u < n; u++) {
    const at = (queryRows ? getU32(queryRows, u) : u) * words, end = getU32(hi, u);
    for (let v = getU32(lo, u); v < end; v++) {
      const key = keyRows ? getU32(keyRows, v) : v, word = at + (key >> 5);
      setU32(bits, word, getU32(bits, word) | (1 << (key & 31)));
    }
  }
}

// `forwardTiles` of a set as bits: 2³⁰ entries would need more bits than there is memory.
export function bitTiles(n: u32, keys: u32, tileQ: u32, tileK: u32, words: u32, bits: usize, starts: usize, list: usize): u32 {
  let at: u32 = 0, tile: u32 = 0;
  for (let row: u32 = 0; row < n; row += tileQ, tile++) {
    setU32(starts, tile, at);
    const rowEnd = min(n, row + tileQ);
    for (let key: u32 = 0, k: u32 = 0; key < keys; key += tileK, k++) {
      const keyEnd = min(keys, key + tileK);
      let some = false, all = true;
      for (let u = row; u < rowEnd && (all || !some); u++) {
        // A word at a time.
        for (let from = key; from < keyEnd; from = (from | 31) + 1) {
          const end = min(keyEnd, (from | 31) + 1), mask = (<u32>0xffffffff >> (32 + from - end)) << (from & 31);
          const set = getU32(bits, u * words + (from >> 5)) & mask;
          if (set != 0) some = true;
          if (set != mask) all = false;
        }
      }
      if (!some) continue;
      if (list) setU32(list, at, k << 1 | (all ? 0 : 1));
      at++;
    }
  }
  setU32(starts, tile, at);
  return at;
}

// The transpose of tile lists, by counting: entries stay ascending because queries are walked in order.
export function transposeTiles(queryTiles: u32, keyTiles: u32, starts: usize, list: usize, outStarts: usize, outList: usize): void {
  memory.fill(outStarts, 0, ((keyTiles + 1) as usize) << 2);
  const entries = getU32(starts, queryTiles);
  for (let e: u32 = 0; e < entries; e++) {
    const k = getU32(list, e) >> 1;
    setU32(outStarts, k + 1, getU32(outStarts, k + 1) + 1);
  }
  for (let k: u32 = 0; k < keyTiles; k++) setU32(outStarts, k + 1, getU32(outStarts, k) + getU32(outStarts, k + 1));
  for (let q: u32 = 0; q < queryTiles; q++) {
    for (let e = getU32(starts, q); e < getU32(starts, q + 1); e++) {
      const entry = getU32(list, e), k = entry >> 1, at = getU32(outStarts, k);
      setU32(outList, at, q << 1 | (entry & 1));
      setU32(outStarts, k, at + 1);
    }
  }
  // Each start has moved to its successor's place: move them back.
  for (let k = keyTiles; k > 0; k--) setU32(outStarts, k, getU32(outStarts, k - 1));
  setU32(outStarts, 0, 0);
}
