// The loss, −ln of Eq. 1 by position: losses[r] = −ln softmax(logits[r])[targets[r]]; dLogits = (softmax − onehot)·scale·S, S the loss
// scale; both 0 where the target is no column. 32 lanes per row, 8 rows per workgroup.
// @late
// @import storage_f32.wgsl
// @import rows.wgsl
// @import exp.wgsl

struct Params {
  rows: u32,
  width: u32, // in Values
  scale: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<Stored>; // [rows, width]
@group(0) @binding(1) var<storage, read> targets: array<u32>; // [rows]
@group(0) @binding(2) var<storage, read_write> losses: array<f32>; // [rows]
@group(0) @binding(3) var<storage, read_write> gradient: array<Stored>; // [rows, width]
@group(0) @binding(4) var<storage, read> loss_scale: array<f32>; // [2]: S first
@group(0) @binding(5) var<uniform> params: Params;

override GRADIENT: bool = false;
override LOSS_SCALE: bool = false;

// @splice
fn row_work() {
  var high = -3.4e38;
  for (var c = lane; c < width; c += LANES) {
    high = max(high, highest(load(logits[at + c])));
  }
  high = row_max(high, line, lane);
  var sum = Value();
  for (var c = lane; c < width; c += LANES) {
    sum += exp_precise(load(logits[at + c]) - high);
  }
  let all = row_sum(total(sum), line, lane);
  if (!inside) {
    return;
  }
  let target_column = targets[row];
  // A target beyond the vocabulary counts for nothing.
  let counts = target_column < width * WIDE;
  if (lane == 0u) {
    let column = select(0u, target_column, counts);
    losses[row] = select(0.0, log(all) + high - element(load(logits[at + column / WIDE]), column % WIDE), counts);
  }
  if (GRADIENT) {
    var scale = select(0.0, params.scale, counts);
    if (LOSS_SCALE) {
      scale *= loss_scale[0];
    }
    for (var c = lane; c < width; c += LANES) {
      gradient[at + c] = store((exp_precise(load(logits[at + c]) - high) / all - one_hot(c * WIDE, target_column)) * scale);
    }
  }
}
