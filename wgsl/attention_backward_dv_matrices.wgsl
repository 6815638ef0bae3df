// attention_backward_dv.wgsl by subgroup matrices: dv (+)= Σ pᵀ·dO: one stage of a set, keys own, queries stream.
// @late matrices
// @import attention_keys_matrices.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, heads·D4]
@group(0) @binding(4) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta
@group(0) @binding(6) var<storage, read_write> dv: array<Stored>; // [batch·m, heads·V4], or partial sums [batch, slots, BM, V4]

// @splice
fn begin() {
  var held: array<array<LeftMatrix, DN>, M>;
  hold_rows(&held, &own_first_plain, &k, DN, D4, line, sub, lane);
  var acc: array<array<SumMatrix, VN>, M>;
  if (params.later != 0u) {
    start_sums(&acc, VN, V4, &dv, ONE, line, sub, lane);
  }
}

// @splice
fn ask() {
  ask_queries();
  ask_statistics();
}

// @splice
fn ask_other() {
  ask_gradients();
}

// @splice
fn keep() {
  keep_queries();
  keep_statistics();
}

// @splice
fn take() {
  var s: array<array<SumMatrix, N>, M>;
  score(&s, &held, &own_first_plain, DN, D4, DQUADS, DSTRIDE, sub, lane);
  show_scores(&s, sub, lane);
  keep_gradients();
  ask_gradients();
  var p: array<vec4f, B4>;
  take_scores(&p, sub, lane);
  probabilities(&p, listed, run, start, own, factor, sub);
  show_halves(&p, PROBABILITIES, sub, lane);
  add_rows(&acc, VN, VQUADS, VSTRIDE, sub, lane);
}

// @splice
fn end() {
  write_sums(&dv, &acc, VN, V4, SPLIT, ONE, item, group.z, own, line, sub, lane);
}
