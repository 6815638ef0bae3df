// Activations that are computed with four at a time: see storage_f32.wgsl.

alias Value = vec4f;
const WIDE: u32 = 4u;

fn total(v: Value) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

fn highest(v: Value) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn element(v: Value, at: u32) -> f32 {
  return v[at & 3u];
}

fn one_hot(first: u32, column: u32) -> Value {
  return select(vec4f(), vec4f(1.0), first + vec4u(0u, 1u, 2u, 3u) == vec4u(column));
}
