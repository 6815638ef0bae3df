// Which blocks a block of queries chooses: the `top` of the largest q·summary, of equal ones the lower, ascending, then 2³² − 1. A workgroup
// has a block of queries of a head; in as many rounds it finds the next best after the last. Where DECODE it has a head of the decoded
// position, chooses where that begins a block of queries, and finds summaries behind the keys of the cache.
// @late apart
// @import storage_f32.wgsl
// @import units.wgsl

struct Params {
  units: u32,
  sequences: u32, // of q; those of `choice` go round
  heads: u32,
  n: u32,
  block: u32,
  window: u32,
  blocks: u32, // of a sequence
  places: u32, // blocks that `choice` has room for
  top: u32,
  width: u32, // of a head, in Values
}

@group(0) @binding(0) var<storage, read> q: array<Stored>; // [sequences·n, heads·width]; where DECODE [batch, heads·width]
@group(0) @binding(1) var<storage, read> summaries: array<Stored>; // [sequences·blocks, heads·width]; where DECODE [batch, heads, n + blocks, width]
@group(0) @binding(2) var<storage, read_write> choice: array<u32>; // [batch, heads, places, top]
@group(0) @binding(3) var<storage, read> position: array<u32>; // [1], where DECODE
@group(0) @binding(4) var<uniform> params: Params;

override DECODE: bool = false;

const THREADS: u32 = 128u;
const HELD: u32 = 2048u; // scores that are held; those after them are made again each round
const NONE: u32 = 0xffffffffu;

var<workgroup> held: array<f32, HELD>;
var<workgroup> tops: array<f32, THREADS>;
var<workgroup> places: array<u32, THREADS>;
var<workgroup> chosen: array<u32, 64>;
var<workgroup> here: u32;

fn score(query: u32, first: u32, step: u32, k: u32) -> f32 {
  var sum = Value();
  for (var c = 0u; c < params.width; c++) {
    sum = fma(load(q[query + c]), load(summaries[first + k * step + c]), sum);
  }
  return total(sum);
}

// The best block of this invocation that follows what was chosen last.
// @splice
fn follow() {
  var most = 0.0;
  var best = NONE;
  for (var k = t; k < count; k += THREADS) {
    var s = 0.0;
    if (k < HELD) {
      s = held[k];
    } else {
      s = score(query, first, step, k);
    }
    let follows = r == 0u || s < last || (s == last && k > last_place);
    if (follows && (best == NONE || s > most)) {
      most = s;
      best = k;
    }
  }
}

// The best of all invocations, the first of equals, to tops[0] and places[0].
// @splice
fn largest() {
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    if (t < half) {
      let other = places[t + half];
      let by = tops[t + half] - tops[t];
      if (other != NONE && (places[t] == NONE || by > 0.0 || (by == 0.0 && other < places[t]))) {
        places[t] = other;
        tops[t] = tops[t + half];
      }
    }
    workgroupBarrier();
  }
}

// Chosen blocks ascend: into the places of larger ones.
// @splice
fn insert() {
  var at = r;
  while (at > 0u && chosen[max(at, 1u) - 1u] > last_place) {
    chosen[at] = chosen[at - 1u];
    at--;
  }
  chosen[at] = last_place;
}

// @splice
fn unit_work() {
  var line = unit / params.blocks;
  var j = unit % params.blocks;
  var chooses = true;
  let head = line % params.heads;
  let b = line / params.heads % params.sequences;
  var query = ((b * params.n + j * params.block) * params.heads + head) * params.width;
  var first = (b * params.blocks * params.heads + head) * params.width;
  var step = params.heads * params.width;
  if (DECODE) {
    if (t == 0u) {
      here = position[0];
    }
    let i = workgroupUniformLoad(&here);
    line = unit;
    j = i / params.block;
    chooses = i % params.block == 0u;
    query = line * params.width;
    first = (line * (params.n + params.blocks) + params.n) * params.width;
    step = params.width;
  }
  // Blocks that it chooses from: see src/pattern/routed.ts.
  let end = (j + 1u) * params.block - 1u;
  var count = 0u;
  if (chooses && end > params.window) {
    count = min(j, (end - params.window + params.block - 1u) / params.block);
  }
  for (var k = t; k < min(count, HELD); k += THREADS) {
    held[k] = score(query, first, step, k);
  }
  var last = 0.0;
  var last_place = NONE;
  for (var r = 0u; r < params.top; r++) {
    follow();
    tops[t] = most;
    places[t] = best;
    workgroupBarrier();
    largest();
    last = tops[0];
    last_place = places[0];
    if (t == 0u) {
      insert();
    }
    // No block is left: those that follow find none either.
    if (last_place == NONE) {
      last = -3.4e38;
    }
    workgroupBarrier();
  }
  if (chooses) {
    for (var r = t; r < params.top; r += THREADS) {
      choice[(line * params.places + j) * params.top + r] = chosen[r];
    }
  }
}
