// A = X·Xᵀ and P = a·I + b·A + c·A·A of Muon's iteration (muon_symmetric.wgsl), which are symmetric: tiles above the diagonal are left out and
// filled from below it, so that 10 of 16 tiles are made of 512 rows by 128.
// @late
// @import storage_f32x4.wgsl

@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [matrices, rows, rows]

const HALF: u32 = 1u;
// @import muon_symmetric.wgsl

fn finish(part: u32, row: u32, column4: u32, product: vec4f) {
  var z = product;
  if (POLYNOMIAL) {
    z = params.c * z + params.b * load(x[base + row * params.inner4 + column4]);
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
