// How activations lie in memory, one element at a time: for widths that are not multiples of 4. Kernels written over `Value`
// serve this and the two files of the same declarations, storage_f32x4.wgsl and storage_f16x4.wgsl.

alias Stored = f32;
alias Value = f32;
const WIDE: u32 = 1u; // elements of a Value

fn load(s: Stored) -> Value {
  return s;
}

fn store(v: Value) -> Stored {
  return v;
}

fn total(v: Value) -> f32 {
  return v;
}

fn highest(v: Value) -> f32 {
  return v;
}

fn element(v: Value, at: u32) -> f32 {
  return v;
}

// 1 at the element numbered `column`, v's first being numbered `first`.
fn one_hot(first: u32, column: u32) -> Value {
  return select(0.0, 1.0, first == column);
}

// A full f32 vector in so many stored elements.
const PIECES: u32 = 4u;

fn piece(v: vec4f, part: u32) -> Stored {
  return v[part & 3u];
}
