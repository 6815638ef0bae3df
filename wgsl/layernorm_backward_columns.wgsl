// partials[s] = (Σ dy∘x̂, Σ dy) over the rows of strip s: the first stage of dGain and dBias. 32 columns × 8 row lanes a workgroup.

struct Params {
  rows: u32,
  width: u32,
  strip: u32, // rows a strip
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, width]
@group(0) @binding(1) var<storage, read> mean: array<f32>; // [rows]
@group(0) @binding(2) var<storage, read> rstd: array<f32>; // [rows]
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [rows, width]
@group(0) @binding(4) var<storage, read_write> partials: array<f32>; // [strips, 2, width]
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> sums: array<array<vec2f, 32>, 8>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let lane = t & 31u;
  let line = (t >> 5u) & 7u;
  let column = group.x * 32u + lane;
  let end = min((group.y + 1u) * params.strip, params.rows);
  var sum = vec2f();
  if (column < params.width) {
    for (var r = group.y * params.strip + line; r < end; r += 8u) {
      let d = dy[r * params.width + column];
      sum += vec2f(d * ((x[r * params.width + column] - mean[r]) * rstd[r]), d);
    }
  }
  sums[line][lane] = sum;
  workgroupBarrier();
  if (line == 0u && column < params.width) {
    var total = vec2f();
    for (var i = 0u; i < 8u; i++) {
      total += sums[i & 7u][lane];
    }
    let at = group.y * 2u * params.width + column;
    partials[at] = total.x;
    partials[at + params.width] = total.y;
  }
}
