// delta = rowsum(dO ∘ o) by head, of the gradient of Eq. 3; stats = (lse·log₂e, delta), as the other kernels of the backward pass read
// them. Where SPANS, each is followed by the query's span, in f32, which is exact up to 2²⁴: the largest of those kernels has as many
// bindings as every device allows.
// @late
// @import storage_f32x4.wgsl

struct Params {
  count: u32, // batch · n · heads
  n: u32,
  heads: u32,
  width4: u32, // of a head
}

@group(0) @binding(0) var<storage, read> o: array<Stored>; // [batch·n, heads·width4]
@group(0) @binding(1) var<storage, read> d_o: array<Stored>; // [batch·n, heads·width4]
@group(0) @binding(2) var<storage, read> lse: array<f32>; // [batch, heads, n]
@group(0) @binding(3) var<storage, read_write> delta: array<f32>; // [batch, heads, n]
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>; // [batch, heads, n]
@group(0) @binding(5) var<storage, read> spans: array<vec2u>; // [batch, n]
@group(0) @binding(6) var<uniform> params: Params;

// @values
const SPANS: u32 = 0u; // 1: spans are written too

const LOG2E: f32 = 1.4426950408889634;
// Neighbours read neighbouring vec4 of a head: one invocation for each head takes half as long again.
const LANES: u32 = 8u;
const HEADS: u32 = 32u; // of a workgroup

var<workgroup> sums: array<array<f32, LANES>, HEADS>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let own = t / LANES;
  let lane = t % LANES;
  let i = (group.y * groups.x + group.x) * HEADS + own;
  let place = min(i, params.count - 1u) * params.width4;
  var sum = vec4f();
  for (var c = lane; c < params.width4; c += LANES) {
    sum = fma(load(o[place + c]), load(d_o[place + c]), sum);
  }
  sums[own][lane] = total(sum);
  workgroupBarrier();
  if (lane == 0u && i < params.count) {
    var all = 0.0;
    for (var other = 0u; other < LANES; other++) {
      all += sums[own][other];
    }
    let row = i / params.heads;
    let at = (row / params.n * params.heads + i % params.heads) * params.n + row % params.n;
    delta[at] = all;
    if (SPANS == 1u) {
      stats[2u * at] = vec2f(lse[at] * LOG2E, all);
      stats[2u * at + 1u] = vec2f(spans[row]);
    } else {
      stats[at] = vec2f(lse[at] * LOG2E, all);
    }
  }
}
