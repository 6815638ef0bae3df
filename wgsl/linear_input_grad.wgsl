// dx = residual + (dy·w) ∘ f′(pre): tiles as in linear.wgsl, but w is contiguous across the columns of dx, so its tile
// holds vec4 of neighbouring columns and the products are outer: one lane of dy times a vec4 of w.
// in and out are multiples of 4; other sizes go through linear_any.wgsl.
// @import storage_f32x4.wgsl
// @import lanes.wgsl
// @import gelu.wgsl

struct Params {
  rows: u32,
  inner4: u32, // the summed index, out / 4
  out4: u32, // columns of dx, in / 4
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>; // [rows, out / 4]
@group(0) @binding(1) var<storage, read> w: array<vec4f>; // [out, in / 4]
@group(0) @binding(2) var<storage, read> pre: array<Stored>; // [rows, in / 4]
@group(0) @binding(3) var<storage, read> residual: array<Stored>; // [rows, in / 4]
@group(0) @binding(4) var<storage, read_write> dx: array<Stored>; // [rows, in / 4]
@group(0) @binding(5) var<uniform> params: Params;

override GELU: bool = false;
override RESIDUAL: bool = false;

const TX: u32 = 16u;
const TY: u32 = 16u;
const TM: u32 = 8u;
const TN: u32 = 8u;
const BK4: u32 = 4u;
const H: u32 = TN / 4u;
const BM: u32 = TY * TM;
const BN4: u32 = TX * H;
const THREADS: u32 = TX * TY;
const DLOADS: u32 = BM * BK4 / THREADS;
const WLOADS: u32 = BN4 * BK4 * 4u / THREADS;

var<workgroup> ds: array<array<vec4f, TM * BK4 + 1u>, TY>; // padded as in linear.wgsl
var<workgroup> ws: array<array<array<array<vec4f, TX>, H>, 4>, BK4>; // depth k4·4 + lane, column h·TX + tx

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = lane_x(t);
  let ty = lane_y(t);
  let m0 = group.y * BM;
  let n0 = group.x * BN4;
  let k4 = t & (BK4 - 1u);
  let line = t / BK4;
  let column = t & (BN4 - 1u);
  let wcolumn = min(n0 + column, params.out4 - 1u);
  var acc: array<array<vec4f, H>, TM>;
  var pd: array<vec4f, DLOADS>;
  var pw: array<vec4f, WLOADS>;
  let steps = (params.inner4 + BK4 - 1u) / BK4;
  for (var step = 0u; step <= steps; step++) {
    if (step > 0u) {
      // @unroll
      for (var q = 0u; q < DLOADS; q++) {
        let r = line + q * (THREADS / BK4);
        ds[(r / TM) & (TY - 1u)][(r & (TM - 1u)) * BK4 + k4] = pd[q];
      }
      // @unroll
      for (var q = 0u; q < WLOADS; q++) {
        let k = t / BN4 + q * (THREADS / BN4);
        ws[(k / 4u) & (BK4 - 1u)][k & 3u][column / TX][column & (TX - 1u)] = pw[q];
      }
    }
    workgroupBarrier();
    if (step < steps) {
      let depth = step * BK4 + k4;
      // @unroll
      for (var q = 0u; q < DLOADS; q++) {
        let r = min(m0 + line + q * (THREADS / BK4), params.rows - 1u);
        pd[q] = select(vec4f(), load(dy[r * params.inner4 + depth]), depth < params.inner4);
      }
      // @unroll
      for (var q = 0u; q < WLOADS; q++) {
        let k = step * BK4 * 4u + t / BN4 + q * (THREADS / BN4);
        pw[q] = select(vec4f(), w[k * params.out4 + wcolumn], k < params.inner4 * 4u);
      }
    }
    if (step > 0u) {
      // @unroll
      for (var k = 0u; k < BK4; k++) {
        var a: array<vec4f, TM>;
        // @unroll
        for (var i = 0u; i < TM; i++) {
          a[i] = ds[ty][i * BK4 + k];
        }
        // @unroll
        for (var lane = 0u; lane < 4u; lane++) {
          // @unroll
          for (var h = 0u; h < H; h++) {
            let c = ws[k][lane][h][tx];
            // @unroll
            for (var i = 0u; i < TM; i++) {
              acc[i][h] = fma(vec4f(a[i][lane]), c, acc[i][h]);
            }
          }
        }
      }
    }
    workgroupBarrier();
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let row = m0 + ty * TM + i;
    // @unroll
    for (var h = 0u; h < H; h++) {
      let c = n0 + h * TX + tx;
      if (row < params.rows && c < params.out4) {
        finish(row * params.out4 + c, acc[i][h]);
      }
    }
  }
}

fn finish(at: u32, product: vec4f) {
  var z = product;
  if (GELU) {
    z *= gelu_gradient(load(pre[at]));
  }
  if (RESIDUAL) {
    z += load(residual[at]);
  }
  dx[at] = store(z);
}
