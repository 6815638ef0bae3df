// y's block = x's block: rows of words from a place in one buffer to a place in another. Moves what does not lie where one
// binding can hold it to where it does.
// @late
// @import elements.wgsl

struct Params {
  count: u32, // words
  width: u32, // words of a row
  x_first: u32,
  x_stride: u32,
  y_first: u32,
  y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  let row = i / params.width;
  let column = i % params.width;
  y[params.y_first + row * params.y_stride + column] = x[params.x_first + row * params.x_stride + column];
}
