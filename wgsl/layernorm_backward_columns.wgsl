// partials[s] = (Σ dy∘x̂, Σ dy) over the rows of strip s: the first stage of dGain and dBias.
// @late
// @import storage_f32.wgsl
// @import strips.wgsl

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [rows, width]
@group(0) @binding(1) var<storage, read> mean: array<f32>; // [rows]
@group(0) @binding(2) var<storage, read> rstd: array<f32>; // [rows]
@group(0) @binding(3) var<storage, read> dy: array<Stored>; // [rows, width]
@group(0) @binding(4) var<storage, read_write> partials: array<Value>; // [strips, 2, width]
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> products: array<array<Value, 32>, 8>;
var<workgroup> sums: array<array<Value, 32>, 8>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  place();
  var product = Value();
  var sum = Value();
  if (column < params.width) {
    for (var r = group.y * params.strip + line; r < end; r += 8u) {
      let d = load(dy[r * params.width + column]);
      product = fma(d, (load(x[r * params.width + column]) - mean[r]) * rstd[r], product);
      sum += d;
    }
  }
  products[line][lane] = product;
  sums[line][lane] = sum;
  workgroupBarrier();
  if (line == 0u && column < params.width) {
    var all_products = Value();
    var all = Value();
    for (var i = 0u; i < 8u; i++) {
      all_products += products[i & 7u][lane];
      all += sums[i & 7u][lane];
    }
    let at = group.y * 2u * params.width + column;
    partials[at] = all_products;
    partials[at + params.width] = all;
  }
}
