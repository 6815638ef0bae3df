// attention_backward_dk.wgsl by subgroup matrices: dk (+)= scale · Σ dsᵀ·q, dsᵀ = pᵀ ∘ (v·dOᵀ − delta): one stage of a set, keys own, queries
// stream.
// @late matrices
// @import attention_keys_matrices.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, heads·V4]
@group(0) @binding(5) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta
@group(0) @binding(7) var<storage, read_write> dk: array<Stored>; // [batch·m, heads·D4], or partial sums [batch, slots, BM, D4]

// @splice
fn begin() {
  var held: array<array<LeftMatrix, DN>, M>;
  var other_held: array<array<LeftMatrix, VN>, M>;
  hold_rows(&held, &own_first_plain, &k, DN, D4, line, sub, lane);
  hold_rows(&other_held, &own_second_plain, &v, VN, V4, line, sub, lane);
  var acc: array<array<SumMatrix, DN>, M>;
  if (params.later != 0u) {
    start_sums(&acc, DN, D4, &dk, params.scale, line, sub, lane);
  }
}

// @splice
fn ask() {
  ask_gradients();
  ask_statistics();
}

// @splice
fn ask_other() {
  ask_queries();
}

// @splice
fn keep() {
  keep_gradients();
  keep_statistics();
}

// @splice
fn take() {
  var ds: array<array<SumMatrix, N>, M>;
  score(&ds, &other_held, &own_second_plain, VN, V4, VQUADS, VSTRIDE, sub, lane);
  show_scores(&ds, sub, lane);
  keep_queries();
  ask_queries();
  var dp: array<vec4f, B4>;
  take_scores(&dp, sub, lane);
  workgroupBarrier();
  var s: array<array<SumMatrix, N>, M>;
  score(&s, &held, &own_first_plain, DN, D4, DQUADS, DSTRIDE, sub, lane);
  show_scores(&s, sub, lane);
  var p: array<vec4f, B4>;
  take_scores(&p, sub, lane);
  probabilities(&p, listed, run, start, own, factor, sub);
  // @unroll
  for (var c = 0u; c < B4; c++) {
    // @unroll
    for (var z = 0u; z < 4u; z++) {
      p[c][z] *= dp[c][z] - stats_tile[c * 4u + z].y;
    }
  }
  show_halves(&p, ANY, sub, lane);
  add_rows(&acc, DN, DQUADS, DSTRIDE, sub, lane);
}

// @splice
fn end() {
  write_sums(&dk, &acc, DN, D4, SPLIT, params.scale, item, group.z, own, line, sub, lane);
}
