// The activation x·sigmoid(1.702x) (section 5.3) and its derivative. The exponent is kept where exp does not overflow:
// beyond it the sigmoid is 0 in f32 anyway, and ∞/∞ is not.
// @import exp.wgsl

fn sigmoid(z: Value) -> Value {
  return 1.0 / (1.0 + exp_precise(min(-1.702 * z, Value(80.0))));
}

fn gelu(z: Value) -> Value {
  return z * sigmoid(z);
}

fn gelu_gradient(z: Value) -> Value {
  let s = sigmoid(z);
  return fma(1.702 * z * s, 1.0 - s, s);
}
