// Rows of a whole, some of a head's columns, to where they lie alone, or from there: row r alone is row base + ⌊r / inner⌋·outer + r mod inner
// of the whole, of which one band is bound. For attention over more rows than one binding holds of a head.
// @late
// @import elements.wgsl

struct Params {
  count: u32, // words alone
  width: u32, // words of a row alone
  base: u32,
  inner: u32,
  outer: u32,
  first: u32, // rows alone that are moved, and the end of them: of what is moved in the others are 0
  end: u32,
  band: u32, // rows of the whole that are bound, and the end of them
  band_end: u32,
  stride: u32, // words of a row of the whole
  column: u32, // the first of them
  out: u32, // 1: from alone to the whole
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

// @splice
fn element() {
  let row = i / params.width;
  let whole = params.base + row / params.inner * params.outer + row % params.inner;
  if (row < params.first || row >= params.end) {
    if (params.out == 0u) {
      y[i] = 0u;
    }
  } else if (whole >= params.band && whole < params.band_end) {
    let there = (whole - params.band) * params.stride + params.column + i % params.width;
    if (params.out == 0u) {
      y[i] = x[there];
    } else {
      y[there] = x[i];
    }
  }
}
