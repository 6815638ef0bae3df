// o = Σ e^(mₛ − m)·sumₛ / Σ e^(mₛ − m)·lₛ over the shares s of attention_decode.wgsl: a workgroup per head. The maximum is found
// over all shares at once and a column is summed by LANES invocations, since one that walks 25 shares waits 25 times.
// @import storage_f32x4.wgsl
// @import units.wgsl

struct Params {
  units: u32, // batch · heads
}

@group(0) @binding(0) var<storage, read> partials: array<Value>; // [batch, heads, SHARES, 2 + V]
@group(0) @binding(1) var<storage, read_write> o: array<Value>; // [batch, heads, V]
@group(0) @binding(2) var<uniform> params: Params;

// @values
const V: u32 = 16u; // Values of a head
const SHARES: u32 = 25u; // at most THREADS

const THREADS: u32 = 128u;
const LANES: u32 = THREADS / V;
const EACH: u32 = (SHARES + LANES - 1u) / LANES;
const HELD: u32 = min(EACH, 16u); // of them loaded before the maximum is known
const SIXTEEN: u32 = 16u;
const STRIDE: u32 = 2u + V;

var<workgroup> tops: array<f32, THREADS>; // mₛ
var<workgroup> sixteen: array<f32, SIXTEEN>;
var<workgroup> totals: array<f32, THREADS>;
var<workgroup> sums: array<Value, THREADS>;

// @splice
fn unit_work() {
  let start = unit * SHARES * STRIDE;
  let lane = t / V;
  let column = t % V;
  var top = -1e29;
  if (t < SHARES) {
    top = element(partials[start + t * STRIDE], 0u);
  }
  tops[t] = top;
  var weighed: array<f32, HELD>;
  var held: array<Value, HELD>;
  if (lane < LANES) {
    // @unroll
    for (var e = 0u; e < HELD; e++) {
      let at = start + min(e * LANES + lane, SHARES - 1u) * STRIDE;
      weighed[e] = element(partials[at + 1u], 0u);
      held[e] = partials[at + 2u + column];
    }
  }
  workgroupBarrier();
  if (t < SIXTEEN) {
    // @unroll
    for (var e = 1u; e < THREADS / SIXTEEN; e++) {
      top = max(top, tops[t + SIXTEEN * e]);
    }
    sixteen[t] = top;
  }
  workgroupBarrier();
  var high = -1e29;
  // @unroll
  for (var e = 0u; e < SIXTEEN; e++) {
    high = max(high, sixteen[e]);
  }
  var sum = Value();
  var weights = 0.0;
  if (lane < LANES) {
    // @unroll
    for (var e = 0u; e < HELD; e++) {
      let s = e * LANES + lane;
      if (s < SHARES) {
        let weight = exp(tops[s] - high);
        weights = fma(weight, weighed[e], weights);
        sum = fma(Value(weight), held[e], sum);
      }
    }
    // @unroll
    for (var e = HELD; e < EACH; e++) {
      let s = e * LANES + lane;
      if (s < SHARES) {
        let weight = exp(tops[s] - high);
        weights = fma(weight, element(partials[start + s * STRIDE + 1u], 0u), weights);
        sum = fma(Value(weight), partials[start + s * STRIDE + 2u + column], sum);
      }
    }
  }
  sums[t] = sum;
  totals[t] = weights;
  workgroupBarrier();
  if (t < V) {
    for (var other = 1u; other < LANES; other++) {
      sum += sums[other * V + t];
      weights += totals[other * V + t];
    }
    o[unit * V + t] = sum / weights;
  }
}
