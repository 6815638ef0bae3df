// y = residual + dropout(f(x·wᵀ + b)): a workgroup owns BM × BN of y, an invocation TM rows × TN columns in registers.
// Both operands are contiguous along the summed index, so both tiles are held as vec4 along it and the products
// are four chained fma on scalars: as many workgroup-memory reads a product as the outer-product form.
// in and out are multiples of 4; other sizes go through linear_any.wgsl.
// @import storage_f32x4.wgsl
// @import lanes.wgsl
// @import random.wgsl
// @import gelu.wgsl

struct Params {
  rows: u32,
  inner4: u32, // in / 4
  out4: u32, // out / 4
  site: u32,
  micro: u32,
  threshold: u32,
  keep: f32,
  first: u32, // number of y's first element, where y is part of a whole
  whole: u32, // columns of the whole
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [rows, in / 4]
@group(0) @binding(1) var<storage, read> w: array<vec4f>; // [out, in / 4]
@group(0) @binding(2) var<storage, read> b: array<vec4f>; // [out / 4]
@group(0) @binding(3) var<storage, read> residual: array<Stored>; // [rows, out / 4]
@group(0) @binding(4) var<storage, read> seeds: array<u32>; // [2]
@group(0) @binding(5) var<storage, read_write> y: array<Stored>; // [rows, out / 4]
@group(0) @binding(6) var<storage, read_write> pre: array<Stored>; // [rows, out / 4]
@group(0) @binding(7) var<uniform> params: Params;

override BIAS: bool = false;
override PRE: bool = false;
override GELU: bool = false;
override DROPOUT: bool = false;
override RESIDUAL: bool = false;

const TX: u32 = 16u;
const TY: u32 = 16u;
const TM: u32 = 8u;
const TN: u32 = 8u;
const BK4: u32 = 4u; // depth of a tile, in vec4
const BM: u32 = TY * TM;
const BN: u32 = TX * TN;
const THREADS: u32 = TX * TY;
const XLOADS: u32 = BM * BK4 / THREADS;
const WLOADS: u32 = BN * BK4 / THREADS;

// Row ty·TM + i of x; column (j / 4)·4·TX + 4·tx + j % 4 of y, so that four of an invocation's columns are neighbours. One
// vec4 of padding a group of rows puts neighbouring groups into different banks, for the loads and for the stores.
var<workgroup> xs: array<array<vec4f, TM * BK4 + 1u>, TY>;
var<workgroup> ws: array<array<vec4f, TN * BK4 + 1u>, TX>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = lane_x(t);
  let ty = lane_y(t);
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let k4 = t & (BK4 - 1u);
  let line = t / BK4;
  var acc: array<array<f32, TN>, TM>;
  var px: array<vec4f, XLOADS>;
  var pw: array<vec4f, WLOADS>;
  let steps = (params.inner4 + BK4 - 1u) / BK4;
  for (var step = 0u; step <= steps; step++) {
    if (step > 0u) {
      // @unroll
      for (var q = 0u; q < XLOADS; q++) {
        let r = line + q * (THREADS / BK4);
        xs[(r / TM) & (TY - 1u)][(r & (TM - 1u)) * BK4 + k4] = px[q];
      }
      // @unroll
      for (var q = 0u; q < WLOADS; q++) {
        let c = line + q * (THREADS / BK4);
        ws[(c / 4u) & (TX - 1u)][(c / (4u * TX) * 4u + (c & 3u)) * BK4 + k4] = pw[q];
      }
    }
    workgroupBarrier();
    // The next tile is on its way to registers while this one is multiplied.
    let depth = step * BK4 + k4;
    if (step < steps) {
      // @unroll
      for (var q = 0u; q < XLOADS; q++) {
        let r = min(m0 + line + q * (THREADS / BK4), params.rows - 1u);
        px[q] = select(vec4f(), load(x[r * params.inner4 + depth]), depth < params.inner4);
      }
      // @unroll
      for (var q = 0u; q < WLOADS; q++) {
        let c = min(n0 + line + q * (THREADS / BK4), params.out4 * 4u - 1u);
        pw[q] = select(vec4f(), w[c * params.inner4 + depth], depth < params.inner4);
      }
    }
    if (step > 0u) {
      // @unroll
      for (var k = 0u; k < BK4; k++) {
        var a: array<vec4f, TM>;
        // @unroll
        for (var i = 0u; i < TM; i++) {
          a[i] = xs[ty][i * BK4 + k];
        }
        // @unroll
        for (var j = 0u; j < TN; j++) {
          let c = ws[tx][j * BK4 + k];
          // @unroll
          for (var i = 0u; i < TM; i++) {
            acc[i][j] = fma(a[i].w, c.w, fma(a[i].z, c.z, fma(a[i].y, c.y, fma(a[i].x, c.x, acc[i][j]))));
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
    for (var h = 0u; h < TN / 4u; h++) {
      let column = n0 / 4u + h * TX + tx;
      if (row < params.rows && column < params.out4) {
        finish(row, column, vec4f(acc[i][h * 4u], acc[i][h * 4u + 1u], acc[i][h * 4u + 2u], acc[i][h * 4u + 3u]));
      }
    }
  }
}

fn finish(row: u32, column: u32, product: vec4f) {
  let at = row * params.out4 + column;
  var z = product;
  if (BIAS) {
    z += b[column];
  }
  if (PRE) {
    pre[at] = store(z);
  }
  if (GELU) {
    z = gelu(z);
  }
  if (DROPOUT) {
    z *= dropout_factor4(seeds[0], params.site, seeds[1] + params.micro, params.first + row * params.whole + column * 4u, params.threshold, params.keep);
  }
  if (RESIDUAL) {
    z += load(residual[at]);
  }
  y[at] = store(z);
}
