// attention_backward_dq.wgsl by subgroup matrices: dq (+)= scale · Σ ds·k, ds = p ∘ (dO·vᵀ − delta), p = e^(s − lse): one stage of a set, queries
// own, keys stream.
// @late matrices
// @import attention_queries_matrices.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, heads·V4]
@group(0) @binding(5) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta
@group(0) @binding(7) var<storage, read_write> dq: array<Stored>; // [batch·n, heads·D4], or partial sums [batch, slots, BM, D4]

const SPLIT: u32 = 1u;

// @splice
fn begin() {
  var held: array<array<LeftMatrix, DN>, M>;
  var other_held: array<array<LeftMatrix, VN>, M>;
  hold_rows(&held, &own_first_plain, &q, DN, D4, line, sub, lane);
  hold_rows(&other_held, &own_second_plain, &d_o, VN, V4, line, sub, lane);
  let stat = stats[lines + row];
  var acc: array<array<SumMatrix, DN>, M>;
  if (params.later != 0u) {
    start_sums(&acc, DN, D4, &dq, params.scale, line, sub, lane);
  }
}

// @splice
fn ask() {
  ask_values();
}

// @splice
fn ask_other() {
  ask_keys();
}

// @splice
fn keep() {
  keep_values();
}

// @splice
fn take() {
  var ds: array<array<SumMatrix, N>, M>;
  score(&ds, &other_held, &own_second_plain, VN, V4, VQUADS, VSTRIDE, sub, lane);
  show_scores(&ds, sub, lane);
  keep_keys();
  ask_keys();
  var dp: array<vec4f, B4>;
  take_scores(&dp, sub, lane);
  workgroupBarrier();
  var s: array<array<SumMatrix, N>, M>;
  score(&s, &held, &own_first_plain, DN, D4, DQUADS, DSTRIDE, sub, lane);
  show_scores(&s, sub, lane);
  var p: array<vec4f, B4>;
  take_scores(&p, sub, lane);
  // @unroll
  for (var c = 0u; c < B4; c++) {
    p[c] = exp2(p[c] * factor - stat.x);
  }
  mask(&p, ZERO, listed, run, item, own, start);
  // @unroll
  for (var c = 0u; c < B4; c++) {
    p[c] *= dp[c] - stat.y;
  }
  show_halves(&p, ANY, sub, lane);
  add_rows(&acc, DN, DQUADS, DSTRIDE, sub, lane);
}

// @splice
fn end() {
  write_sums(&dq, &acc, DN, D4, SPLIT, params.scale, item, group.z, own, line, sub, lane);
}
