// Eq. 3 for one query against a share of its set's keys: partials = (m, l, Σ e^(s − m)·v), joined by attention_decode_combine.wgsl;
// where one share holds all, the result itself. 128 keys at a time: an invocation scores one key, then sums a column of values over some
// of them. The first share also puts the position's own key and value into the caches; nobody reads them from there in this dispatch.
//
// A token waits for this kernel's latency, layer after layer, not for its arithmetic. What counts is how many loads wait for each other:
// a head's record and the position; its tables at the position; slots; then keys and values, which are under way together before any
// score is known. A maximum over 128 takes two steps of 8 and 16 instead of seven barriers.
// @import storage_f32x4.wgsl

struct Params {
  heads: u32,
  slots: u32,
  blocks: u32, // of 128 keys per workgroup
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<Value>; // [batch, heads, D]
@group(0) @binding(1) var<storage, read> k: array<Value>; // as q
@group(0) @binding(2) var<storage, read> v: array<Value>; // [batch, heads, V]
@group(0) @binding(3) var<storage, read_write> keys: array<Value>; // [batch, heads, slots, D]
@group(0) @binding(4) var<storage, read_write> values: array<Value>; // [batch, heads, slots, V]
@group(0) @binding(5) var<storage, read> position: array<u32>; // [1]
@group(0) @binding(6) var<storage, read> plan: array<u32>; // CachePlan.words, src/pattern/cache.ts
@group(0) @binding(7) var<storage, read_write> partials: array<Value>; // [batch, heads, shares, 2 + V], or o where WHOLE: [batch, heads, V]
@group(0) @binding(8) var<uniform> params: Params;

override WHOLE: bool = false; // one share holds all keys

// @values
const D: u32 = 16u; // Values of a head of q and k
const V: u32 = 16u; // Values of a head of v
const PARTS: u32 = 2u; // most parts of a set
// Loads in one turn of a loop: as many as divide it, up to 16.
const TURN: u32 = 16u;
const VALUE_TURN: u32 = 16u;

const THREADS: u32 = 128u;
const LANES: u32 = THREADS / V; // that sum one column
const EACH: u32 = (THREADS + LANES - 1u) / LANES; // values a lane sums
const SIXTEEN: u32 = 16u;

struct Part {
  count: u32, // keys that the position reads
  first: u32, // where `plan` has the slot of the first
}

var<workgroup> parts: array<Part, PARTS>;
var<workgroup> scores: array<f32, THREADS>;
var<workgroup> slots: array<u32, THREADS>;
var<workgroup> tops: array<f32, SIXTEEN>;
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> sums: array<Value, THREADS>;

// The slot of this invocation's key; past the last key, the position's own, with a weight of 0.
// @splice
fn find_slot() {
  var left = (group.x * params.blocks + block) * THREADS + t;
  var slot_at = 0u;
  var found = false;
  for (var part = 0u; part < PARTS; part++) {
    let some = parts[part];
    if (!found && left < some.count) {
      slot_at = some.first + left;
      found = true;
    }
    left -= select(some.count, 0u, found);
  }
  let slot = select(here, plan[slot_at], found);
}

// The score of this invocation's key. The position's own key is not in the caches for sure yet.
// @splice
fn score_key() {
  let start = (cached + slot) * D;
  var products = Value();
  for (var c0 = 0u; c0 < D; c0 += TURN) {
    // @unroll
    for (var c1 = 0u; c1 < TURN; c1++) {
      products = fma(q[key_at + c0 + c1], select(keys[start + c0 + c1], k[key_at + c0 + c1], slot == here), products);
    }
  }
  let score = select(-1e30, total(products) * params.scale, found);
}

// The highest score so far, and what e^(score − highest) makes of this block and of those before.
// @splice
fn raise() {
  if (t < SIXTEEN) {
    var top = scores[t];
    // @unroll
    for (var e = 1u; e < THREADS / SIXTEEN; e++) {
      top = max(top, scores[t + SIXTEEN * e]);
    }
    tops[t] = top;
  }
  workgroupBarrier();
  var next = high;
  // @unroll
  for (var e = 0u; e < SIXTEEN; e++) {
    next = max(next, tops[e]);
  }
  let p = exp(score - next);
  let shrink = exp(high - next);
  high = next;
  weight = fma(weight, shrink, p);
}

// The weights of all invocations, sixteen sums of them.
// @splice
fn total_weights() {
  sums[t] = sum;
  weights[t] = weight;
  workgroupBarrier();
  if (t < SIXTEEN) {
    var some = 0.0;
    // @unroll
    for (var e = 0u; e < THREADS / SIXTEEN; e++) {
      some += weights[t + SIXTEEN * e];
    }
    tops[t] = some;
  }
  workgroupBarrier();
}

// (m, l, Σ e^(s − m)·v) of this share, or the result.
// @splice
fn write() {
  let at = (line * groups.x + group.x) * (2u + V);
  if (t < V) {
    var all = 0.0;
    // @unroll
    for (var e = 0u; e < SIXTEEN; e++) {
      all += tops[e];
    }
    for (var other = 1u; other < LANES; other++) {
      sum += sums[other * V + t];
    }
    if (WHOLE) {
      partials[value_at + t] = sum / Value(all);
    } else {
      partials[at + 2u + t] = sum;
      if (t == 0u) {
        partials[at] = Value(high);
        partials[at + 1u] = Value(all);
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let line = group.y; // batch · heads
  let i = position[0];
  let record = (line % params.heads) * (1u + 3u * PARTS);
  let here = plan[plan[record] + i];
  let key_at = line * D;
  let value_at = line * V;
  let cached = line * params.slots;
  for (var part = t; part < PARTS; part += THREADS) {
    let at = record + 1u + 3u * part;
    let lo = plan[plan[at] + i];
    parts[part] = Part(plan[plan[at + 1u] + i] - lo, plan[at + 2u] + lo);
  }
  workgroupBarrier();
  let lane = t / V;
  let column = t % V;
  var high = -1e29;
  var weight = 0.0;
  var sum = Value();
  for (var block = 0u; block < params.blocks; block++) {
    find_slot();
    slots[t] = slot;
    workgroupBarrier();
    // The position's own key and value are not in the caches for sure yet.
    var held: array<Value, VALUE_TURN>;
    if (lane < LANES) {
      // @unroll
      for (var e1 = 0u; e1 < VALUE_TURN; e1++) {
        let at = slots[min(e1 * LANES + lane, THREADS - 1u)];
        held[e1] = select(values[(cached + at) * V + column], v[value_at + column], at == here);
      }
    }
    score_key();
    scores[t] = score;
    workgroupBarrier();
    raise();
    scores[t] = p;
    workgroupBarrier();
    sum *= shrink;
    if (lane < LANES) {
      for (var e0 = 0u; e0 < EACH;) {
        // @unroll
        for (var e1 = 0u; e1 < VALUE_TURN; e1++) {
          let e = (e0 + e1) * LANES + lane;
          if (e < THREADS) {
            sum = fma(Value(scores[e]), held[e1], sum);
          }
        }
        e0 += VALUE_TURN;
        if (e0 < EACH) {
          // @unroll
          for (var e1 = 0u; e1 < VALUE_TURN; e1++) {
            let at = slots[min((e0 + e1) * LANES + lane, THREADS - 1u)];
            held[e1] = select(values[(cached + at) * V + column], v[value_at + column], at == here);
          }
        }
      }
    }
    workgroupBarrier();
  }
  total_weights();
  write();
  // Last, as nothing here waits for it.
  if (group.x == 0u) {
    for (var c = t; c < D; c += THREADS) {
      keys[(cached + here) * D + c] = k[key_at + c];
    }
    if (t < V) {
      values[(cached + here) * V + t] = v[value_at + t];
    }
  }
}
