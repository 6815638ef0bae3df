// The loss of one number per row: losses = weight·(x − t)², or weight·(ln(1 + eˣ) − t·x) where it is logistic; dx is its derivative · scale · S, S
// the loss scale. An invocation has a row.
// @late
// @import elements.wgsl

struct Params {
  count: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>; // [count]
@group(0) @binding(1) var<storage, read> targets: array<f32>; // [count]
@group(0) @binding(2) var<storage, read> weights: array<f32>; // [count]
@group(0) @binding(3) var<storage, read_write> losses: array<f32>; // [count]
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>; // [count]
@group(0) @binding(5) var<storage, read> loss_scale: array<f32>; // [2]: S first
@group(0) @binding(6) var<uniform> params: Params;

override SQUARED: bool = false;
override GRADIENT: bool = false;
override LOSS_SCALE: bool = false;

// @splice
fn element() {
  let z = x[i];
  let off = z - targets[i];
  var loss = off * off;
  var slope = 2.0 * off;
  if (!SQUARED) {
    let e = exp(-abs(z));
    loss = max(z, 0.0) - targets[i] * z + log(1.0 + e);
    slope = select(1.0, e, z < 0.0) / (1.0 + e) - targets[i];
  }
  losses[i] = weights[i] * loss;
  if (GRADIENT) {
    var scale = params.scale;
    if (LOSS_SCALE) {
      scale *= loss_scale[0];
    }
    gradient[i] = weights[i] * slope * scale;
  }
}
