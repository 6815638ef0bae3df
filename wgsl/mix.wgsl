// A branch of an attention by its gates: y (+)= σ(gates[row, first + h])·part.
// @late apart
// @import storage_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // Values
  heads: u32,
  width: u32, // of all heads, in Values
  columns: u32, // of gates
  first: u32, // this branch's
}

@group(0) @binding(0) var<storage, read> gates: array<f32>; // [rows, columns]
@group(0) @binding(1) var<storage, read> part: array<Value>; // [rows, width]
@group(0) @binding(2) var<storage, read_write> y: array<Value>; // [rows, width]
@group(0) @binding(3) var<uniform> params: Params;

// @splice
fn element() {
  let row = i / params.width;
  let z = gates[row * params.columns + params.first + i % params.width * params.heads / params.width];
  var sum = part[i] / (1.0 + exp(-z));
  if (params.first > 0u) {
    sum += y[i];
  }
  y[i] = sum;
}
