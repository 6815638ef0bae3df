// What the kernels of Muon's symmetric products share: A = X·Xᵀ, and with POLYNOMIAL P = a·I + b·A + c·A·A (A·Aᵀ is A·A), of many matrices, by
// tiles of product_vectors.wgsl. A kernel brings y, which is as it is stored, and `finish`.
// @late

struct Params {
  rows: u32,
  inner4: u32, // the summed index / 4
  a: f32,
  b: f32,
  c: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [matrices, rows, inner / 4]
@group(0) @binding(2) var<uniform> params: Params;

override POLYNOMIAL: bool = false;

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 1u;
const RIGHT_STORED: u32 = 1u;
alias Left = Stored;
alias Right = Stored;
// @import product_vectors.wgsl

var<private> base: u32;

fn extent(part: u32) -> Extent {
  base = part * params.rows * params.inner4;
  return Extent(params.rows, params.rows / 4u, 0u, params.inner4 * 4u);
}

fn left(row: u32, k4: u32) -> Left {
  return x[base + row * params.inner4 + k4];
}

fn left_value(a: Left) -> vec4f {
  return load(a);
}

fn right(column: u32, k4: u32) -> Right {
  return x[base + column * params.inner4 + k4];
}

fn right_value(b: Right) -> vec4f {
  return load(b);
}
