// Byte-pair encoding (Sennrich et al., arXiv:1508.07909, over bytes as GPT-2's): training, encoding, decoding.
//
// Text is cut into pieces first, and no token reaches over the end of one: a run of letters (bytes from 0x80 count as such), of digits,
// or of other signs, each with one space before it where there is one, or a run of white space. A token below 256 is that byte; token
// 256 + m is what merge m made.

import { getU32, setU32 } from "./lib/memory";

const SPACE: u32 = 0, LETTER: u32 = 1, DIGIT: u32 = 2, SIGN: u32 = 3;

// Between pieces, and where a merge took a symbol away. Tokens are below.
const END: u32 = 0xffff, HOLE: u32 = 0xfffe;

// @ts-ignore: decorator
@inline
function kind(byte: u32): u32 {
  if (byte >= 0x80 || ((byte | 32) - 97) < 26) return LETTER;
  if (byte - 48 < 10) return DIGIT;
  return byte == 32 || byte - 9 < 5 ? SPACE : SIGN;
}

/** Where the piece that begins at `at` ends. */
function pieceEnd(bytes: usize, at: u32, length: u32): u32 {
  let which = kind(load<u8>(bytes + at)), end = at + 1;
  if (which == SPACE && load<u8>(bytes + at) == 32 && end < length) {
    const next = kind(load<u8>(bytes + end));
    if (next != SPACE) {
      which = next;
      end++;
    }
  }
  while (end < length && kind(load<u8>(bytes + end)) == which) end++;
  return end;
}

/** FNV-1a. */
function hashOf(bytes: usize, at: u32, end: u32): u32 {
  let hash: u32 = 2166136261;
  for (let i = at; i < end; i++) hash = (hash ^ load<u8>(bytes + i)) * 16777619;
  return hash ^ hash >> 15;
}

/** The place in `table` [mask + 1, 4] u32 (offset, length, count, hash) of that piece, or the free one where it would go. */
function placeOf(table: usize, mask: u32, bytes: usize, at: u32, size: u32, hash: u32): usize {
  let slot = hash & mask;
  while (true) {
    const entry = table + ((slot as usize) << 4);
    if (getU32(entry, 2) == 0) return entry;
    if (
      getU32(entry, 3) == hash && getU32(entry, 1) == size && memory.compare(bytes + getU32(entry, 0), bytes + at, size) == 0
    ) return entry;
    slot = slot + 1 & mask;
  }
}

// Counts pieces from `at` on, until `most` different ones are there: returns where it stopped. `state` u32 [1] holds how many there are.
export function bpe_pieces(bytes: usize, at: u32, length: u32, table: usize, mask: u32, state: usize, most: u32): u32 {
  let known = getU32(state, 0);
  while (at < length && known < most) {
    const end = pieceEnd(bytes, at, length), hash = hashOf(bytes, at, end), entry = placeOf(table, mask, bytes, at, end - at, hash);
    const count = getU32(entry, 2);
    if (count == 0) {
      setU32(entry, 0, at);
      setU32(entry, 1, end - at);
      setU32(entry, 3, hash);
      known++;
    }
    setU32(entry, 2, count + 1);
    at = end;
  }
  setU32(state, 0, known);
  return at;
}

// Puts the pieces of one table into a larger one, which is empty.
export function bpe_rehash(bytes: usize, from: usize, fromMask: u32, to: usize, mask: u32): void {
  for (let slot: u32 = 0; slot <= fromMask; slot++) {
    const entry = from + ((slot as usize) << 4);
    if (getU32(entry, 2) == 0) continue;
    memory.copy(placeOf(to, mask, bytes, getU32(entry, 0), getU32(entry, 1), getU32(entry, 3)), entry, 16);
  }
}

// Writes the pieces of two bytes and more as `symbols` u16, one after the other, each begun by END, and beside each symbol in `weights`
// u32 how often its piece occurs. Returns how many symbols: at most those pieces' bytes and one for each. `symbols` 0 only counts.
export function bpe_symbols(bytes: usize, table: usize, mask: u32, symbols: usize, weights: usize): u32 {
  let at: u32 = 0;
  for (let slot: u32 = 0; slot <= mask; slot++) {
    const entry = table + ((slot as usize) << 4), count = getU32(entry, 2), size = getU32(entry, 1), from = bytes + getU32(entry, 0);
    if (count == 0 || size < 2) continue;
    if (symbols) {
      store<u16>(symbols + (at << 1), END as u16);
      for (let i: u32 = 0; i < size; i++) {
        store<u16>(symbols + (at + 1 + i << 1), load<u8>(from + i));
        setU32(weights, at + 1 + i, count);
      }
    }
    at += size + 1;
  }
  return at;
}

// The count in `best` of a row that must be looked through again.
const DIRTY: u32 = 0xffffffff;

