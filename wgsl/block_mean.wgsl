// Means of blocks of rows: y[s, k] = the mean of rows k·block … of sequence s, of the last block those that it has.
// @late apart
// @import storage_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // Values of y
  n: u32,
  block: u32,
  blocks: u32, // of a sequence
  width: u32, // in Values
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [batch·n, width]
@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // [batch·blocks, width]
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  let own = i / params.width;
  let start = own % params.blocks * params.block;
  let held = min(params.block, params.n - start);
  let at = (own / params.blocks * params.n + start) * params.width + i % params.width;
  var sum = Value();
  for (var r = 0u; r < held; r++) {
    sum += load(x[at + r * params.width]);
  }
  y[i] = store(sum / f32(held));
}
