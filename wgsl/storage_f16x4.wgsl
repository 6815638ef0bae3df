// Activations as four f16 in two u32, computed with in f32: see storage_f32.wgsl. Packed words need no shader-f16, and move as
// many bytes as it would.

// @late
// @import fours.wgsl
// @import halves.wgsl

alias Stored = vec2u;

const HIGHEST: u32 = 0x477fe000u; // of 65,504

fn load(s: Stored) -> Value {
  return vec4f(unpack2x16float(s.x), unpack2x16float(s.y));
}

// Of what f16 surely holds.
fn pack(v: Value) -> Stored {
  return vec2u(pack2x16float(v.xy), pack2x16float(v.zw));
}

fn store(v: Value) -> Stored {
  // The rule, in a third of the instructions.
  if (all((bitcast<vec4u>(v) & vec4u(0x7fffffffu)) <= vec4u(HIGHEST))) {
    return pack(v);
  }
  return vec2u(halves_of(v.xy), halves_of(v.zw));
}

// A full f32 vector in so many stored elements.
const PIECES: u32 = 2u;

fn piece(v: vec4f, part: u32) -> Stored {
  return bitcast<vec2u>(select(v.xy, v.zw, part == 1u));
}