/** Adds to the count of a pair in `counts` [size, size], and keeps `best` [size, 2] (count, second symbol) of its row. */
function add(counts: usize, size: u32, best: usize, a: u32, b: u32, weight: u32): void {
  const at = a * size + b, count = getU32(counts, at) + weight, row = best + ((a as usize) << 3), most = getU32(row, 0);
  setU32(counts, at, count);
  if (most == DIRTY) return;
  if (count > most || count == most && b < getU32(row, 1)) {
    setU32(row, 0, count);
    setU32(row, 1, b);
  }
}

function take(counts: usize, size: u32, best: usize, a: u32, b: u32, weight: u32): void {
  const at = a * size + b, row = best + ((a as usize) << 3);
  setU32(counts, at, getU32(counts, at) - weight);
  if (getU32(row, 1) == b) setU32(row, 0, DIRTY);
}

// Counts the pairs of `symbols`; counts and best are zeroed.
export function bpe_pairs(symbols: usize, weights: usize, length: u32, counts: usize, size: u32, best: usize): void {
  for (let at: u32 = 1; at < length; at++) {
    const a = load<u16>(symbols + (at - 1 << 1)), b = load<u16>(symbols + (at << 1));
    if (a != END && b != END) add(counts, size, best, a, b, getU32(weights, at));
  }
}

/** The most frequent second symbol of a row, the lowest of equals. */
function scanRow(counts: usize, size: u32, row: usize, symbols: u32): void {
  let most: u32 = 0, which: u32 = 0, vector = u32x4_splat(0), b: u32 = 0;
  for (; b + 4 <= symbols; b += 4) vector = i32x4.max_u(vector, v128.load(counts + ((b as usize) << 2)));
  most = max(max(u32x4_lane(vector, 0), u32x4_lane(vector, 1)), max(u32x4_lane(vector, 2), u32x4_lane(vector, 3)));
  for (; b < symbols; b++) most = max(most, getU32(counts, b));
  while (which < symbols && getU32(counts, which) != most) which++;
  setU32(row, 0, most);
  setU32(row, 1, which);
}

// @ts-ignore: decorator
@inline
function u32x4_splat(x: u32): v128 {
  return i32x4.splat(x as i32);
}

// @ts-ignore: decorator
@inline
function u32x4_lane(x: v128, lane: u8): u32 {
  if (lane == 0) return i32x4.extract_lane(x, 0);
  if (lane == 1) return i32x4.extract_lane(x, 1);
  if (lane == 2) return i32x4.extract_lane(x, 2);
  return i32x4.extract_lane(x, 3);
}

/** Makes a of each a b. */
function merge(symbols: usize, weights: usize, length: u32, counts: usize, size: u32, best: usize, a: u32, b: u32, made: u32): u32 {
  const wanted = i16x8.splat(a as i16);
  let holes: u32 = 0;
  for (let block: u32 = 0; block < length; block += 8) {
    if (!v128.any_true(i16x8.eq(v128.load(symbols + (block << 1)), wanted))) continue;
    for (let at = block; at < min(block + 8, length); at++) {
      if (load<u16>(symbols + (at << 1)) != a) continue;
      let next = at + 1;
      while (next < length && load<u16>(symbols + (next << 1)) == HOLE) next++;
      if (next >= length || load<u16>(symbols + (next << 1)) != b) continue;
      const weight = getU32(weights, at);
      take(counts, size, best, a, b, weight);
      let left = at - 1, right = next + 1;
      while (load<u16>(symbols + (left << 1)) == HOLE) left--;
      while (right < length && load<u16>(symbols + (right << 1)) == HOLE) right++;
      const before: u32 = load<u16>(symbols + (left << 1)), after: u32 = right < length ? load<u16>(symbols + (right << 1)) : END;
      if (before != END) {
        take(counts, size, best, before, a, weight);
        add(counts, size, best, before, made, weight);
      }
      if (after != END) {
        take(counts, size, best, b, after, weight);
        add(counts, size, best, made, after, weight);
      }
      store<u16>(symbols + (at << 1), made as u16);
      store<u16>(symbols + (next << 1), HOLE as u16);
      holes++;
    }
  }
  return holes;
}

function withoutHoles(symbols: usize, weights: usize, length: u32): u32 {
  let to: u32 = 0;
  for (let at: u32 = 0; at < length; at++) {
    const symbol = load<u16>(symbols + (at << 1));
    if (symbol == HOLE) continue;
    store<u16>(symbols + (to << 1), symbol);
    setU32(weights, to, getU32(weights, at));
    to++;
  }
  return to;
}

