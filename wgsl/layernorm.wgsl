// The norm of Eqs. 9–14: y = (x − mean)·rstd·gain + bias by row, rstd = 1/√(variance + 1e-5); mean and rstd are kept. 32 lanes per row,
// 8 rows per workgroup. The variance is that of the centred row, read a second time from cache: the one-pass form loses digits.
// @import storage_f32.wgsl
// @import rows.wgsl

struct Params {
  rows: u32,
  width: u32, // in Values
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [rows, width]
@group(0) @binding(1) var<storage, read> gain: array<Value>; // [width]
@group(0) @binding(2) var<storage, read> bias: array<Value>; // [width]
@group(0) @binding(3) var<storage, read_write> y: array<Stored>; // [rows, width]
@group(0) @binding(4) var<storage, read_write> mean: array<f32>; // [rows]
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>; // [rows]
@group(0) @binding(6) var<uniform> params: Params;

// @splice
fn row_work() {
  var sum = Value();
  for (var c = lane; c < width; c += LANES) {
    sum += load(x[at + c]);
  }
  let m = row_sum(total(sum), line, lane) / f32(params.width * WIDE);
  var squares = Value();
  for (var c = lane; c < width; c += LANES) {
    let centred = load(x[at + c]) - m;
    squares = fma(centred, centred, squares);
  }
  let r = 1.0 / sqrt(row_sum(total(squares), line, lane) / f32(params.width * WIDE) + 1e-5);
  for (var c = lane; c < width; c += LANES) {
    y[at + c] = store(fma((load(x[at + c]) - m) * r, gain[c], bias[c]));
  }
  if (lane == 0u && inside) {
    mean[row] = m;
    rstd[row] = r;
  }
}
