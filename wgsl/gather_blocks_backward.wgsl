// The gradient of copies of blocks: dx[row] += Σ dy over the row's copies, in the order of the lists of route_lists.wgsl.
// @late apart
// @import storage_f32.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // Values of dx
  n: u32,
  block: u32,
  blocks: u32, // of a sequence
  all: u32, // copies of a sequence
  heads: u32,
  width: u32, // of all heads, in Values
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>; // [batch·all·block, width]
@group(0) @binding(1) var<storage, read> starts: array<u32>; // [batch, heads, blocks + 1]
@group(0) @binding(2) var<storage, read> list: array<u32>; // [batch, heads, all]
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>; // [batch·n, width]
@group(0) @binding(4) var<uniform> params: Params;

// @splice
fn element() {
  let row = i / params.width;
  let column = i % params.width;
  let b = row / params.n;
  let at = row % params.n;
  let line = b * params.heads + column * params.heads / params.width;
  let start = line * (params.blocks + 1u) + at / params.block;
  var sum = load(dx[i]);
  for (var e = starts[start]; e < starts[start + 1u]; e++) {
    let copied = (b * params.all + list[line * params.all + e]) * params.block + at % params.block;
    sum += load(dy[copied * params.width + column]);
  }
  dx[i] = store(sum);
}
