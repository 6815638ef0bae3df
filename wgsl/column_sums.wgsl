// partials[s, c] = Σ of x[r, c] over the rows of strip s: the first stage of db = Σ dy.
// @late
// @import storage_f32.wgsl
// @import strips.wgsl

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [rows, width]
@group(0) @binding(1) var<storage, read_write> partials: array<Value>; // [strips, width]
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<array<Value, 32>, 8>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  place();
  var sum = Value();
  if (column < params.width) {
    for (var r = group.y * params.strip + line; r < end; r += 8u) {
      sum += load(x[r * params.width + column]);
    }
  }
  sums[line][lane] = sum;
  workgroupBarrier();
  if (line == 0u && column < params.width) {
    var all = Value();
    for (var i = 0u; i < 8u; i++) {
      all += sums[i & 7u][lane];
    }
    partials[group.y * params.width + column] = all;
  }
}
