// The gradient of means of blocks: dx[row] += dy[k] / rows of k, k the block of the row.
// @late apart
// @import storage_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // Values of dx
  n: u32,
  block: u32,
  blocks: u32, // of a sequence
  width: u32, // in Values
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>; // [batch·blocks, width]
@group(0) @binding(1) var<storage, read_write> dx: array<Stored>; // [batch·n, width]
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  let row = i / params.width;
  let k = row % params.n / params.block;
  let held = min(params.block, params.n - k * params.block);
  let share = load(dy[(row / params.n * params.blocks + k) * params.width + i % params.width]) / f32(held);
  dx[i] = store(load(dx[i]) + share);
}
