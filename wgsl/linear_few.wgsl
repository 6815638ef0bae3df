// y = residual + f(g(x)·wᵀ + b) for the few rows of decoding, where reading w is what takes time: LANES invocations share the
// products of one row of w with every row of x, so w is read once, in full cache lines. in is a multiple of 4.
// g is layer norm where NORM is set: every workgroup finds the few means by itself, which costs less than another dispatch.
// @import gelu.wgsl

struct Params {
  k4: u32, // in / 4
  n: u32, // out
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>; // [ROWS, k4]
@group(0) @binding(1) var<storage, read> gain: array<vec4f>; // [k4]
@group(0) @binding(2) var<storage, read> shift: array<vec4f>; // [k4]
@group(0) @binding(3) var<storage, read> w: array<vec4f>; // [n, k4]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [n]
@group(0) @binding(5) var<storage, read> residual: array<f32>; // [ROWS, n]
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // [ROWS, n]
@group(0) @binding(7) var<uniform> params: Params;

override NORM: bool = false;
override BIAS: bool = false;
override GELU: bool = false;
override RESIDUAL: bool = false;

const ROWS: u32 = 1u;
const LANES: u32 = 32u;
const THREADS: u32 = 256u;

var<workgroup> parts: array<array<f32, THREADS>, ROWS>;

// Sums over groups of `lanes` neighbours, left with the first of each group.
fn sum_parts(t: u32, lanes: u32) {
  workgroupBarrier();
  for (var half = lanes / 2u; half > 0u; half >>= 1u) {
    if ((t & (lanes - 1u)) < half) {
      // @unroll
      for (var r = 0u; r < ROWS; r++) {
        parts[r][t] += parts[r][t + half];
      }
    }
    workgroupBarrier();
  }
}

fn sum4(v: vec4f) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let lane = t & (LANES - 1u);
  let column = group.x * (THREADS / LANES) + t / LANES;
  var mean: array<f32, ROWS>;
  var rstd: array<f32, ROWS>;
  if (NORM) {
    let width = f32(params.k4 * 4u);
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
      var sum = vec4f();
      for (var c = t; c < params.k4; c += THREADS) {
        sum += x[r * params.k4 + c];
      }
      parts[r][t] = sum4(sum);
    }
    sum_parts(t, THREADS);
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
      mean[r] = parts[r][0] / width;
    }
    workgroupBarrier();
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
      var squares = vec4f();
      for (var c = t; c < params.k4; c += THREADS) {
        let centred = x[r * params.k4 + c] - mean[r];
        squares = fma(centred, centred, squares);
      }
      parts[r][t] = sum4(squares);
    }
    sum_parts(t, THREADS);
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
      rstd[r] = 1.0 / sqrt(parts[r][0] / width + 1e-5);
    }
    workgroupBarrier();
  }
  var sums: array<vec4f, ROWS>;
  if (column < params.n) {
    for (var c = lane; c < params.k4; c += LANES) {
      let weights = w[column * params.k4 + c];
      // @unroll
      for (var r = 0u; r < ROWS; r++) {
        var value = x[r * params.k4 + c];
        if (NORM) {
          value = fma((value - mean[r]) * rstd[r], gain[c], shift[c]);
        }
        sums[r] = fma(value, weights, sums[r]);
      }
    }
  }
  // @unroll
  for (var r = 0u; r < ROWS; r++) {
    parts[r][t] = sum4(sums[r]);
  }
  sum_parts(t, LANES);
  if (lane < ROWS && column < params.n) {
    let at = lane * params.n + column;
    var z = parts[lane][t - lane];
    if (BIAS) {
      z += bias[column];
    }
    if (GELU) {
      z = gelu(z);
    }
    if (RESIDUAL) {
      z += residual[at];
    }
    y[at] = z;
  }
}
