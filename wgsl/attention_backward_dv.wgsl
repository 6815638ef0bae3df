// The gradient of Eq. 3 by v: dv (+)= Σ pᵀ·dO, p = e^(s − lse): one stage of a set, keys own, queries stream.
// @late
// @import attention_keys.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, kv heads·D4]
@group(0) @binding(4) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta, then the query's span where SPANS
@group(0) @binding(6) var<storage, read_write> dv: array<Stored>; // [batch·m, kv heads·V4], or partial sums [batch, slots, BM, V4]

const QROWS: u32 = max(SD, TM * W);

var<workgroup> qs: array<array<array<vec4f, 8>, QROWS>, GROUPS>; // queries, then p
var<workgroup> os: array<array<array<vec4f, 8>, NV>, TX>;
var<workgroup> ks: array<array<array<vec4f, 8>, TM * HD>, TY>;

// @splice
fn begin() {
  own_rows(OWN_A, &ks, &k, HD, D4, item, base, t);
  var acc: array<array<vec4f, OV>, TM>;
}

// @splice
fn begin_row() {}

// @splice
fn begin_tiles() {
  start_rows(&dv, &acc, ONE, OV, V4, &line, tx);
}

// @splice
fn see() {
  see_queries(&stats, &stat_at, run, item, start, t);
  agree(&qs, BN, t);
}

// @splice
fn keep() {
  keep_rows(DLOADS, &pq, &q, &qs, SPLIT, SD, HD, D4, run, &more, start, item, other_base, t);
  keep_rows(VLOADS, &po, &d_o, &os, WHOLE, NV, HV, V4, run, &more, start, item, other_base, t);
}

// @splice
fn take() {
  var stat: array<vec2f, TN>;
  var span: array<vec2f, TN * SPANS>;
  ask_statistics(&stat, &span, &stats, lines, &stat_at, run, start, tx);
  var s: array<array<f32, TN>, TM>;
  add_scores(&s, OWN_A, &ks, &k, &line, &qs, SPLIT, SD, HD, CD, UD, D4, tx, ty);
  place_scores(&s, &own_at, &span, STREAMED, run, &more, start, tx);
  probabilities(&s, &stat, factor, listed, run, start, own, tx);
  workgroupBarrier();
  keep_scores(&qs, &s, tx, ty);
  workgroupBarrier();
  add_products(&acc, OV, &qs, &os, HV, tx, ty);
}

// @splice
fn end() {
  write_rows(&dv, &acc, ONE, OV, V4, &line, item, group.z, own, tx, ty);
}
