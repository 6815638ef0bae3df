// y[i] (+)= Σ over s of partials[s·stride + offset + i], in order of s: the second stage of every sum over rows.

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

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + t;
  if (i >= params.count) {
    return;
  }
  var sum = 0.0;
  for (var s = 0u; s < params.partials; s++) {
    sum += partials[s * params.stride + params.offset + i];
  }
  if (ACCUMULATE) {
    sum += y[i];
  }
  y[i] = sum;
}
