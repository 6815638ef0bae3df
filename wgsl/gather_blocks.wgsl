// Copies of chosen blocks: row (j·top + r)·block + t of sequence b is, of head h, row choice[b, h, j, r]·block + t of x, or 0.
// @late apart
// @import storage_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // Values of y
  n: u32,
  block: u32,
  all: u32, // copies of a sequence
  heads: u32,
  width: u32, // of all heads, in Values
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [batch·n, width]
@group(0) @binding(1) var<storage, read> choice: array<u32>; // [batch, heads, all]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>; // [batch·all·block, width]
@group(0) @binding(3) var<uniform> params: Params;

// @splice
fn element() {
  let row = i / params.width;
  let column = i % params.width;
  let entry = row / params.block;
  let b = entry / params.all;
  let k = choice[(b * params.heads + column * params.heads / params.width) * params.all + entry % params.all];
  if (k == 0xffffffffu) {
    y[i] = store(Value());
  } else {
    y[i] = x[(b * params.n + k * params.block + row % params.block) * params.width + column];
  }
}
