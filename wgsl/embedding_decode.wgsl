// Eq. 15 for one position: y[b] (+)= table[row], the row being that of the token before position i, or rows[i]: one table per dispatch.
// @import weights_f32.wgsl

struct Params {
  count: u32, // batch · width
  width: u32,
  batch: u32,
  start: u32,
}

@group(0) @binding(0) var<storage, read> tape: array<u32>; // [n, batch]
@group(0) @binding(1) var<storage, read> position: array<u32>; // [1]
@group(0) @binding(2) var<storage, read> rows: array<u32>; // [n]
@group(0) @binding(3) var<storage, read> table: array<Weight>; // [size, width]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [batch, width]
@group(0) @binding(5) var<uniform> params: Params;

override TOKENS: bool = false;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let at = group.x * 256u + t;
  if (at >= params.count) {
    return;
  }
  let i = position[0];
  let column = at % params.width;
  if (TOKENS) {
    var token = params.start;
    if (i > 0u) {
      token = tape[(i - 1u) * params.batch + at / params.width];
    }
    let place = token * params.width + column;
    if (INT8 == 1u) {
      y[at] = decode(table[place / 4u])[place & 3u] * scale[token];
    } else {
      y[at] = table[place];
    }
  } else {
    let place = rows[i] * params.width + column;
    if (INT8 == 1u) {
      y[at] += decode(table[place / 4u])[place & 3u] * scale[rows[i]];
    } else {
      y[at] += table[place];
    }
  }
}
