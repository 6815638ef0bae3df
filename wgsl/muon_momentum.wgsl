// Muon's momentum, of matrices [out, in] of one shape that lie in one run of neighbours: m ← μ·m + g·factor, and u = g·factor
// + μ·m as the first X [r, c], r ≤ c, turned where out > in, 0 where its sides are rounded up to 4. A workgroup has a tile of 32 × 32
// and leaves the sum of its squares. Where factor is 0 m stays and X is 0.
// @late

struct Params {
  rows: u32, // out
  columns: u32, // in
  stride: u32, // columns of X
  size: u32, // elements of X
  mu: f32,
}

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> m: array<f32>;
@group(0) @binding(2) var<storage, read> places: array<u32>; // [matrices]: first element of each in the run
@group(0) @binding(3) var<storage, read> factor: array<f32>; // [1]
@group(0) @binding(4) var<storage, read_write> x: array<f32>; // [matrices, r, c]
@group(0) @binding(5) var<storage, read_write> squares: array<f32>; // [tiles, matrices]
@group(0) @binding(6) var<uniform> params: Params;

override TALL: bool = false;

var<workgroup> tile: array<f32, 1056>; // 32 rows of 33: columns are read from other banks
var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = places[group.z];
  let f = factor[0];
  let column = t & 31u;
  let own = t >> 5u;
  var sum = 0.0;
  for (var q = 0u; q < 32u; q += 8u) {
    let row = group.y * 32u + own + q;
    let at = place + row * params.columns + group.x * 32u + column;
    var u = 0.0;
    if (row < params.rows && group.x * 32u + column < params.columns && f != 0.0) {
      let grad = g[at] * f;
      let first = params.mu * m[at] + grad;
      m[at] = first;
      u = grad + params.mu * first;
    }
    tile[(own + q) * 33u + column] = u;
    sum += u * u;
  }
  sums[t] = sum;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half >>= 1u) {
    if (t < half) {
      sums[t] += sums[t + half];
    }
    workgroupBarrier();
  }
  if (t == 0u) {
    squares[(group.y * groups.x + group.x) * groups.z + group.z] = sums[0];
  }
  let origin = select(group.xy, group.yx, TALL) * 32u; // column and row of X
  for (var q = 0u; q < 32u; q += 8u) {
    let row = origin.y + own + q;
    let u = select(tile[(own + q) * 33u + column], tile[column * 33u + own + q], TALL);
    if (origin.x + column < params.stride && row * params.stride < params.size) {
      x[group.z * params.size + row * params.stride + origin.x + column] = u;
    }
  }
}
