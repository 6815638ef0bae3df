// o = Σ e^(mₛ − m)·sumₛ / Σ e^(mₛ − m)·lₛ over the shares s of attention_decode.wgsl.
// @import storage_f32x4.wgsl

struct Params {
  count: u32, // batch · heads · width
  width: u32, // of a head, in Values
  shares: u32,
}

@group(0) @binding(0) var<storage, read> partials: array<Value>; // [batch, heads, shares, 2 + width]
@group(0) @binding(1) var<storage, read_write> o: array<Value>; // [batch, heads, width]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 64u + t;
  if (i >= params.count) {
    return;
  }
  let stride = 2u + params.width;
  let start = i / params.width * params.shares * stride;
  let column = 2u + i % params.width;
  var high = -1e29;
  for (var s = 0u; s < params.shares; s++) {
    high = max(high, element(partials[start + s * stride], 0u));
  }
  var weights = 0.0;
  var sum = Value();
  for (var s = 0u; s < params.shares; s++) {
    let weight = exp(element(partials[start + s * stride], 0u) - high);
    weights = fma(weight, element(partials[start + s * stride + 1u], 0u), weights);
    sum += weight * partials[start + s * stride + column];
  }
  o[i] = sum / weights;
}
