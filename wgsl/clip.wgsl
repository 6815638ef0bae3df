// Clipping and the loss scale: factor = min(1, maxNorm / (√squareNorm / S + 1e-6)) / S, 1 / S where maxNorm is 0, 0 where
// squareNorm is not finite; skipped counts the last. S is the loss scale: halved after a step that is not finite, doubled after 1,000
// clean ones. hyper becomes the row of schedule of as many steps as were skipped since the host looked. Compilers may assume that there
// is no NaN, so the test looks at the exponent bits.
// @late

struct Params {
  max_norm: f32,
  rows: u32,
}

@group(0) @binding(0) var<storage, read> square_norm: array<f32>; // [1]
@group(0) @binding(1) var<storage, read_write> factor: array<f32>; // [1]
@group(0) @binding(2) var<storage, read_write> skipped: array<u32>; // [2]: in all, in a row
@group(0) @binding(3) var<storage, read_write> loss_scale: array<f32>; // [2]: S, clean steps since it changed
@group(0) @binding(4) var<storage, read> schedule: array<vec4f>; // [rows]
@group(0) @binding(5) var<storage, read> known: array<u32>; // [1]: skipped in all when the host looked
@group(0) @binding(6) var<storage, read_write> hyper: array<vec4f>; // [1]
@group(0) @binding(7) var<uniform> params: Params;

override LOSS_SCALE: bool = false;
const CLEAN_STEPS: f32 = 1000.0;

@compute @workgroup_size(1)
fn main() {
  hyper[0] = schedule[min(skipped[0] - known[0], params.rows - 1u)];
  var scale = 1.0;
  if (LOSS_SCALE) {
    scale = loss_scale[0];
  }
  let square = square_norm[0];
  if ((bitcast<u32>(square) & 0x7f800000u) == 0x7f800000u) {
    factor[0] = 0.0;
    skipped[0] += 1u;
    skipped[1] += 1u;
    if (LOSS_SCALE) {
      loss_scale[0] = scale * 0.5;
      loss_scale[1] = 0.0;
    }
    return;
  }
  skipped[1] = 0u;
  factor[0] = select(1.0, min(1.0, params.max_norm / (sqrt(square) / scale + 1e-6)), params.max_norm > 0.0) / scale;
  if (LOSS_SCALE) {
    let clean = loss_scale[1] + 1.0;
    loss_scale[0] = select(scale, scale * 2.0, clean >= CLEAN_STEPS);
    loss_scale[1] = select(clean, 0.0, clean >= CLEAN_STEPS);
  }
}
