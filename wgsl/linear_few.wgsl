// y = residual + f(g(x)·wᵀ + b) for the few rows of decoding, where reading w is what takes time: LANES invocations share the
// products of one row of w with every row of x, so w is read once, in full cache lines. in is a multiple of 4.
// g is layer norm where NORM is set: every workgroup finds the few means by itself, which costs less than another dispatch.
// Up to three products of one x, whose w and b follow each other, are one: then y holds that of each in turn.
//
// A token waits for this kernel's latency, not for its arithmetic. So everything that depends on nothing computed here is loaded
// first: the weights are under way while the norm is found.
// @import gelu.wgsl
// @import weights_f32x4.wgsl

struct Params {
  k4: u32, // in / 4
  n: u32, // out, of all products
  second: u32, // the columns at which the second and the third product begin, n where there is none
  third: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>; // [ROWS, k4]
@group(0) @binding(1) var<storage, read> gain: array<vec4f>; // [k4]
@group(0) @binding(2) var<storage, read> shift: array<vec4f>; // [k4]
@group(0) @binding(3) var<storage, read> w: array<Weight>; // [n, k4]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [n]
@group(0) @binding(5) var<storage, read> residual: array<f32>; // [ROWS, n]
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // [ROWS, n], by product
@group(0) @binding(7) var<uniform> params: Params;

override NORM: bool = false;
override BIAS: bool = false;
override GELU: bool = false;
override RESIDUAL: bool = false;

// @values
const ROWS: u32 = 1u;
const LANES: u32 = 32u;
const TURN: u32 = 4u; // vec4 of w in one turn: k4 is a multiple of LANES · TURN where it is not 1

const THREADS: u32 = 256u;
const SIXTEEN: u32 = 16u;

var<workgroup> parts: array<array<f32, THREADS>, ROWS>;
var<workgroup> sixteen: array<array<f32, SIXTEEN>, ROWS>;

// Sums over all invocations, in two steps of 16, where halving would take eight barriers; then `total_of` knows each row's.
fn sum_all(t: u32) {
  workgroupBarrier();
  if (t < SIXTEEN) {
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
      var some = 0.0;
      // @unroll
      for (var e = 0u; e < THREADS / SIXTEEN; e++) {
        some += parts[r][t + SIXTEEN * e];
      }
      sixteen[r][t] = some;
    }
  }
  workgroupBarrier();
}

fn total_of(r: u32) -> f32 {
  var sum = 0.0;
  // @unroll
  for (var e = 0u; e < SIXTEEN; e++) {
    sum += sixteen[r][e];
  }
  return sum;
}

fn sum4(v: vec4f) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// Asks for a turn's weights of a column, and what the norm takes beside them.
// @inline
fn load_weights(weights: ptr<function, Held>, gains: ptr<function, Held>, shifts: ptr<function, Held>, column: u32, place: u32) {
  // @unroll
  for (var turn = 0u; turn < TURN; turn++) {
    let c = place + turn * LANES;
    (*weights)[turn] = w[column * params.k4 + c];
    if (NORM) {
      (*gains)[turn] = gain[c];
      (*shifts)[turn] = shift[c];
    }
  }
}

// Mean and 1/σ of the rows, of the norm that x goes through first.
// @splice
fn normalise() {
  let width = f32(params.k4 * 4u);
  // @unroll
  for (var r = 0u; r < ROWS; r++) {
    var sum = vec4f();
    for (var c = t; c < params.k4; c += THREADS) {
      sum += x[r * params.k4 + c];
    }
    parts[r][t] = sum4(sum);
  }
  sum_all(t);
  // @unroll
  for (var r = 0u; r < ROWS; r++) {
    mean[r] = total_of(r) / width;
  }
  // @unroll
  for (var r = 0u; r < ROWS; r++) {
    var squares = vec4f();
    for (var c = t; c < params.k4; c += THREADS) {
      let centred = x[r * params.k4 + c] - mean[r];
      squares = fma(centred, centred, squares);
    }
    parts[r][t] = sum4(squares);
  }
  sum_all(t);
  // @unroll
  for (var r = 0u; r < ROWS; r++) {
    rstd[r] = 1.0 / sqrt(total_of(r) / width + 1e-5);
  }
}

// The sum of a column's lanes, with what is added to it.
// @splice
fn finish() {
  // The lanes' sums, four at a time: independent loads, where halving would take a barrier per step.
  var four = vec4f();
  for (var e = 0u; e < LANES; e += 16u) {
    // @unroll
    for (var some = 0u; some < 4u; some++) {
      let first = t - lane + e + some * 4u;
      four += vec4f(parts[lane][first], parts[lane][first + 1u], parts[lane][first + 2u], parts[lane][first + 3u]);
    }
  }
  var z = sum4(four);
  if (INT8 == 1u) {
    z *= scaled[0];
  }
  z += added;
  if (GELU) {
    z = gelu(z);
  }
  y[at] = z + passed;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let lane = t & (LANES - 1u);
  let column = group.x * (THREADS / LANES) + t / LANES;
  let works = column < params.n && lane < params.k4;
  let writes = column < params.n && lane < ROWS;
  // Where the product of this column begins among the columns of all, and how many it has.
  let begin = select(select(0u, params.second, column >= params.second), params.third, column >= params.third);
  let end = select(select(params.n, params.third, column < params.third), params.second, column < params.second);
  let at = begin * ROWS + lane * (end - begin) + column - begin;
  var added = 0.0;
  var passed = 0.0;
  if (writes && BIAS) {
    added = bias[column];
  }
  if (writes && RESIDUAL) {
    passed = residual[at];
  }
  var scaled: array<f32, INT8>;
  if (INT8 == 1u) {
    if (writes) {
      scaled[0] = scale[column];
    }
  }
  var weights: array<Weight, TURN>;
  var gains: array<vec4f, TURN>;
  var shifts: array<vec4f, TURN>;
  if (works) {
    load_weights(&weights, &gains, &shifts, column, lane);
  }
  var mean: array<f32, ROWS>;
  var rstd: array<f32, ROWS>;
  if (NORM) {
    normalise();
  }
  var sums: array<vec4f, ROWS>;
  if (works) {
    for (var c0 = lane; c0 < params.k4;) {
      // @unroll
      for (var turn = 0u; turn < TURN; turn++) {
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
          var value = x[r * params.k4 + c0 + turn * LANES];
          if (NORM) {
            value = fma((value - mean[r]) * rstd[r], gains[turn], shifts[turn]);
          }
          if (INT8 == 1u) {
            sums[r] = fma(value, decode(weights[turn]), sums[r]);
          } else {
            sums[r] = fma(value, weights[turn], sums[r]);
          }
        }
      }
      c0 += LANES * TURN;
      if (c0 < params.k4) {
        load_weights(&weights, &gains, &shifts, column, c0);
      }
    }
  }
  // @unroll
  for (var r = 0u; r < ROWS; r++) {
    parts[r][t] = sum4(sums[r]);
  }
  workgroupBarrier();
  if (writes) {
    finish();
  }
}
