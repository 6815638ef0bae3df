// y (+)= the sum of an owner tile's partial results, in the order of its slots: what the attention kernels wrote where split.
// @late
// @import storage_f32x4.wgsl
// @import units.wgsl

struct Params {
  n: u32,
  heads: u32,
  units: u32, // owner tiles of all heads
  items_at: u32,
  later: u32, // 1: adds to y
  first: u32, // sequence of the first workgroups
  slots: u32, // of a sequence
  width4: u32, // of a head
  tile: u32, // rows of a tile
}

@group(0) @binding(0) var<storage, read> blocks: array<u32>;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>; // [sequences of this dispatch, slots, tile, width4]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>; // [batch·n, heads·width4]
@group(0) @binding(3) var<uniform> params: Params;

const THREADS: u32 = 256u;
const IN_ORDER: u32 = 0xffffffffu;

// @splice
fn unit_work() {
  let at = params.items_at + unit * 6u;
  let head = blocks[at];
  let first = blocks[at + 1u] * params.tile;
  let begin = group.z * params.slots + blocks[at + 2u];
  let end = group.z * params.slots + blocks[at + 3u];
  let rows_at = blocks[at + 4u];
  let rows = min(params.tile, blocks[at + 5u] - first);
  for (var e = t; e < rows * params.width4; e += THREADS) {
    let u = first + e / params.width4;
    var row = u;
    if (rows_at != IN_ORDER) {
      row = blocks[rows_at + u];
    }
    let to = (((params.first + group.z) * params.n + row) * params.heads + head) * params.width4 + e % params.width4;
    var sum = vec4f();
    if (params.later != 0u) {
      sum = load(y[to]);
    }
    for (var slot = begin; slot < end; slot++) {
      sum += partials[slot * params.tile * params.width4 + e];
    }
    y[to] = store(sum);
  }
}
