// y[r, h, c] = x[r, h, c] for c below both widths, 0 beyond x's: gives heads a width that is a multiple of 4, and takes it away.
// @late
// @import elements.wgsl

struct Params {
  count: u32, // elements of y
  source: u32, // width of a head in x
  width: u32, // width of a head in y
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  let head = i / params.width;
  let column = i % params.width;
  y[i] = select(0.0, x[head * params.source + column], column < params.source);
}
