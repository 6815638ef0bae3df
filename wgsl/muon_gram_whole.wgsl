// muon_gram.wgsl by whole tiles, for what goes through subgroup matrices: in f16, above the diagonal as below it.
// @late matrices
// @import storage_f16x4.wgsl

struct Params {
  rows: u32,
  inner4: u32, // the summed index / 4
  a: f32,
  b: f32,
  c: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [matrices, rows, inner / 4]
@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // [matrices, rows, rows / 4]
@group(0) @binding(2) var<uniform> params: Params;

override POLYNOMIAL: bool = false;

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 1u;
const RIGHT_STORED: u32 = 1u;
const HALF: u32 = 0u;
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

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  var z = product;
  if (POLYNOMIAL) {
    z = params.c * z + params.b * load(x[base + row * params.inner4 + column]) + params.a * one_hot(column * 4u, row);
  }
  y[(part * params.rows + row) * (params.rows / 4u) + column] = store(z);
}
