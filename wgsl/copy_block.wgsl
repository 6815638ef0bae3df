// y's block = x's block: rows of words from a place in one buffer to a place in another. Moves what does not lie where one
// binding can hold it to where it does.

struct Params {
  count: u32, // words
  width: u32, // words of a row
  x_first: u32,
  x_stride: u32,
  y_first: u32,
  y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
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
  let row = i / params.width;
  let column = i % params.width;
  y[params.y_first + row * params.y_stride + column] = x[params.x_first + row * params.x_stride + column];
}
