// The gradient of linear.wgsl by w: dw (+)= dyᵀ·x, by tiles of product_vectors.wgsl: the summed index is the row, and rows are many while dw is
// small, so the rows are also split over workgroups (z): each split writes its own partial, which reduce_partials.wgsl adds in order. No
// atomics. in and out are multiples of 4; other sizes go through linear_any.wgsl.
// @late
// @import storage_f32x4.wgsl

struct Params {
  rows: u32,
  split: u32, // rows per split
  out4: u32, // rows of dw / 4
  in4: u32, // columns of dw / 4
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>; // [rows, out / 4]
@group(0) @binding(1) var<storage, read> x: array<Stored>; // [rows, in / 4]
@group(0) @binding(2) var<storage, read_write> dw: array<vec4f>; // [splits, out, in / 4]
@group(0) @binding(3) var<uniform> params: Params;

override ACCUMULATE: bool = false;

const LEFT_ALONG: u32 = 0u;
const RIGHT_ALONG: u32 = 0u;
const RIGHT_STORED: u32 = 1u;
const HALF: u32 = 0u;
alias Left = Stored;
alias Right = Stored;
// @import product_vectors.wgsl

fn extent(part: u32) -> Extent {
  let first = part * params.split;
  return Extent(params.out4 * 4u, params.in4, first, min(first + params.split, params.rows));
}

fn left(row: u32, column: u32) -> Left {
  return dy[row * params.out4 + column];
}

fn left_value(a: Left) -> vec4f {
  return load(a);
}

fn right(row: u32, column: u32) -> Right {
  return x[row * params.in4 + column];
}

fn right_value(b: Right) -> vec4f {
  return load(b);
}

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  let at = (part * params.out4 * 4u + row) * params.in4 + column;
  if (ACCUMULATE) {
    dw[at] += product;
  } else {
    dw[at] = product;
  }
}
