// The embedding (Eq. 15): y[r] (+)= table[indices[r mod length]], one table per dispatch, since four tables would exceed eight storage
// buffers.
// @import weights_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // rows · width
  width: u32,
  length: u32, // of indices
  first: u32, // row that y begins with, and the table
  table_first: u32,
  table_rows: u32, // other rows of the table add nothing
}

@group(0) @binding(0) var<storage, read> indices: array<u32>; // [length]
@group(0) @binding(1) var<storage, read> table: array<Weight>; // [size, width]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, width]
@group(0) @binding(3) var<uniform> params: Params;

override ACCUMULATE: bool = false;

// @splice
fn element() {
  let row = i / params.width;
  let entry = indices[(params.first + row) % params.length] - params.table_first;
  let at = entry * params.width + i - row * params.width;
  var value = 0.0;
  if (INT8 == 1u) {
    value = select(0.0, decode(table[at / 4u])[at & 3u] * scale[entry], entry < params.table_rows);
  } else {
    value = select(0.0, table[at], entry < params.table_rows);
  }
  if (ACCUMULATE) {
    value += y[i];
  }
  y[i] = value;
}
