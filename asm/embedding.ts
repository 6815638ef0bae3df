// The embedding (Eq. 15), y[r] (+)= table[indices[r]], and its gradient.

import { decode, decoded } from "./lib/int8";
import { getF32, getU32, loadPart, Optional, Pointer, storePart } from "./lib/memory";
import { workspace } from "./workspace";

// y (+)= a row of a table, which is i8 where there is a scale.
function take(table: usize, scale: usize, row: u32, d: u32, to: usize, accumulate: bool): void {
  let from = table + (row as usize) * d * 4;
  if (scale) {
    from = workspace();
    decode(table + (row as usize) * d, d, getF32(scale, row), from);
  }
  for (let c: u32 = 0; c < d; c += 4) {
    const at = (c as usize) << 2, left = d - c;
    let value = loadPart(from + at, left);
    if (accumulate) value = f32x4.add(value, loadPart(to + at, left));
    storePart(to + at, value, left);
  }
}

function embedding_workspace(d: u32, scale: Optional<f32>): u32 {
  return scale ? decoded(d) : 0;
}

// y[r] (+)= table[index[r mod length]]. A unit is a row.
export function embedding(
  begin: u32, end: u32, index: Pointer<u32>, length: u32, table: Pointer<f32>, scale: Optional<f32>, y: Pointer<f32>, d: u32,
  accumulate: bool,
): void {
  for (let row = begin; row < end; row++) take(table, scale, getU32(index, row % length), d, y + (row as usize) * d * 4, accumulate);
}

function embedding_decode_workspace(d: u32, scale: Optional<f32>): u32 {
  return scale ? decoded(d) : 0;
}

// y[b] (+)= table[row], the row being rows[i] where `rows` is given, else that of the token before position i. A unit is a sequence.
export function embedding_decode(
  begin: u32, end: u32, tape: Pointer<u32>, position: Pointer<u32>, rows: Optional<u32>, table: Pointer<f32>, scale: Optional<f32>,
  y: Pointer<f32>, batch: u32, d: u32, start: u32,
): void {
  const i = getU32(position, 0);
  for (let unit = begin; unit < end; unit++) {
    const row = rows ? getU32(rows, i) : i ? getU32(tape, (i - 1) * batch + unit) : start;
    take(table, scale, row, d, y + (unit as usize) * d * 4, rows != 0);
  }
}

function embedding_backward_workspace(d: u32): u32 {
  return d;
}

// dTable[i] (+)= Σ of dy's rows order[starts[i]] … order[starts[i + 1] − 1], in that order; what is there is added last. A unit is a table row.
export function embedding_backward(
  begin: u32, end: u32, dy: Pointer<f32>, order: Pointer<u32>, starts: Pointer<u32>, dTable: Pointer<f32>, d: u32, accumulate: bool,
): void {
  for (let i = begin; i < end; i++) {
    const row = dTable + (i as usize) * d * 4, first = getU32(starts, i), last = getU32(starts, i + 1);
    if (accumulate && first == last) continue;
    const to = accumulate ? workspace() : row;
    memory.fill(to, 0, (d as usize) << 2);
    for (let e = first; e < last; e++) {
      const from = dy + (getU32(order, e) as usize) * d * 4;
      for (let c: u32 = 0; c < d; c += 4) {
        const at = (c as usize) << 2, left = d - c;
        storePart(to + at, f32x4.add(loadPart(to + at, left), loadPart(from + at, left)), left);
      }
    }
    if (accumulate) add(row, to, d);
  }
}

// to[d] += from[d]
function add(to: usize, from: usize, d: u32): void {
  for (let c: u32 = 0; c < d; c += 4) {
    const at = (c as usize) << 2, left = d - c;
    storePart(to + at, f32x4.add(loadPart(to + at, left), loadPart(from + at, left)), left);
  }
}
