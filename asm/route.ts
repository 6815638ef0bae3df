// Routing: which blocks of keys a block of queries attends to, those of the largest q·summary; and the same turned round.

import { choose, offered } from "./lib/choice";
import { dot } from "./lib/math";
import { getU32, Pointer, setF32, setU32 } from "./lib/memory";
import { workspace } from "./workspace";

function route_workspace(blocks: u32): u32 {
  return blocks;
}

// A unit is a block of queries of a head of a sequence; `places` blocks have room in `choice`.
export function route(
  begin: u32, end: u32, q: Pointer<f32>, summaries: Pointer<f32>, choice: Pointer<u32>, sequences: u32, n: u32, block: u32, window: u32,
  blocks: u32, places: u32, heads: u32, top: u32, d: u32,
): void {
  const row = ((heads * d) as usize) << 2, scores = workspace();
  for (let unit = begin; unit < end; unit++) {
    const line = unit / blocks, j = unit % blocks, b = line / heads % sequences, at = ((line % heads * d) as usize) << 2;
    const count = offered(j, block, window), query = q + ((b * n + j * block) as usize) * row + at;
    for (let k: u32 = 0; k < count; k++) setF32(scores, k, dot(query, summaries + ((b * blocks + k) as usize) * row + at, d));
    choose(scores, count, top, choice + (((line * places + j) * top as usize) << 2));
  }
}

function route_lists_workspace(blocks: u32): u32 {
  return blocks;
}

// A unit is a head of a sequence: blocks are counted, then their entries put in order.
export function route_lists(begin: u32, end: u32, choice: Pointer<u32>, starts: Pointer<u32>, list: Pointer<u32>, blocks: u32, top: u32): void {
  const next = workspace(), all = blocks * top;
  for (let unit = begin; unit < end; unit++) {
    const from = choice + ((unit * all as usize) << 2), begins = starts + ((unit * (blocks + 1) as usize) << 2), to = list + ((unit * all as usize) << 2);
    memory.fill(next, 0, (blocks as usize) << 2);
    for (let e: u32 = 0; e < all; e++) {
      const k = getU32(from, e);
      if (k < blocks) setU32(next, k, getU32(next, k) + 1);
    }
    let at: u32 = 0;
    for (let k: u32 = 0; k < blocks; k++) {
      const count = getU32(next, k);
      setU32(begins, k, at);
      setU32(next, k, at);
      at += count;
    }
    setU32(begins, blocks, at);
    for (let e = at; e < all; e++) setU32(to, e, u32.MAX_VALUE);
    for (let e: u32 = 0; e < all; e++) {
      const k = getU32(from, e);
      if (k >= blocks) continue;
      setU32(to, getU32(next, k), e);
      setU32(next, k, getU32(next, k) + 1);
    }
  }
}
