// y = x, from f16 to f32: in front of kernels that have no f16 of their own.
// @late
// @import storage_f16x4.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // vec4
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  y[i] = load(x[i]);
}
