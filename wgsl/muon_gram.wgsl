// Of Muon's iteration what is symmetric, for many matrices: A = X·Xᵀ, and with POLYNOMIAL P = a·I + b·A + c·A·A (A·Aᵀ is A·A),
// by tiles of product_vectors.wgsl. Tiles above the diagonal are left out and filled from below it: 10 of 16 tiles are made of 512 rows by 128.
// @late

struct Params {
  rows: u32,
  inner4: u32, // the summed index / 4
  a: f32,
  b: f32,
  c: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>; // [matrices, rows, inner / 4]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [matrices, rows, rows]
@group(0) @binding(2) var<uniform> params: Params;

override POLYNOMIAL: bool = false;

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 1u;
const HALF: u32 = 1u;
alias Left = vec4f;
alias Right = vec4f;
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
  return a;
}

fn right(column: u32, k4: u32) -> Right {
  return x[base + column * params.inner4 + k4];
}

fn right_value(b: Right) -> vec4f {
  return b;
}

fn finish(part: u32, row: u32, column4: u32, product: vec4f) {
  var z = product;
  if (POLYNOMIAL) {
    z = params.c * z + params.b * x[base + row * params.inner4 + column4];
  }
  let to = part * params.rows * params.rows;
  for (var i = 0u; i < 4u; i++) {
    let column = column4 * 4u + i;
    var value = z[i];
    if (POLYNOMIAL && column == row) {
      value += params.a;
    }
    if (column <= row) {
      y[to + row * params.rows + column] = value;
    }
    if (column < row) {
      y[to + column * params.rows + row] = value;
    }
  }
}
