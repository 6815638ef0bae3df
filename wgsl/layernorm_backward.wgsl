// The gradient of layernorm.wgsl: dx = residual + rstd·(g − mean(g) − x̂·mean(g∘x̂)), g = dy∘gain, x̂ = (x − mean)·rstd. 32 lanes per
// row, 8 rows per workgroup.
// @late
// @import storage_f32.wgsl
// @import rows.wgsl

struct Params {
  rows: u32,
  width: u32, // in Values
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [rows, width]
@group(0) @binding(1) var<storage, read> gain: array<Value>; // [width]
@group(0) @binding(2) var<storage, read> mean: array<f32>; // [rows]
@group(0) @binding(3) var<storage, read> rstd: array<f32>; // [rows]
@group(0) @binding(4) var<storage, read> dy: array<Stored>; // [rows, width]
@group(0) @binding(5) var<storage, read> residual: array<Stored>; // [rows, width]
@group(0) @binding(6) var<storage, read_write> dx: array<Stored>; // [rows, width]
@group(0) @binding(7) var<uniform> params: Params;

override RESIDUAL: bool = false;

// @splice
fn row_work() {
  let m = mean[min(row, params.rows - 1u)];
  let r = rstd[min(row, params.rows - 1u)];
  var sum = Value();
  var product = Value();
  for (var c = lane; c < width; c += LANES) {
    let g = load(dy[at + c]) * gain[c];
    sum += g;
    product = fma(g, (load(x[at + c]) - m) * r, product);
  }
  let mean_g = row_sum(total(sum), line, lane) / f32(params.width * WIDE);
  let mean_gx = row_sum(total(product), line, lane) / f32(params.width * WIDE);
  for (var c = lane; c < width; c += LANES) {
    var d = r * (load(dy[at + c]) * gain[c] - mean_g - (load(x[at + c]) - m) * r * mean_gx);
    if (RESIDUAL) {
      d += load(residual[at + c]);
    }
    dx[at + c] = store(d);
  }
}
