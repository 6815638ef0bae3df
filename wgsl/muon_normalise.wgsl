// Where Muon's iteration begins, for many matrices: X = u/(‖u‖ + 1e-7), as its products take it.
// @late
// @import storage_f32x4.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // vec4 of all
  each: u32, // vec4 of a matrix
}

@group(0) @binding(0) var<storage, read> u: array<vec4f>; // [matrices, r, c / 4]
@group(0) @binding(1) var<storage, read> squares: array<f32>; // [matrices]: ‖u‖²
@group(0) @binding(2) var<storage, read_write> x: array<Stored>; // [matrices, r, c / 4]
@group(0) @binding(3) var<uniform> params: Params;

// @splice
fn element() {
  x[i] = store(u[i] * (1.0 / (sqrt(squares[i / params.each]) + 1e-7)));
}
