// y[r, h, c] = x[r, h, c] for c below both widths, 0 beyond x's: gives heads a width that is a multiple of 4, and takes it away.

struct Params {
  count: u32, // elements of y
  source: u32, // width of a head in x
  width: u32, // width of a head in y
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

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
  let head = i / params.width;
  let column = i % params.width;
  y[i] = select(0.0, x[head * params.source + column], column < params.source);
}
