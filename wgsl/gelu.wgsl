// The activation x·sigmoid(1.702x) (section 5.3) and its derivative.

fn gelu4(z: vec4f) -> vec4f {
  return z / (1.0 + exp(-1.702 * z));
}

fn gelu_gradient4(z: vec4f) -> vec4f {
  let s = 1.0 / (1.0 + exp(-1.702 * z));
  return s + 1.702 * z * s * (1.0 - s);
}
