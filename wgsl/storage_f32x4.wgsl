// Activations as vec4 of f32: see storage_f32.wgsl.

alias Stored = vec4f;
alias Value = vec4f;
const WIDE: u32 = 4u;

fn load(s: Stored) -> Value {
  return s;
}

fn store(v: Value) -> Stored {
  return v;
}

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

// A full f32 vector in so many stored elements.
const PIECES: u32 = 1u;

fn piece(v: vec4f, part: u32) -> Stored {
  return v;
}
