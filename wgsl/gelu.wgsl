// The activation x·sigmoid(1.702x) (section 5.3) and its derivative. The exponent is kept where exp does not overflow:
// beyond it the sigmoid is 0 in f32 anyway, and ∞/∞ is not.
// @import exp.wgsl

fn sigmoid(z: f32) -> f32 {
  return 1.0 / (1.0 + exp_precise(min(-1.702 * z, 80.0)));
}

fn sigmoid4(z: vec4f) -> vec4f {
  return 1.0 / (1.0 + exp_precise4(min(-1.702 * z, vec4f(80.0))));
}

fn gelu(z: f32) -> f32 {
  return z * sigmoid(z);
}

fn gelu4(z: vec4f) -> vec4f {
  return z * sigmoid4(z);
}

fn gelu_gradient(z: f32) -> f32 {
  let s = sigmoid(z);
  return fma(1.702 * z * s, 1.0 - s, s);
}

fn gelu_gradient4(z: vec4f) -> vec4f {
  let s = sigmoid4(z);
  return fma(1.702 * z * s, 1.0 - s, s);
}
