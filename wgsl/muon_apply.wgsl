// X ← P·X of Muon's iteration (spec §3), for many matrices, by tiles of product_vectors.wgsl.
// @late

struct Params {
  rows: u32,
  inner4: u32, // rows / 4
  out4: u32, // columns / 4
}

@group(0) @binding(0) var<storage, read> polynomial: array<vec4f>; // [matrices, rows, rows / 4]
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // [matrices, rows, columns / 4]
@group(0) @binding(2) var<storage, read> squares: array<f32>; // [matrices]: ‖u‖², where X is u as it is
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // [matrices, rows, columns / 4]
@group(0) @binding(4) var<uniform> params: Params;

override FIRST: bool = false; // X is u/(‖u‖ + 1e-7)

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 0u;
const HALF: u32 = 0u;
alias Left = vec4f;
alias Right = vec4f;
// @import product_vectors.wgsl

var<private> left_base: u32;
var<private> right_base: u32;

fn extent(part: u32) -> Extent {
  left_base = part * params.rows * params.inner4;
  right_base = part * params.rows * params.out4;
  return Extent(params.rows, params.out4, 0u, params.rows);
}

fn left(row: u32, k4: u32) -> Left {
  return polynomial[left_base + row * params.inner4 + k4];
}

fn left_value(a: Left) -> vec4f {
  return a;
}

fn right(k: u32, column: u32) -> Right {
  return x[right_base + k * params.out4 + column];
}

fn right_value(b: Right) -> vec4f {
  return b;
}

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  var z = product;
  if (FIRST) {
    z *= 1.0 / (sqrt(squares[part]) + 1e-7);
  }
  y[right_base + row * params.out4 + column] = z;
}
