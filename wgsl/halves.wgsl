// Two f32 as f16 in a word. Who imports this names HIGHEST, the bits of the highest f32 that becomes a number. WGSL leaves open what pack2x16float
// makes of what f16 does not hold, beyond 65,504 and NaN. Here that is an infinity, so that whether an overflow is found, and the step skipped,
// does not hang on the device. By bits: shaders may assume that there is no NaN.
// @late

fn halves_of(v: vec2f) -> u32 {
  let bits = bitcast<vec2u>(v);
  let over = (bits & vec2u(0x7fffffffu)) > vec2u(HIGHEST);
  let infinite = select(vec2u(), ((bits >> vec2u(16u)) & vec2u(0x8000u)) | vec2u(0x7c00u), over);
  return pack2x16float(select(v, vec2f(), over)) | infinite.x | (infinite.y << 16u);
}
