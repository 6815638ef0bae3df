// How a matrix of weights lies in memory: int8, four in a word, one row right behind the other, each with an f32 that its numbers are
// multiplied by. By shifts: unpack4xI8 is a language feature that browsers had later than WebGPU.

alias Weight = u32;
const INT8: u32 = 1u;

@group(0) @binding(9) var<storage, read> scale: array<f32>; // [rows of the matrix]

// The numbers of a word.
fn decode(w: Weight) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(w) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