// Makes up to `times` merges from number `first` on, each of the most frequent pair, the lowest of equals; pairs that occur once are
// left. `merges` u16 [size − 256, 2] receives them; `symbols` has room for 8 more than `length`. state u32 [2]: symbols left and holes among
// them, in and out. Returns how many were made.
export function bpe_merges(
  symbols: usize,
  weights: usize,
  state: usize,
  counts: usize,
  size: u32,
  best: usize,
  merges: usize,
  first: u32,
  times: u32,
): u32 {
  let length = getU32(state, 0), holes = getU32(state, 1), done: u32 = 0;
  for (; done < times; done++) {
    const made: u32 = 256 + first + done;
    let a: u32 = 0;
    let most: u32 = 1;
    for (let row: u32 = 0; row < made; row++) {
      const at = best + ((row as usize) << 3);
      if (getU32(at, 0) == DIRTY) scanRow(counts + ((row * size as usize) << 2), size, at, made);
      if (getU32(at, 0) > most) {
        most = getU32(at, 0);
        a = row;
      }
    }
    if (most < 2) break;
    const b = getU32(best + ((a as usize) << 3), 1), out = merges + ((first + done as usize) << 2);
    store<u16>(out, a as u16);
    store<u16>(out + 2, b as u16);
    holes += merge(symbols, weights, length, counts, size, best, a, b, made);
    if (holes > length >> 1) {
      length = withoutHoles(symbols, weights, length);
      holes = 0;
    }
  }
  setU32(state, 0, length);
  setU32(state, 1, holes);
  return done;
}

// @ts-ignore: decorator
@inline
function pairHash(a: u32, b: u32): u32 {
  const hash = (a << 16 | b) * 0x9e3779b1;
  return hash ^ hash >> 15;
}

// Fills `table` [mask + 1, 2] u32 (pair, token), zeroed, from merges u16 [count, 2].
export function bpe_table(merges: usize, count: u32, table: usize, mask: u32): void {
  for (let m: u32 = 0; m < count; m++) {
    const a: u32 = load<u16>(merges + (m << 2)), b: u32 = load<u16>(merges + (m << 2) + 2);
    let slot = pairHash(a, b) & mask;
    while (getU32(table, slot * 2 + 1)) slot = slot + 1 & mask;
    setU32(table, slot * 2, a << 16 | b);
    setU32(table, slot * 2 + 1, 256 + m);
  }
}

/** What merges a b, END if nothing does. */
// @ts-ignore: decorator
@inline
function merged(table: usize, mask: u32, a: u32, b: u32): u32 {
  const pair = a << 16 | b;
  let slot = pairHash(a, b) & mask;
  while (true) {
    const made = getU32(table, slot * 2 + 1);
    if (made == 0) return END;
    if (getU32(table, slot * 2) == pair) return made;
    slot = slot + 1 & mask;
  }
}

/** Merges the symbols u16 in place, the earliest merge first. Returns how many are left. */
function mergeAll(symbols: usize, length: u32, table: usize, mask: u32): u32 {
  while (length > 1) {
    let first = END;
    for (let at: u32 = 1; at < length; at++) {
      first = min(first, merged(table, mask, load<u16>(symbols + (at - 1 << 1)), load<u16>(symbols + (at << 1))));
    }
    if (first == END) break;
    let to: u32 = 0;
    for (let at: u32 = 0; at < length; to++) {
      const a = load<u16>(symbols + (at << 1));
      if (at + 1 < length && merged(table, mask, a, load<u16>(symbols + (at + 1 << 1))) == first) {
        store<u16>(symbols + (to << 1), first as u16);
        at += 2;
      } else {
        store<u16>(symbols + (to << 1), a);
        at++;
      }
    }
    length = to;
  }
  return length;
}

// Tokens of bytes: `tokens` u16 has room for `length`. A piece that reaches the end is left for the next call unless `last`. `seen`
// [SEEN, 4] u32 (offset + 1, bytes, first token, tokens), zeroed, remembers pieces of this call. state u32 [1]: tokens written. Returns
// the bytes taken.
export function bpe_encode(
  bytes: usize,
  length: u32,
  last: u32,
  table: usize,
  mask: u32,
  seen: usize,
  seenMask: u32,
  tokens: usize,
  state: usize,
): u32 {
  let at: u32 = 0, out: u32 = 0;
  while (at < length) {
    const end = pieceEnd(bytes, at, length), size = end - at;
    if (end == length && !last) break;
    const entry = seen + (((hashOf(bytes, at, end) & seenMask) as usize) << 4), place = tokens + (out << 1);
    if (getU32(entry, 0) && getU32(entry, 1) == size && memory.compare(bytes + getU32(entry, 0) - 1, bytes + at, size) == 0) {
      const count = getU32(entry, 3);
      memory.copy(place, tokens + (getU32(entry, 2) << 1), count << 1);
      out += count;
    } else {
      for (let i: u32 = 0; i < size; i++) store<u16>(place + (i << 1), load<u8>(bytes + at + i));
      const count = mergeAll(place, size, table, mask);
      setU32(entry, 0, at + 1);
      setU32(entry, 1, size);
      setU32(entry, 2, out);
      setU32(entry, 3, count);
      out += count;
    }
    at = end;
  }
  setU32(state, 0, out);
  return at;
}

// Bytes of tokens u16: token t is bytes starts[t] … starts[t + 1] of `pieces`. Returns how many; `out` 0 only counts.
export function bpe_decode(tokens: usize, count: u32, pieces: usize, starts: usize, out: usize): u32 {
  let at: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const token = load<u16>(tokens + (i << 1)), from = getU32(starts, token), size = getU32(starts, token + 1) - from;
    if (out) memory.copy(out + at, pieces + from, size);
    at += size;
  }
  return at;
}
