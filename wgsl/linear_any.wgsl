// y = finish(Σₖ a[m, k]·b[k, n]) of any sizes and strides, by elements: for widths that are not multiples of 4.
// @late
// @import linear_finish.wgsl

@group(0) @binding(7) var<storage, read> a: array<f32>; // element (m, k) at m·am + k·ak
@group(0) @binding(8) var<storage, read> b: array<f32>; // element (k, n) at k·bk + n·bn

const T: u32 = 16u;

var<workgroup> as_: array<array<f32, T>, T>;
var<workgroup> bs: array<array<f32, T>, T>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = t & (T - 1u);
  let ty = (t / T) & (T - 1u);
  let row = group.y * T + ty;
  let column = group.x * T + tx;
  var sum = 0.0;
  for (var k0 = 0u; k0 < params.k; k0 += T) {
    as_[ty][tx] = select(0.0, a[row * params.am + (k0 + tx) * params.ak], row < params.m && k0 + tx < params.k);
    bs[ty][tx] = select(0.0, b[(k0 + ty) * params.bk + column * params.bn], k0 + ty < params.k && column < params.n);
    workgroupBarrier();
    // @unroll
    for (var k = 0u; k < T; k++) {
      sum = fma(as_[ty][k], bs[k][tx], sum);
    }
    workgroupBarrier();
  }
  if (row < params.m && column < params.n) {
    finish(row, column, sum);
  }
}
