// Dropout (Eqs. 9–14): y = x·keep where the generator keeps it, 0 elsewhere, keep = 1/(1 − p); two elements per random block. An invocation
// has a vec4, or a pair where rows are no multiple of four.
// @late
// @import storage_f32.wgsl
// @import random.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // vec4, or pairs of elements
  size: u32,
  site: u32,
  micro: u32,
  threshold: u32,
  keep: f32,
  first: u32, // element of the whole that x begins with
}

@group(0) @binding(0) var<storage, read> x: array<Stored>; // [size]
@group(0) @binding(1) var<storage, read> seeds: array<u32>; // [2]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>; // [size]
@group(0) @binding(3) var<uniform> params: Params;

// @splice
fn element() {
  let step = seeds[1] + params.micro;
  if (WIDE == 4u) {
    let factor = dropout_factor4(seeds[0], params.site, step, params.first + i * 4u, params.threshold, params.keep);
    // What is dropped is 0 whatever it was.
    y[i] = store(select(vec4f(), load(x[i]) * factor, factor > vec4f()));
  } else {
    let at = i * 2u;
    let index = params.first + at;
    var keeps = dropout_keeps2(seeds[0], params.site, step, index & 0xfffffffeu, params.threshold);
    if ((params.first & 1u) == 1u) {
      // A pair here is the halves of two blocks.
      keeps = vec2(keeps.y, dropout_keeps2(seeds[0], params.site, step, index + 1u, params.threshold).x);
    }
    y[at] = select(0.0, x[at] * params.keep, keeps.x);
    if (at + 1u < params.size) {
      y[at + 1u] = select(0.0, x[at + 1u] * params.keep, keeps.y);
    }
  }
}
