// Threefry-2x32-20, the twin of src/base/random.ts: the same (key, counter) gives the same words.

fn threefry_round(x: vec2u, r: u32) -> vec2u {
  let sum = x.x + x.y;
  return vec2u(sum, ((x.y << r) | (x.y >> (32u - r))) ^ sum);
}

fn threefry_rounds(x: vec2u, r: vec4u) -> vec2u {
  return threefry_round(threefry_round(threefry_round(threefry_round(x, r.x), r.y), r.z), r.w);
}

fn threefry(key: vec2u, counter: vec2u) -> vec2u {
  let third = key.x ^ key.y ^ 0x1bd11bdau;
  let even = vec4u(13u, 15u, 26u, 6u);
  let odd = vec4u(17u, 29u, 16u, 24u);
  var x = threefry_rounds(counter + key, even) + vec2u(key.y, third + 1u);
  x = threefry_rounds(x, odd) + vec2u(third, key.x + 2u);
  x = threefry_rounds(x, even) + vec2u(key.x, key.y + 3u);
  x = threefry_rounds(x, odd) + vec2u(key.y, third + 4u);
  return threefry_rounds(x, even) + vec2u(third, key.x + 5u);
}

// Which elements index … index + 1 dropout keeps; index is even. step is seeds[1] + micro, threshold ⌊p·2²⁴⌋.
fn dropout_keeps2(seed: u32, site: u32, step: u32, index: u32, threshold: u32) -> vec2<bool> {
  return (threefry(vec2u(seed, site), vec2u(index >> 1u, step)) >> vec2u(8u)) >= vec2u(threshold);
}

// What dropout multiplies element index by; keep is 1/(1 − p).
fn dropout_factor(seed: u32, site: u32, step: u32, index: u32, threshold: u32, keep: f32) -> f32 {
  let pair = dropout_keeps2(seed, site, step, index & 0xfffffffeu, threshold);
  return select(0.0, keep, select(pair.x, pair.y, (index & 1u) == 1u));
}

// The same for elements index … index + 3; index is a multiple of 4.
fn dropout_factor4(seed: u32, site: u32, step: u32, index: u32, threshold: u32, keep: f32) -> vec4f {
  let low = dropout_keeps2(seed, site, step, index, threshold);
  let high = dropout_keeps2(seed, site, step, index + 2u, threshold);
  return select(vec4f(), vec4f(keep), vec4<bool>(low, high));
}
