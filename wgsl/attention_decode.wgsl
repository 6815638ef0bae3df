// One query against a share of the listed slots: partials = (m, l, Σ e^(s − m)·v), joined by attention_decode_combine.wgsl.
// 128 slots at a time: an invocation scores one slot, then owns columns of the output.

struct Params {
  heads: u32,
  slots: u32,
  key_width: u32, // of a head
  value_width: u32,
  share: u32, // slots a workgroup
  scale: f32,
}

@group(0) @binding(0) var<storage, read> q: array<f32>; // [batch, heads, key_width]
@group(0) @binding(1) var<storage, read> keys: array<f32>; // [batch, heads, slots, key_width]
@group(0) @binding(2) var<storage, read> values: array<f32>; // [batch, heads, slots, value_width]
@group(0) @binding(3) var<storage, read> index: array<u32>; // [heads, slots]
@group(0) @binding(4) var<storage, read> count: array<u32>; // [heads]
@group(0) @binding(5) var<storage, read_write> partials: array<f32>; // [batch, heads, shares, 2 + value_width]
@group(0) @binding(6) var<uniform> params: Params;

const THREADS: u32 = 128u;

var<workgroup> scores: array<f32, THREADS>;
var<workgroup> slots: array<u32, THREADS>;
var<workgroup> tree: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let line = group.y; // batch · heads
  let head = line % params.heads;
  let first = group.x * params.share;
  // Uniform for the workgroup, which barriers need to know.
  let listed = workgroup_count(head, t);
  let end = min(first + params.share, listed);
  var high = -1e29;
  var total = 0.0;
  var sum = 0.0;
  for (var base = first; base < end; base += THREADS) {
    let at = base + t;
    let slot = index[head * params.slots + min(at, params.slots - 1u)];
    var score = -1e30;
    if (at < end) {
      score = 0.0;
      for (var c = 0u; c < params.key_width; c++) {
        score = fma(q[line * params.key_width + c], keys[(line * params.slots + slot) * params.key_width + c], score);
      }
      score *= params.scale;
    }
    slots[t] = slot;
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
    total = total * shrink + tree[0];
    if (t < params.value_width) {
      sum *= shrink;
      let here = min(THREADS, end - base);
      for (var e = 0u; e < here; e++) {
        sum = fma(scores[e], values[(line * params.slots + slots[e]) * params.value_width + t], sum);
      }
    }
    workgroupBarrier();
  }
  let at = (line * groups.x + group.x) * (2u + params.value_width);
  if (t == 0u) {
    partials[at] = high;
    partials[at + 1u] = total;
  }
  if (t < params.value_width) {
    partials[at + 2u + t] = sum;
  }
}

var<workgroup> listed_count: u32;

fn workgroup_count(head: u32, t: u32) -> u32 {
  if (t == 0u) {
    listed_count = min(count[head], params.slots);
  }
  return workgroupUniformLoad(&listed_count);
}
