// Activations as four f16 in two u32, computed with in f32: see storage_f32.wgsl. Packed words need no shader-f16, and move as
// many bytes as it would.

// @late
// @import fours.wgsl

alias Stored = vec2u;

fn load(s: Stored) -> Value {
  return vec4f(unpack2x16float(s.x), unpack2x16float(s.y));
}

// WGSL leaves open what pack2x16float makes of what f16 does not hold, beyond 65,504 and NaN. Here that is an infinity, so that whether an
// overflow is found, and the step skipped, does not hang on the device. By bits: shaders may assume that there is no NaN.
fn halves_of(v: vec2f) -> u32 {
  let bits = bitcast<vec2u>(v);
  let over = (bits & vec2u(0x7fffffffu)) > vec2u(0x477fe000u);
  let infinite = select(vec2u(), ((bits >> vec2u(16u)) & vec2u(0x8000u)) | vec2u(0x7c00u), over);
  return pack2x16float(select(v, vec2f(), over)) | infinite.x | (infinite.y << 16u);
}

fn store(v: Value) -> Stored {
  // The rule, in a third of the instructions.
  if (all((bitcast<vec4u>(v) & vec4u(0x7fffffffu)) <= vec4u(0x477fe000u))) {
    return vec2u(pack2x16float(v.xy), pack2x16float(v.zw));
  }
  return vec2u(halves_of(v.xy), halves_of(v.zw));
}

// A full f32 vector in so many stored elements.
const PIECES: u32 = 2u;

fn piece(v: vec4f, part: u32) -> Stored {
  return bitcast<vec2u>(select(v.xy, v.zw, part == 1u));
}
