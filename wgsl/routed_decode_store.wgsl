// The decoded position's key, or value, to its slot, cache[i] = x, and after the last position of a block the block's mean, Σ cache / block, to the
// slot of its summary.
// @late apart
// @import elements.wgsl

struct Params {
  count: u32, // lines · width
  width: u32, // of a head
  n: u32,
  slots: u32, // n + blocks
  block: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [batch, heads, width]
@group(0) @binding(1) var<storage, read> position: array<u32>; // [1]
@group(0) @binding(2) var<storage, read_write> cache: array<f32>; // [batch, heads, slots, width]
@group(0) @binding(3) var<uniform> params: Params;

// @splice
fn element() {
  let here = position[0];
  let first = i / params.width * params.slots * params.width + i % params.width;
  cache[first + here * params.width] = x[i];
  if ((here + 1u) % params.block == 0u) {
    var sum = x[i];
    for (var r = 1u; r < params.block; r++) {
      sum += cache[first + (here - r) * params.width];
    }
    cache[first + (params.n + here / params.block) * params.width] = sum / f32(params.block);
  }
}
