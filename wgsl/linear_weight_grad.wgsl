// dw (+)= dyᵀ·x: the summed index is the row, and rows are many while dw is small, so the rows are also split over
// workgroups (z): each split writes its own partial, which reduce_partials.wgsl adds in order. No atomics.
// in and out are multiples of 4; other sizes go through linear_any.wgsl.
// @import storage_f32x4.wgsl
// @import lanes.wgsl

struct Params {
  rows: u32,
  split: u32, // rows a split
  out4: u32, // rows of dw / 4
  in4: u32, // columns of dw / 4
}

@group(0) @binding(0) var<storage, read> dy: array<Stored>; // [rows, out / 4]
@group(0) @binding(1) var<storage, read> x: array<Stored>; // [rows, in / 4]
@group(0) @binding(2) var<storage, read_write> dw: array<vec4f>; // [splits, out, in / 4]
@group(0) @binding(3) var<uniform> params: Params;

override ACCUMULATE: bool = false;

const TX: u32 = 16u;
const TY: u32 = 16u;
const TM: u32 = 8u;
const TN: u32 = 8u;
const BK4: u32 = 4u;
const BK: u32 = 4u * BK4;
const G: u32 = TM / 4u;
const H: u32 = TN / 4u;
const BM4: u32 = TY * G;
const BN4: u32 = TX * H;
const THREADS: u32 = TX * TY;
const DLOADS: u32 = BM4 * BK / THREADS;
const XLOADS: u32 = BN4 * BK / THREADS;

var<workgroup> ds: array<array<array<vec4f, TY>, G>, BK>; // vec4 of dy's columns g·TY + ty
var<workgroup> xs: array<array<array<vec4f, TX>, H>, BK>; // vec4 of x's columns h·TX + tx

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = lane_x(t);
  let ty = lane_y(t);
  let m0 = group.y * BM4;
  let n0 = group.x * BN4;
  let first = group.z * params.split;
  let end = min(first + params.split, params.rows);
  let dcolumn = t & (BM4 - 1u);
  let xcolumn = t & (BN4 - 1u);
  let dfrom = min(m0 + dcolumn, params.out4 - 1u);
  let xfrom = min(n0 + xcolumn, params.in4 - 1u);
  var acc: array<array<vec4f, H>, TM>;
  var pd: array<vec4f, DLOADS>;
  var px: array<vec4f, XLOADS>;
  let steps = (end - first + BK - 1u) / BK;
  for (var step = 0u; step <= steps; step++) {
    if (step > 0u) {
      // @unroll
      for (var q = 0u; q < DLOADS; q++) {
        ds[(t / BM4 + q * (THREADS / BM4)) & (BK - 1u)][dcolumn / TY][dcolumn & (TY - 1u)] = pd[q];
      }
      // @unroll
      for (var q = 0u; q < XLOADS; q++) {
        xs[(t / BN4 + q * (THREADS / BN4)) & (BK - 1u)][xcolumn / TX][xcolumn & (TX - 1u)] = px[q];
      }
    }
    workgroupBarrier();
    if (step < steps) {
      // @unroll
      for (var q = 0u; q < DLOADS; q++) {
        let r = first + step * BK + t / BM4 + q * (THREADS / BM4);
        pd[q] = select(vec4f(), load(dy[r * params.out4 + dfrom]), r < end);
      }
      // @unroll
      for (var q = 0u; q < XLOADS; q++) {
        let r = first + step * BK + t / BN4 + q * (THREADS / BN4);
        px[q] = select(vec4f(), load(x[r * params.in4 + xfrom]), r < end);
      }
    }
    if (step > 0u) {
      // @unroll
      for (var k = 0u; k < BK; k++) {
        var a: array<vec4f, G>;
        // @unroll
        for (var g = 0u; g < G; g++) {
          a[g] = ds[k][g][ty];
        }
        // @unroll
        for (var h = 0u; h < H; h++) {
          let c = xs[k][h][tx];
          // @unroll
          for (var i = 0u; i < TM; i++) {
            acc[i][h] = fma(vec4f(a[i / 4u][i % 4u]), c, acc[i][h]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let row4 = m0 + (i / 4u) * TY + ty;
    // @unroll
    for (var h = 0u; h < H; h++) {
      let column = n0 + h * TX + tx;
      if (row4 < params.out4 && column < params.in4) {
        let at = (group.z * params.out4 * 4u + row4 * 4u + i % 4u) * params.in4 + column;
        if (ACCUMULATE) {
          dw[at] += acc[i][h];
        } else {
          dw[at] = acc[i][h];
        }
      }
    }
  }
}
