// y[i] (+)= Σ over s of partials[s·stride + offset + i]: the second stage of every sum over rows. LANES invocations share an i, and each
// has four loads under way: where one added all, it waited for each.
// @late

struct Params {
  count: u32,
  partials: u32,
  stride: u32,
  offset: u32,
}

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override ACCUMULATE: bool = false;

// @values
const LANES: u32 = 1u;

const COLUMNS: u32 = 256u / LANES;

var<workgroup> sums: array<array<f32, COLUMNS>, LANES>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let column = t % COLUMNS;
  let lane = t / COLUMNS;
  let i = (group.y * groups.x + group.x) * COLUMNS + column;
  let at = params.offset + min(i, params.count - 1u);
  var sum: array<f32, 4>;
  for (var s = lane; s < params.partials; s += 4u * LANES) {
    // @unroll
    for (var c = 0u; c < 4u; c++) {
      let from_strip = min(s + c * LANES, params.partials - 1u);
      sum[c] += select(0.0, partials[from_strip * params.stride + at], s + c * LANES < params.partials);
    }
  }
  sums[lane][column] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  workgroupBarrier();
  var total = 0.0;
  for (var l = 0u; l < LANES; l++) {
    total += sums[l % LANES][column];
  }
  if (lane == 0u && i < params.count) {
    if (ACCUMULATE) {
      total += y[i];
    }
    y[i] = total;
  }
}
