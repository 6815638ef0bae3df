// The gradient of Eq. 3 by k: dk (+)= scale · Σ dsᵀ·q, ds = p ∘ (dO·vᵀ − delta), p = e^(s − lse): one stage of a set, keys own, queries
// stream.
// @late
// @import attention_keys.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, kv heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, kv heads·V4]
@group(0) @binding(5) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta, then the query's span where SPANS
@group(0) @binding(7) var<storage, read_write> dk: array<Stored>; // [batch·m, kv heads·D4], or partial sums [batch, slots, BM, D4]

const OROWS: u32 = max(SV, TM * W);

var<workgroup> qs: array<array<array<vec4f, 8>, ND>, TX>;
var<workgroup> os: array<array<array<vec4f, 8>, OROWS>, GROUPS>; // dO, then ds
var<workgroup> ks: array<array<array<vec4f, 8>, TM * HD>, TY>;
var<workgroup> vs: array<array<array<vec4f, 8>, TM * HV>, TY>;

// @splice
fn begin() {
  own_rows(OWN_A, &ks, &k, HD, D4, item, base, t);
  own_rows(OWN_B, &vs, &v, HV, V4, item, base, t);
  var acc: array<array<vec4f, OD>, TM>;
}

// @splice
fn begin_row() {}

// @splice
fn begin_tiles() {
  start_rows(&dk, &acc, params.scale, OD, D4, &line, tx);
}

// @splice
fn see() {
  see_queries(&stats, &stat_at, run, item, start, t);
  agree(&os, BN, t);
}

// @splice
fn keep() {
  keep_rows(DLOADS, &pq, &q, &qs, WHOLE, ND, HD, D4, run, &more, start, item, other_base, t);
  keep_rows(VLOADS, &po, &d_o, &os, SPLIT, SV, HV, V4, run, &more, start, item, other_base, t);
}

// @splice
fn take() {
  var stat: array<vec2f, TN>;
  var span: array<vec2f, TN * SPANS>;
  ask_statistics(&stat, &span, &stats, lines, &stat_at, run, start, tx);
  var s: array<array<f32, TN>, TM>;
  add_scores(&s, OWN_A, &ks, &k, &line, &qs, WHOLE, ND, HD, CD, UD, D4, tx, ty);
  place_scores(&s, &own_at, &span, STREAMED, run, &more, start, tx);
  probabilities(&s, &stat, factor, listed, run, start, own, tx);
  var ds: array<array<f32, TN>, TM>;
  add_scores(&ds, OWN_B, &vs, &v, &line, &os, SPLIT, SV, HV, CV, UV, V4, tx, ty);
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var j = 0u; j < TN; j++) {
      ds[i][j] = s[i][j] * (ds[i][j] - stat[j].y);
    }
  }
  workgroupBarrier();
  keep_scores(&os, &ds, tx, ty);
  workgroupBarrier();
  add_products(&acc, OD, &os, &qs, HD, tx, ty);
}

// @splice
fn end() {
  write_rows(&dk, &acc, params.scale, OD, D4, &line, item, group.z, own, tx, ty);
}
