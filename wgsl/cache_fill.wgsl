// Slot s of head h gets the key, or value, of position rows[h, s] of its sequence, if that is below n.
// @import elements.wgsl

struct Params {
  count: u32, // batch · heads · slots · width
  lines: u32, // heads · slots
  heads: u32,
  slots: u32,
  width: u32, // of a head
  n: u32,
  sequences: u32, // in x
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [sequences, n, heads, width]
@group(0) @binding(1) var<storage, read> rows: array<u32>; // [heads, slots]
@group(0) @binding(2) var<storage, read_write> cache: array<f32>; // [batch, heads, slots, width]
@group(0) @binding(3) var<uniform> params: Params;

// @splice
fn element() {
  let line = i / params.width % params.lines;
  let sequence = i / params.width / params.lines % params.sequences;
  let row = rows[line];
  if (row < params.n) {
    cache[i] = x[((sequence * params.n + row) * params.heads + line / params.slots) * params.width + i % params.width];
  }
}
