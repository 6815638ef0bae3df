// Puts one position's keys, or values, into their slots of the cache.

struct Params {
  count: u32, // batch · heads · width
  heads: u32,
  slots: u32,
  width: u32, // of a head
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [batch, heads, width]
@group(0) @binding(1) var<storage, read> slot: array<u32>; // [heads]
@group(0) @binding(2) var<storage, read_write> cache: array<f32>; // [batch, heads, slots, width]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 256u + t;
  if (i >= params.count) {
    return;
  }
  let line = i / params.width;
  cache[(line * params.slots + slot[line % params.heads]) * params.width + i % params.width] = x[i];
}
