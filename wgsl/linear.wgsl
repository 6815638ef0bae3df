// The products of Eqs. 9–14: y = residual + dropout(f(x·wᵀ + b)), by tiles of product_vectors.wgsl, both operands contiguous along the summed
// index. in and out are multiples of 4; other sizes go through linear_any.wgsl.
// @import storage_f32x4.wgsl
// @import weights_f32x4.wgsl
// @import random.wgsl
// @import gelu.wgsl

struct Params {
  rows: u32,
  inner4: u32, // in / 4
  out4: u32, // out / 4
  site: u32,
  micro: u32,
  threshold: u32,
  keep: f32,
  first: u32, // number of y's first element, where y is part of a whole
  whole: u32, // columns of the whole
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [rows, in / 4]
@group(0) @binding(1) var<storage, read> w: array<Weight>; // [out, in / 4]
@group(0) @binding(2) var<storage, read> b: array<vec4f>; // [out / 4]
@group(0) @binding(3) var<storage, read> residual: array<Stored>; // [rows, out / 4]
@group(0) @binding(4) var<storage, read> seeds: array<u32>; // [2]
@group(0) @binding(5) var<storage, read_write> y: array<Stored>; // [rows, out / 4]
@group(0) @binding(6) var<storage, read_write> pre: array<Stored>; // [rows, out / 4]
@group(0) @binding(7) var<uniform> params: Params;

override BIAS: bool = false;
override PRE: bool = false;
override GELU: bool = false;
override DROPOUT: bool = false;
override RESIDUAL: bool = false;

const LEFT_ALONG: u32 = 1u;
const RIGHT_ALONG: u32 = 1u;
const RIGHT_STORED: u32 = 0u;
const HALF: u32 = 0u;
alias Left = Stored;
alias Right = Weight;
// @import product_vectors.wgsl

fn extent(part: u32) -> Extent {
  return Extent(params.rows, params.out4, 0u, params.inner4 * 4u);
}

fn left(row: u32, k4: u32) -> Left {
  return x[row * params.inner4 + k4];
}

fn left_value(a: Left) -> vec4f {
  return load(a);
}

fn right(column: u32, k4: u32) -> Right {
  return w[column * params.inner4 + k4];
}

fn right_value(b: Right) -> vec4f {
  if (INT8 == 1u) {
    return decode(b);
  } else {
    return b;
  }
}

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  let at = row * params.out4 + column;
  var z = product;
  if (INT8 == 1u) {
    let first = column * 4u;
    z *= vec4f(scale[first], scale[first + 1u], scale[first + 2u], scale[first + 3u]);
  }
  if (BIAS) {
    z += b[column];
  }
  if (PRE) {
    pre[at] = store(z);
  }
  if (GELU) {
    z = gelu(z);
  }
  if (DROPOUT) {
    z *= dropout_factor4(seeds[0], params.site, seeds[1] + params.micro, params.first + row * params.whole + column * 4u, params.threshold, params.keep);
  }
  if (RESIDUAL) {
    z += load(residual[at]);
  }
  y[at] = store(z);
}
