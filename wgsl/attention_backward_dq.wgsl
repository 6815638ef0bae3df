// The gradient of Eq. 3 by q: dq (+)= scale · Σ ds·k, ds = p ∘ (dO·vᵀ − delta), p = e^(s − lse): one stage of a set, queries own, keys
// stream.
// @late
// @import attention_queries.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, kv heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, kv heads·V4]
@group(0) @binding(5) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta, then the query's span where SPANS
@group(0) @binding(7) var<storage, read_write> dq: array<Stored>; // [batch·n, heads·D4], or partial sums [batch, slots, BM, D4]

const VROWS: u32 = max(SV, TM * W);

var<workgroup> ks: array<array<array<vec4f, 8>, ND>, TX>;
var<workgroup> vs: array<array<array<vec4f, 8>, VROWS>, GROUPS>; // values, then ds
var<workgroup> qs: array<array<array<vec4f, 8>, TM * HD>, TY>;
var<workgroup> os: array<array<array<vec4f, 8>, TM * HV>, TY>; // dO

// @splice
fn begin() {
  own_rows(OWN_A, &qs, &q, HD, D4, item, base, t);
  own_rows(OWN_B, &os, &d_o, HV, V4, item, base, t);
  var stat: array<vec2f, TM>;
  var acc: array<array<vec4f, OD>, TM>;
  var span: array<vec2f, TM * SPANS>;
}

// @splice
fn begin_row() {
  if (SPANS == 1u) {
    stat[i] = stats[2u * (lines + row)];
    span[i] = stats[2u * (lines + row) + 1u];
  } else {
    stat[i] = stats[lines + row];
  }
}

// @splice
fn begin_tiles() {
  start_rows(&dq, &acc, params.scale, OD, D4, &line, tx);
}

// @splice
fn see() {
  see_keys(&span, start, tx, ty);
  agree(&vs, TY, t);
}

// @splice
fn keep() {
  keep_rows(DLOADS, &pk, &k, &ks, WHOLE, ND, HD, D4, run, &more, start, item, other_base, t);
  keep_rows(VLOADS, &pv, &v, &vs, SPLIT, SV, HV, V4, run, &more, start, item, other_base, t);
}

// @splice
fn take() {
  let masked = (listed & 1u) == 1u || start + BN > run.rows;
  var busy = true;
  find_pairs(&busy, masked, run, item, own, start);
  var s: array<array<f32, TN>, TM>;
  if (busy) {
    add_scores(&s, OWN_A, &qs, &q, &line, &ks, WHOLE, ND, HD, CD, UD, D4, tx, ty);
  }
  place_scores(&s, &own_at, &span, OWNED, run, &more, start, tx);
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var j = 0u; j < TN; j++) {
      s[i][j] = exp2(fma(s[i][j], factor, -stat[i].x));
    }
  }
  if (masked) {
    mask(&s, ZERO, run, item, own, start, tx);
  }
  var ds: array<array<f32, TN>, TM>;
  if (busy) {
    add_scores(&ds, OWN_B, &os, &d_o, &line, &vs, SPLIT, SV, HV, CV, UV, V4, tx, ty);
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var j = 0u; j < TN; j++) {
      ds[i][j] = s[i][j] * (ds[i][j] - stat[i].y);
    }
  }
  workgroupBarrier();
  keep_scores(&vs, &ds, tx, ty);
  workgroupBarrier();
  if (busy) {
    add_products(&acc, OD, &vs, &ks, HD, tx, ty);
  }
}

// @splice
fn end() {
  write_rows(&dq, &acc, params.scale, OD, D4, &line, item, group.z, own, tx, ty);
}
