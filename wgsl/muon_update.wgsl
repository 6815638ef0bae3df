// Muon's step, of matrices [out, in] of one shape that lie in one run of neighbours: p ← p − η·(scale·X + decay·p), with X [r,
// c] turned back where out > in. Nothing where factor is 0. A workgroup has a tile of 32 × 32.
// @late
// @import storage_f32x4.wgsl

struct Params {
  rows: u32, // out
  columns: u32, // in
  stride: u32, // columns of X
  size: u32, // elements of X
  scale: f32, // √max(1, out/in)
  decay: f32,
}

@group(0) @binding(0) var<storage, read_write> p: array<f32>;
@group(0) @binding(1) var<storage, read> places: array<u32>; // [matrices]: first element of each in the run
@group(0) @binding(2) var<storage, read> factor: array<f32>; // [1]
@group(0) @binding(3) var<storage, read> hyper: array<f32>; // [4]: the last is η
@group(0) @binding(4) var<storage, read> x: array<Stored>; // [matrices, r, c / 4]
@group(0) @binding(5) var<uniform> params: Params;

override TALL: bool = false;

var<workgroup> tile: array<f32, 1056>; // 32 rows of 33: columns are read from other banks

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let column = t & 31u;
  let own = t >> 5u;
  let origin = select(group.xy, group.yx, TALL) * 32u; // column and row of X
  let row = origin.y + t / 8u;
  let first = origin.x + t % 8u * 4u;
  if (first < params.stride && row * params.stride < params.size) {
    let four = load(x[(group.z * params.size + row * params.stride + first) / 4u]);
    for (var i = 0u; i < 4u; i++) {
      tile[t / 8u * 33u + t % 8u * 4u + i] = four[i];
    }
  }
  workgroupBarrier();
  if (factor[0] == 0.0) {
    return;
  }
  for (var q = 0u; q < 32u; q += 8u) {
    let row = group.y * 32u + own + q;
    if (row < params.rows && group.x * 32u + column < params.columns) {
      let at = places[group.z] + row * params.columns + group.x * 32u + column;
      let change = select(tile[(own + q) * 33u + column], tile[column * 33u + own + q], TALL);
      p[at] -= hyper[3] * (params.scale * change + params.decay * p[at]);
    }
  }
}
