// Routed attention of one decoded position over its cache: branch after branch (window, chosen blocks, summaries) an online softmax over 128
// keys at a time, then o += σ(gate)·branch. A workgroup has a head of a sequence; an invocation scores one key, then sums a column of values.
// @late apart
// @import storage_f32.wgsl

struct Params {
  heads: u32,
  n: u32,
  slots: u32, // n + blocks
  block: u32,
  window: u32,
  top: u32,
  branches: u32,
  width: u32, // Values of a head of q and k
  value_width: u32, // of v
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<Value>; // [batch, heads, width]
@group(0) @binding(1) var<storage, read> gates: array<f32>; // [batch, branches, heads]
@group(0) @binding(2) var<storage, read> keys: array<Value>; // [batch, heads, slots, width]
@group(0) @binding(3) var<storage, read> values: array<Value>; // [batch, heads, slots, value_width]
@group(0) @binding(4) var<storage, read> choice: array<u32>; // [batch, heads, blocks, top]
@group(0) @binding(5) var<storage, read> position: array<u32>; // [1]
@group(0) @binding(6) var<storage, read_write> o: array<Value>; // [batch, heads, value_width]
@group(0) @binding(7) var<uniform> params: Params;

const THREADS: u32 = 128u;

var<workgroup> scores: array<f32, THREADS>;
var<workgroup> places: array<u32, THREADS>;
var<workgroup> here: u32;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let line = group.x;
  if (t == 0u) {
    here = position[0];
  }
  let i = workgroupUniformLoad(&here);
  let j = i / params.block;
  let query = line * params.width;
  let cached = line * params.slots;
  let own = (line * (params.slots - params.n) + j) * params.top;
  let end = (j + 1u) * params.block - 1u;
  var chosen = 0u;
  if (end > params.window) {
    chosen = min(params.top, min(j, (end - params.window + params.block - 1u) / params.block));
  }
  var out = Value();
  for (var branch = 0u; branch < params.branches; branch++) {
    var count = min(i, params.window) + 1u;
    if (branch == 1u) {
      count = chosen * params.block;
    }
    if (branch == 2u) {
      count = j;
    }
    let z = gates[(line / params.heads * params.branches + branch) * params.heads + line % params.heads];
    var high = -1e29;
    var weight = 0.0;
    var sum = Value();
    for (var start = 0u; start < count; start += THREADS) {
      let at = start + t;
      var score = -1e30;
      var place = 0u;
      if (at < count) {
        place = i - min(i, params.window) + at;
        if (branch == 1u) {
          place = choice[own + at / params.block] * params.block + at % params.block;
        }
        if (branch == 2u) {
          place = params.n + at;
        }
        var products = Value();
        for (var c = 0u; c < params.width; c++) {
          products = fma(q[query + c], keys[(cached + place) * params.width + c], products);
        }
        score = total(products) * params.scale;
      }
      scores[t] = score;
      places[t] = place;
      workgroupBarrier();
      var next = high;
      for (var e = 0u; e < THREADS; e++) {
        next = max(next, scores[e]);
      }
      workgroupBarrier();
      scores[t] = exp(score - next);
      workgroupBarrier();
      let shrink = exp(high - next);
      high = next;
      weight *= shrink;
      sum *= shrink;
      for (var e = 0u; e < min(THREADS, count - start); e++) {
        weight += scores[e];
        if (t < params.value_width) {
          sum = fma(Value(scores[e]), values[(cached + places[e]) * params.value_width + t], sum);
        }
      }
      workgroupBarrier();
    }
    if (count > 0u) {
      out += sum / (weight * (1.0 + exp(-z)));
    }
  }
  if (t < params.value_width) {
    o[line * params.value_width + t] = out;
  }
}
