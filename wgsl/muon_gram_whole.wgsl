// muon_gram.wgsl, A = X·Xᵀ and P = a·I + b·A + c·A·A, by whole tiles, for what goes through subgroup matrices: in f16, above the diagonal as
// below it.
// @late matrices
// @import storage_f16x4.wgsl

@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // [matrices, rows, rows / 4]

const HALF: u32 = 0u;
// @import muon_symmetric.wgsl

fn finish(part: u32, row: u32, column: u32, product: vec4f) {
  var z = product;
  if (POLYNOMIAL) {
    z = params.c * z + params.b * load(x[base + row * params.inner4 + column]) + params.a * one_hot(column * 4u, row);
  }
  y[(part * params.rows + row) * (params.rows / 4u) + column] = store(z);
}
