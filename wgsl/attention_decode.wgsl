// One query against a share of its set's keys: partials = (m, l, Σ e^(s − m)·v), joined by attention_decode_combine.wgsl.
// 128 keys at a time: an invocation scores one key, then sums a column of values over some of them. The first share also puts the
// position's own key and value into the caches; nobody reads them from there in this dispatch.
// @import storage_f32x4.wgsl

struct Params {
  heads: u32,
  slots: u32,
  key_width: u32, // of a head, in Values
  value_width: u32,
  share: u32, // keys a workgroup
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<Value>; // [batch, heads, key_width]
@group(0) @binding(1) var<storage, read> k: array<Value>; // as q
@group(0) @binding(2) var<storage, read> v: array<Value>; // [batch, heads, value_width]
@group(0) @binding(3) var<storage, read_write> keys: array<Value>; // [batch, heads, slots, key_width]
@group(0) @binding(4) var<storage, read_write> values: array<Value>; // [batch, heads, slots, value_width]
@group(0) @binding(5) var<storage, read> position: array<u32>; // [1]
@group(0) @binding(6) var<storage, read> plan: array<u32>; // CachePlan.words, src/cache.ts
@group(0) @binding(7) var<storage, read_write> partials: array<Value>; // [batch, heads, shares, 2 + value_width]
@group(0) @binding(8) var<uniform> params: Params;

const THREADS: u32 = 128u;

var<workgroup> scores: array<f32, THREADS>;
var<workgroup> slots: array<u32, THREADS>;
var<workgroup> tree: array<f32, THREADS>;
var<workgroup> sums: array<Value, THREADS>;
var<workgroup> listed: u32;

// Keys that position i reads.
fn count_keys(head_at: u32, i: u32) -> u32 {
  var count = 0u;
  for (var part = 0u; part < plan[head_at]; part++) {
    let at = head_at + 2u + 3u * part;
    count += plan[plan[at + 1u] + i] - plan[plan[at] + i];
  }
  return count;
}

// Slot of the key numbered `at` among those.
fn slot_of(head_at: u32, i: u32, number: u32) -> u32 {
  var left = number;
  for (var part = 0u; part < plan[head_at]; part++) {
    let at = head_at + 2u + 3u * part;
    let lo = plan[plan[at] + i];
    let count = plan[plan[at + 1u] + i] - lo;
    if (left < count) {
      return plan[plan[at + 2u] + lo + left];
    }
    left -= count;
  }
  return 0u;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let line = group.y; // batch · heads
  let i = position[0];
  let head_at = plan[line % params.heads];
  let here = plan[plan[head_at + 1u] + i];
  let key_at = line * params.key_width;
  let value_at = line * params.value_width;
  let cached = line * params.slots;
  if (group.x == 0u) {
    for (var c = t; c < params.key_width; c += THREADS) {
      keys[(cached + here) * params.key_width + c] = k[key_at + c];
    }
    if (t < params.value_width) {
      values[(cached + here) * params.value_width + t] = v[value_at + t];
    }
  }
  if (t == 0u) {
    listed = count_keys(head_at, i);
  }
  // Uniform for the workgroup, which barriers need to know.
  let first = group.x * params.share;
  let end = min(first + params.share, workgroupUniformLoad(&listed));
  let lanes = THREADS / params.value_width; // that sum one column
  let lane = t / params.value_width;
  let column = t % params.value_width;
  var high = -1e29;
  var total_weight = 0.0;
  var sum = Value();
  for (var base = first; base < end; base += THREADS) {
    var score = -1e30;
    if (base + t < end) {
      let slot = slot_of(head_at, i, base + t);
      let start = (cached + slot) * params.key_width;
      var products = Value();
      if (slot == here) {
        for (var c = 0u; c < params.key_width; c++) {
          products = fma(q[key_at + c], k[key_at + c], products);
        }
      } else {
        for (var c = 0u; c < params.key_width; c++) {
          products = fma(q[key_at + c], keys[start + c], products);
        }
      }
      score = total(products) * params.scale;
      slots[t] = slot;
    }
    tree[t] = score;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
      if (t < half) {
        tree[t] = max(tree[t], tree[t + half]);
      }
      workgroupBarrier();
    }
    let next = max(high, tree[0]);
    let p = exp(score - next);
    scores[t] = p;
    workgroupBarrier();
    tree[t] = p;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
      if (t < half) {
        tree[t] += tree[t + half];
      }
      workgroupBarrier();
    }
    let shrink = exp(high - next);
    high = next;
    total_weight = total_weight * shrink + tree[0];
    sum *= shrink;
    if (lane < lanes) {
      let some = min(THREADS, end - base);
      for (var e = lane; e < some; e += lanes) {
        let slot = slots[e];
        if (slot == here) {
          sum += scores[e] * v[value_at + column];
        } else {
          sum += scores[e] * values[(cached + slot) * params.value_width + column];
        }
      }
    }
    workgroupBarrier();
  }
  sums[t] = sum;
  workgroupBarrier();
  let at = (line * groups.x + group.x) * (2u + params.value_width);
  if (t == 0u) {
    partials[at] = Value(high);
    partials[at + 1u] = Value(total_weight);
  }
  if (t < params.value_width) {
    for (var other = 1u; other < lanes; other++) {
      sum += sums[other * params.value_width + t];
    }
    partials[at + 2u + t] = sum;
  }
}
