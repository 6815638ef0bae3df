// The gradients of a branch and of its gates: dPart = σ(z)·dy, dz = σ′(z)·(dy · part), z = gates[row, first + h]. A row here is of a head.
// @late apart
// @import storage_f32.wgsl
// @import rows.wgsl

struct Params {
  rows: u32, // rows · heads
  width: u32, // of a head, in Values
  heads: u32,
  columns: u32, // of gates
  first: u32, // this branch's
}

@group(0) @binding(0) var<storage, read> gates: array<f32>; // [rows, columns]
@group(0) @binding(1) var<storage, read> part: array<Value>; // [rows, heads·width]
@group(0) @binding(2) var<storage, read> dy: array<Value>; // [rows, heads·width]
@group(0) @binding(3) var<storage, read_write> d_gates: array<f32>; // [rows, columns]
@group(0) @binding(4) var<storage, read_write> d_part: array<Value>; // [rows, heads·width]
@group(0) @binding(5) var<uniform> params: Params;

// @splice
fn row_work() {
  let place = row / params.heads * params.columns + params.first + row % params.heads;
  let gate = 1.0 / (1.0 + exp(-gates[place]));
  var products = Value();
  for (var c = lane; c < width; c += LANES) {
    products = fma(dy[at + c], part[at + c], products);
    d_part[at + c] = gate * dy[at + c];
  }
  let slope = row_sum(total(products), line, lane);
  if (lane == 0u && inside) {
    d_gates[place] = gate * (1.0 - gate) * slope;
  }
}
