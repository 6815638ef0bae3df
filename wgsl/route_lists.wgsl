// A choice turned round: entries by the block of keys that they hold, ascending. A workgroup has a head of a sequence. It goes through the
// blocks of queries one after another, and an invocation has one of the blocks that each chose: they differ, so none counts or writes where
// another does, and what comes out hangs on no order of theirs.
// @late apart
// @import units.wgsl

struct Params {
  units: u32, // batch · heads
  blocks: u32,
  top: u32,
}

@group(0) @binding(0) var<storage, read> choice: array<u32>; // [units, blocks, top]
@group(0) @binding(1) var<storage, read_write> starts: array<u32>; // [units, blocks + 1]
@group(0) @binding(2) var<storage, read_write> list: array<u32>; // [units, blocks, top]
@group(0) @binding(3) var<uniform> params: Params;

const THREADS: u32 = 64u;

var<workgroup> sums: array<u32, THREADS>;

// @splice
fn unit_work() {
  let all = params.blocks * params.top;
  let entries_at = unit * all;
  // Of block k: how many chose it, then where its list begins, then where it ends.
  let begins = unit * (params.blocks + 1u);
  let ends = begins + 1u;
  for (var k = t; k <= params.blocks; k += THREADS) {
    starts[begins + k] = 0u;
  }
  for (var e = t; e < all; e += THREADS) {
    list[entries_at + e] = 0xffffffffu;
  }
  storageBarrier();
  for (var j = 0u; j < params.blocks; j++) {
    if (t < params.top) {
      let k = choice[entries_at + j * params.top + t];
      if (k < params.blocks) {
        starts[ends + k] += 1u;
      }
    }
    storageBarrier();
  }
  let each = (params.blocks + THREADS - 1u) / THREADS;
  let low = min(t * each, params.blocks);
  let high = min(low + each, params.blocks);
  var sum = 0u;
  for (var k = low; k < high; k++) {
    sum += starts[ends + k];
  }
  sums[t] = sum;
  workgroupBarrier();
  var at = 0u;
  for (var other = 0u; other < t; other++) {
    at += sums[other];
  }
  for (var k = low; k < high; k++) {
    let count = starts[ends + k];
    starts[ends + k] = at;
    at += count;
  }
  storageBarrier();
  for (var j = 0u; j < params.blocks; j++) {
    if (t < params.top) {
      let k = choice[entries_at + j * params.top + t];
      if (k < params.blocks) {
        let place = starts[ends + k];
        list[entries_at + place] = j * params.top + t;
        starts[ends + k] = place + 1u;
      }
    }
    storageBarrier();
  }
}
