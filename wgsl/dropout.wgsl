// Dropout (Eqs. 9–14): y = x·keep where the generator keeps it, 0 elsewhere, keep = 1/(1 − p); two elements a random block and an
// invocation.
// @late
// @import random.wgsl

struct Params {
  count: u32,
  site: u32,
  micro: u32,
  threshold: u32,
  keep: f32,
  first: u32, // element of the whole that x begins with
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read> seeds: array<u32>; // [2]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [count]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let i = ((group.y * groups.x + group.x) * 256u + t) * 2u;
  if (i >= params.count) {
    return;
  }
  let keeps = dropout_keeps2(seeds[0], params.site, seeds[1] + params.micro, params.first + i, params.threshold);
  y[i] = select(0.0, x[i] * params.keep, keeps.x);
  if (i + 1u < params.count) {
    y[i + 1u] = select(0.0, x[i + 1u] * params.keep, keeps.y);
  }
}
