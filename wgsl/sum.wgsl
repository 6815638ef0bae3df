// y[at + workgroup] (+)= scale · Σ over the workgroup's share of x, or of x²: both stages of a fixed-order tree.
// @late

struct Params {
  count: u32,
  share: u32, // elements per workgroup
  at: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override SQUARE: bool = false;
override ACCUMULATE: bool = false;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let end = min((group.x + 1u) * params.share, params.count);
  var sum = vec4f();
  for (var i = group.x * params.share + t; i < end; i += 1024u) {
    // Four strides at once, so that four loads are in flight.
    let v = vec4f(
      x[i],
      select(0.0, x[i + 256u], i + 256u < end),
      select(0.0, x[i + 512u], i + 512u < end),
      select(0.0, x[i + 768u], i + 768u < end),
    );
    if (SQUARE) {
      sum = fma(v, v, sum);
    } else {
      sum += v;
    }
  }
  sums[t] = (sum.x + sum.y) + (sum.z + sum.w);
  workgroupBarrier();
  for (var half = 128u; half > 0u; half >>= 1u) {
    if (t < half) {
      sums[t] += sums[t + half];
    }
    workgroupBarrier();
  }
  if (t == 0u) {
    var total = sums[0] * params.scale;
    if (ACCUMULATE) {
      total += y[params.at + group.x];
    }
    y[params.at + group.x] = total;
  }
}
