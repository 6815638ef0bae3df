// What linear, linear_input_grad and linear_weight_grad do to one element of a product, for the kernel that works element by
// element (linear_any.wgsl). The vec4 kernels have their own `finish`.
// @late
// @import storage_f32.wgsl
// @import random.wgsl
// @import gelu.wgsl

struct Params {
  m: u32, // rows of the product
  k: u32, // summed index
  n: u32, // columns of the product
  am: u32, // strides of a and b in elements
  ak: u32,
  bk: u32,
  bn: u32,
  site: u32,
  micro: u32,
  threshold: u32,
  keep: f32,
  first: u32, // number of y's first element, where y is part of a whole
  whole: u32, // columns of the whole
}

@group(0) @binding(0) var<storage, read> bias: array<f32>; // [n]
@group(0) @binding(1) var<storage, read> residual: array<f32>; // [m, n]
@group(0) @binding(2) var<storage, read> z_in: array<f32>; // [m, n]
@group(0) @binding(3) var<storage, read> seeds: array<u32>; // [2]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [m, n]
@group(0) @binding(5) var<storage, read_write> z_out: array<f32>; // [m, n]
@group(0) @binding(6) var<uniform> params: Params;

override BIAS: bool = false;
override PRE: bool = false;
override GELU: bool = false;
override GELU_GRADIENT: bool = false;
override DROPOUT: bool = false;
override RESIDUAL: bool = false;
override ACCUMULATE: bool = false;

fn finish(row: u32, column: u32, product: f32) {
  let at = row * params.n + column;
  var z = product;
  if (BIAS) {
    z += bias[column];
  }
  if (PRE) {
    z_out[at] = z;
  }
  if (GELU) {
    z = gelu(z);
  }
  if (GELU_GRADIENT) {
    z *= gelu_gradient(z_in[at]);
  }
  if (DROPOUT) {
    z *= dropout_factor(seeds[0], params.site, seeds[1] + params.micro, params.first + row * params.whole + column, params.threshold, params.keep);
  }
  if (RESIDUAL) {
    z += residual[at];
  }
  if (ACCUMULATE) {
    z += y[at];
  }
  y[at] = z;
}
