// factor = min(1, maxNorm / (√squareNorm + 1e-6)), 1 where maxNorm is 0, 0 where squareNorm is not finite; skipped counts the last.
// Compilers may assume that there is no NaN, so the test looks at the exponent bits.

struct Params {
  max_norm: f32,
}

@group(0) @binding(0) var<storage, read> square_norm: array<f32>; // [1]
@group(0) @binding(1) var<storage, read_write> factor: array<f32>; // [1]
@group(0) @binding(2) var<storage, read_write> skipped: array<u32>; // [2]: in all, in a row
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
  let square = square_norm[0];
  if ((bitcast<u32>(square) & 0x7f800000u) == 0x7f800000u) {
    factor[0] = 0.0;
    skipped[0] += 1u;
    skipped[1] += 1u;
    return;
  }
  skipped[1] = 0u;
  factor[0] = select(1.0, min(1.0, params.max_norm / (sqrt(square) + 1e-6)), params.max_norm > 0.0);
}
