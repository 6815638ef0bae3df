// y += x.
// @late apart
// @import storage_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // Values
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // [count]
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  y[i] = store(load(y[i]) + load(x[i]));
}
