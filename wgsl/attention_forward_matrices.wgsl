// attention_forward.wgsl by subgroup matrices: o = softmax(q·kᵀ·scale over the set)·v (Eq. 3), one stage of a set, queries own, keys stream.
//
// Maxima grow seldom after the first tiles, and what they scale lies in matrices, out of which it comes only through workgroup memory. So a
// row keeps the maximum that it has until a score is above it by more than 2⁸, which a probability in f16 still holds.
// @late matrices
// @import attention_queries_matrices.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, heads·V4]
@group(0) @binding(5) var<storage, read_write> o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // [batch, heads, n]

const SLACK: f32 = 8.0; // log₂ of what a probability may be
const WRITTEN_WHOLE: u32 = 0u;

var<workgroup> grown: array<u32, TY>; // whether a row of a subgroup has a new maximum
var<workgroup> grows_plain: array<u32, BM>;

// @splice
fn begin() {
  var held: array<array<LeftMatrix, DN>, M>;
  hold_rows(&held, &own_first_plain, &q, DN, D4, line, sub, lane);
  var acc: array<array<SumMatrix, VN>, M>;
  var m = EMPTY;
  var l = 0.0;
  if (params.later != 0u) {
    let before = lse[lines + row];
    m = select(before / params.scale, EMPTY, before < -1e28);
    l = select(0.0, 1.0, before >= -1e28);
    let whole_row = 1.0;
    start_sums(&acc, VN, V4, &o, whole_row, line, sub, lane);
  }
}

// @splice
fn ask() {
  ask_keys();
}

// @splice
fn ask_other() {
  ask_values();
}

// @splice
fn keep() {
  keep_keys();
}

// @splice
fn take() {
  var s: array<array<SumMatrix, N>, M>;
  score(&s, &held, &own_first_plain, DN, D4, DQUADS, DSTRIDE, sub, lane);
  show_scores(&s, sub, lane);
  keep_values();
  ask_values();
  var p: array<vec4f, B4>;
  take_scores(&p, sub, lane);
  mask(&p, MASKED, listed, run, item, own, start);
  var high = m;
  // @unroll
  for (var c = 0u; c < B4; c++) {
    high = max(high, max(max(p[c].x, p[c].y), max(p[c].z, p[c].w)));
  }
  let grows = (high - m) * factor > SLACK;
  var shrink = 1.0;
  if (grows) {
    shrink = exp2((m - high) * factor);
    m = high;
  }
  // Where there is no sum yet there is nothing to shrink.
  let is_smaller = grows && l > 0.0;
  if (PLAIN == 1u) {
    grows_plain[t] = u32(is_smaller);
    workgroupBarrier();
    if (lane == 0u) {
      var any_grows = 0u;
      for (var e = 0u; e < TM; e++) {
        any_grows |= grows_plain[t + e];
      }
      grown[sub] = any_grows;
    }
  } else {
    let any_grows = subgroupAny(is_smaller);
    if (lane == 0u) {
      grown[sub] = u32(any_grows);
    }
  }
  let growing = workgroupUniformLoad(&grown);
  var all_growing = 0u;
  for (var e = 0u; e < TY; e++) {
    all_growing |= growing[e];
  }
  if (all_growing != 0u) {
    scale_sums(&acc, VN, shrink, sub, lane);
  }
  l *= shrink;
  let shift = m * factor;
  // @unroll
  for (var c = 0u; c < B4; c++) {
    p[c] = exp2(p[c] * factor - shift);
    l += (p[c].x + p[c].y) + (p[c].z + p[c].w);
  }
  show_halves(&p, PROBABILITIES, sub, lane);
  add_rows(&acc, VN, VQUADS, VSTRIDE, sub, lane);
}

// @splice
fn end() {
  // A row that no part so far has a pair for: o stays 0 and lse says "nothing yet".
  let share = select(1.0 / l, 0.0, l == 0.0);
  write_sums(&o, &acc, VN, V4, WRITTEN_WHOLE, share, item, group.z, own, line, sub, lane);
  if (own < item.rows) {
    lse[lines + row] = select(m * params.scale + log(l), MASKED, l == 0.0);
  }
}
