// How often each byte occurs: counts[b] = |{i: bytes[i] = b}|.

import { getU32, setU32 } from "./lib/memory";

// @ts-ignore: decorator
@inline
function count(table: usize, byte: u64): void {
  const at = table + ((byte as usize) << 2);
  store<u32>(at, load<u32>(at) + 1);
}

// Adds to `counts` [256] u32. Four tables in turn (`tables`, [4, 256] u32), so that a run of one byte does not wait for itself.
export function histogram(bytes: usize, length: u32, counts: usize, tables: usize): void {
  memory.fill(tables, 0, 4096);
  const words = length & ~7;
  for (let i: u32 = 0; i < words; i += 8) {
    const word = load<u64>(bytes + i);
    count(tables, word & 255);
    count(tables + 1024, word >> 8 & 255);
    count(tables + 2048, word >> 16 & 255);
    count(tables + 3072, word >> 24 & 255);
    count(tables, word >> 32 & 255);
    count(tables + 1024, word >> 40 & 255);
    count(tables + 2048, word >> 48 & 255);
    count(tables + 3072, word >> 56);
  }
  for (let i = words; i < length; i++) count(tables, load<u8>(bytes + i));
  for (let b: u32 = 0; b < 256; b++) {
    setU32(counts, b, getU32(counts, b) + getU32(tables, b) + getU32(tables, 256 + b) + getU32(tables, 512 + b) + getU32(tables, 768 + b));
  }
}
