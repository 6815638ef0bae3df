// The gradient of Eq. 15: dTable[i] (+)= Σ dy[r] over the rows r that read row i, listed by the inverse index: each row of the table has
// one owner, so no atomics and the order of the sum is fixed. 32 columns × 8 row lanes per workgroup.
// @late

struct Params {
  size: u32,
  width: u32,
  first: u32, // row that dy begins with
  rows: u32, // of dy; others are added by another dispatch
}

@group(0) @binding(0) var<storage, read> dy: array<f32>; // [rows, width]
@group(0) @binding(1) var<storage, read> order: array<u32>; // [rows]
@group(0) @binding(2) var<storage, read> starts: array<u32>; // [size + 1]
@group(0) @binding(3) var<storage, read_write> table: array<f32>; // [size, width]
@group(0) @binding(4) var<uniform> params: Params;

override ACCUMULATE: bool = false;

var<workgroup> sums: array<array<f32, 32>, 8>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let lane = t & 31u;
  let line = (t >> 5u) & 7u;
  let column = group.x * 32u + lane;
  let entry = group.y;
  let end = starts[entry + 1u];
  var sum = 0.0;
  if (column < params.width) {
    for (var e = starts[entry] + line; e < end; e += 8u) {
      let row = order[e] - params.first;
      sum += select(0.0, dy[row * params.width + column], row < params.rows);
    }
  }
  sums[line][lane] = sum;
  workgroupBarrier();
  if (line == 0u && column < params.width) {
    var total = 0.0;
    for (var i = 0u; i < 8u; i++) {
      total += sums[i & 7u][lane];
    }
    let at = entry * params.width + column;
    if (ACCUMULATE) {
      total += table[at];
    }
    table[at] = total;
  }
}
