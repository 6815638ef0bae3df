// The token of a position, drawn from softmax(logits / temperature) within topK, topP and minP, tokens that were there made less likely:
// src/engines/reference/choose.ts without the sorting. A workgroup takes a sequence. For each token it finds how many go before it (larger
// logit, then lower number) and what they weigh together; that decides the cuts, and the draw takes the token in whose interval
// [before, before + weight) it falls.
// @import random.wgsl
// @import exp.wgsl

struct Params {
  batch: u32,
  vocabulary: u32,
  fours: u32, // vocabulary / 4, rounded up
  stream: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>; // [batch, vocabulary]
@group(0) @binding(1) var<storage, read_write> tape: array<u32>; // [n, batch]
@group(0) @binding(2) var<storage, read> position: array<u32>; // [1]
@group(0) @binding(3) var<storage, read> given: array<u32>; // [1]
@group(0) @binding(4) var<storage, read> choice: array<f32>; // [5]: temperature, topK, topP, minP, repetition penalty
@group(0) @binding(5) var<storage, read> seeds: array<u32>; // [2]
@group(0) @binding(6) var<storage, read_write> tokens: array<vec4f>; // [batch, fours · 4]: logit, weight, weight before, 1 where kept
@group(0) @binding(7) var<uniform> params: Params;

const THREADS: u32 = 256u;

var<workgroup> numbers: array<f32, THREADS>;
var<workgroup> names: array<u32, THREADS>;
// A bit per token: whether it is at a position before. As many as there may be tokens.
var<workgroup> there: array<atomic<u32>, 128>;

// The logit of a token, made less likely where the token was there.
fn logit_of(sequence: u32, token: u32) -> f32 {
  let logit = logits[sequence * params.vocabulary + token];
  if (((atomicLoad(&there[token >> 5u]) >> (token & 31u)) & 1u) == 0u) {
    return logit;
  }
  return select(logit * choice[4], logit / choice[4], logit > 0.0);
}

// The pair whose number is largest, of equal ones that with the lowest name; known to every invocation.
fn largest(t: u32, number: f32, name: u32) -> vec2f {
  numbers[t] = number;
  names[t] = name;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    if (t < half) {
      let other = numbers[t + half];
      if (other > numbers[t] || (other == numbers[t] && names[t + half] < names[t])) {
        numbers[t] = other;
        names[t] = names[t + half];
      }
    }
    workgroupBarrier();
  }
  let found = vec2f(numbers[0], f32(names[0]));
  workgroupBarrier();
  return found;
}

fn sum(t: u32, number: f32) -> f32 {
  numbers[t] = number;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    if (t < half) {
      numbers[t] += numbers[t + half];
    }
    workgroupBarrier();
  }
  let found = numbers[0];
  workgroupBarrier();
  return found;
}

// Of each token how many stand before it and what those weigh; whether it is among the most likely.
// @splice
fn rank() {
  let most = select(u32(choice[1]), params.vocabulary, choice[1] == 0.0);
  var own_weight = 0.0;
  for (var token = t; token < params.vocabulary; token += THREADS) {
    let own = tokens[base + token].x;
    var rank = 0u;
    var before = 0.0;
    for (var four = 0u; four < params.fours; four++) {
      // @unroll
      for (var j = 0u; j < 4u; j++) {
        let other = tokens[base + four * 4u + j];
        if (other.x > own || (other.x == own && four * 4u + j < token)) {
          rank++;
          before += other.y;
        }
      }
    }
    let kept = rank < most;
    if (kept) {
      own_weight += tokens[base + token].y;
    }
    // Others read x and y of this token meanwhile: z and w are its own.
    tokens[base + token].z = before;
    tokens[base + token].w = select(0.0, 1.0 + f32(min(rank, 1u)), kept);
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = position[0];
  let all_tokens = params.fours * 4u;
  let base = group.x * all_tokens;
  let temperature = choice[0];
  // Without a penalty nothing is looked at.
  for (var at = select(t, i, choice[4] == 1.0); at < i; at += THREADS) {
    let token = tape[at * params.batch + group.x];
    atomicOr(&there[token >> 5u], 1u << (token & 31u));
  }
  workgroupBarrier();
  var top_number = -3e38;
  var top_name = 0u;
  for (var token = t; token < params.vocabulary; token += THREADS) {
    let logit = logit_of(group.x, token);
    if (logit > top_number) {
      top_number = logit;
      top_name = token;
    }
  }
  let best = largest(t, top_number, top_name);
  for (var token = t; token < all_tokens; token += THREADS) {
    var logit = -3e38;
    var weight = 0.0;
    if (token < params.vocabulary) {
      logit = logit_of(group.x, token);
      // Temperature 0 divides by 0: what comes out is not used.
      weight = exp_precise(max(-100.0, (logit - best.x) / max(temperature, 1e-30)));
    }
    tokens[base + token] = vec4f(logit, weight, 0.0, 0.0);
  }
  storageBarrier();

  rank();
  let limit = choice[2] * sum(t, own_weight);
  // What the kept tokens weigh is what the last of them and those before it do.
  var end = 0.0;
  for (var token = t; token < params.vocabulary; token += THREADS) {
    let own = tokens[base + token];
    if (own.w == 1.0 || (own.w == 2.0 && own.z < limit && own.y >= choice[3])) {
      end = max(end, own.z + own.y);
    }
  }
  let reach = largest(t, end, 0u).x;
  let drawn = threefry(vec2u(seeds[0], params.stream + group.x), vec2u(i, seeds[1])).x;
  let target_weight = f32(drawn >> 8u) / 16777216.0 * reach;
  // Of the tokens that end beyond it the one that begins first.
  var earliest = -3e38;
  var chosen = u32(best.y);
  for (var token = t; token < params.vocabulary; token += THREADS) {
    let own = tokens[base + token];
    let last = own.z + own.y;
    let kept = own.w == 1.0 || (own.w == 2.0 && own.z < limit && own.y >= choice[3]);
    if (kept && (last > target_weight || last >= reach) && -own.z > earliest) {
      earliest = -own.z;
      chosen = token;
    }
  }
  let found = u32(largest(t, earliest, chosen).y);
  if (t == 0u && i >= given[0]) {
    tape[i * params.batch + group.x] = select(found, u32(best.y), temperature == 0.0);
  }
}
