// Activations as vec4 of f32: see storage_f32.wgsl.

// @import fours.wgsl

alias Stored = vec4f;

fn load(s: Stored) -> Value {
  return s;
}

fn store(v: Value) -> Stored {
  return v;
}

// A full f32 vector in so many stored elements.
const PIECES: u32 = 1u;

fn piece(v: vec4f, part: u32) -> Stored {
  return v;
}
