// position += by, once every sequence has chosen.

struct Params {
  by: u32,
}

@group(0) @binding(0) var<storage, read_write> position: array<u32>; // [1]
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
  position[0] += params.by;
}
