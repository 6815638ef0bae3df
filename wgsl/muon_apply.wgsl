// X ← P·X of Muon's iteration, for many matrices, by tiles of product_vectors.wgsl.
// @late
// @import storage_f32x4.wgsl

struct Params {
  rows: u32,
  inner4: u32, // rows / 4
  out4: u32, // columns / 4
}

@group(0) @binding(0) var<storage, read> polynomial: array<Stored>; // [matrices, rows, rows / 4]
@group(0) @binding(1) var<storage, read> x: array<Stored>; // [matrices, rows, columns / 4]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>; // [matrices, rows, columns / 4]
@group(0) @binding(3) var<uniform> params: Params;

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 0u;
const RIGHT_STORED: u32 = 1u;
const HALF: u32 = 0u;
alias Left = Stored;
alias Right = Stored;
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
  return load(a);
}

fn right(k: u32, column: u32) -> Right {
  return x[right_base + k * params.out4 + column];
}

fn right_value(b: Right) -> vec4f {
  return load(b);
}

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  y[right_base + row * params.out4 + column] = store(product);
}
