// y = x, from f32 to the nearest f16, on its way between processes: the twin of asm/halves.ts. unpack_f16.wgsl is the way back.
// @late
// @import halves.wgsl
// @import elements.wgsl

struct Params {
  count: u32, // vec4
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec2u>;
@group(0) @binding(2) var<uniform> params: Params;

const HIGHEST: u32 = 0x477fefffu; // from 65,520 on infinity

// @splice
fn element() {
  y[i] = vec2u(halves_of(x[i].xy), halves_of(x[i].zw));
}
