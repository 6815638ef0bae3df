// Adam (arXiv:1711.05101, algorithm 2) with decoupled decay over a run of neighbouring tensors, each padded to 64 elements; one bit per
// block of 64 says whether it decays. p ← p − lr·(m̂/(√v̂ + ε) + wd·p), nothing at all where factor is 0.
// @late
// @import elements.wgsl

struct Params {
  count: u32, // vec4
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 − β₁, rounded once
  rest2: f32,
  eps: f32,
  decay: f32,
}

@group(0) @binding(0) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> factor: array<f32>; // [1]
@group(0) @binding(5) var<storage, read> hyper: array<f32>; // [4]: learning rate, 1/(1 − β₁ᵗ), 1/(1 − β₂ᵗ)
@group(0) @binding(6) var<storage, read> decays: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

// @splice
fn element() {
  let f = factor[0];
  if (f == 0.0) {
    return;
  }
  let grad = g[i] * f;
  let first = params.beta1 * m[i] + params.rest1 * grad;
  let second = params.beta2 * v[i] + params.rest2 * grad * grad;
  m[i] = first;
  v[i] = second;
  let block = i >> 4u;
  let decays_here = ((decays[block >> 5u] >> (block & 31u)) & 1u) == 1u;
  let decay = select(0.0, params.decay, decays_here);
  p[i] -= hyper[0] * (first * hyper[1] / (sqrt(second * hyper[2]) + params.eps) + decay * p[i]);
}
