// The gradient of linear.wgsl by x: dx = residual + (dy·w) ∘ f′(pre), by tiles of product_vectors.wgsl, dy contiguous along the summed index, w
// across the columns of dx. in and out are multiples of 4; other sizes go through linear_any.wgsl.
// @late
// @import storage_f32x4.wgsl
// @import gelu.wgsl

struct Params {
  rows: u32,
  inner4: u32, // the summed index, out / 4
  out4: u32, // columns of dx, in / 4
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>; // [rows, out / 4]
@group(0) @binding(1) var<storage, read> w: array<vec4f>; // [out, in / 4]
@group(0) @binding(2) var<storage, read> pre: array<Stored>; // [rows, in / 4]
@group(0) @binding(3) var<storage, read> residual: array<Stored>; // [rows, in / 4]
@group(0) @binding(4) var<storage, read_write> dx: array<Stored>; // [rows, in / 4]
@group(0) @binding(5) var<uniform> params: Params;

override GELU: bool = false;
override RESIDUAL: bool = false;

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 0u;
const RIGHT_STORED: u32 = 0u;
const HALF: u32 = 0u;
alias Left = Stored;
alias Right = vec4f;
// @import product_vectors.wgsl

fn extent(part: u32) -> Extent {
  return Extent(params.rows, params.out4, 0u, params.inner4 * 4u);
}

fn left(row: u32, k4: u32) -> Left {
  return dy[row * params.inner4 + k4];
}

fn left_value(a: Left) -> vec4f {
  return load(a);
}

fn right(k: u32, column: u32) -> Right {
  return w[k * params.out4 + column];
}

fn right_value(b: Right) -> vec4f {
  return b;
}

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  let at = row * params.out4 + column;
  var z = product;
  if (GELU) {
    z *= gelu_gradient(load(pre[at]));
  }
  if (RESIDUAL) {
    z += load(residual[at]);
  }
  dx[at] = store(z);
}
