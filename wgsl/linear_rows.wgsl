// y = residual + dropout(f(x·wᵀ + b)) for few rows (decoding): 32 lanes share the dot product of one row of x with one
// row of w, so w is read once a row of x, in full cache lines. in is a multiple of 4.
// @import row_reduce.wgsl
// @import linear_finish.wgsl

@group(0) @binding(7) var<storage, read> x: array<vec4f>; // [m, k / 4]
@group(0) @binding(8) var<storage, read> w: array<vec4f>; // [n, k / 4]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let lane = t & (LANES - 1u);
  let line = (t / LANES) & (ROWS - 1u);
  let column = group.x * ROWS + line;
  let row = group.y;
  let k4 = params.k / 4u;
  var part = vec4f();
  if (column < params.n) {
    for (var k = lane; k < k4; k += LANES) {
      part = fma(x[row * k4 + k], w[column * k4 + k], part);
    }
  }
  let sum = row_sum((part.x + part.y) + (part.z + part.w), line, lane);
  if (lane == 0u && column < params.n) {
    finish(row, column, sum);
  }
}
