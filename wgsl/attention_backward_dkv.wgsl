// The gradients of Eq. 3 by k and v, dk (+)= scale · Σ dsᵀ·q and dv (+)= Σ pᵀ·dO, at once: attention_backward_dk.wgsl and
// attention_backward_dv.wgsl with the scores computed once, four products instead of five. It holds two sums in registers, so that p
// waits in workgroup memory while dO·vᵀ is made. Where SHARED, q makes room for dO and comes again for dk, one more barrier per tile:
// for tiles so small that more workgroups then share a multiprocessor's memory. Where KEEP, ds is written down too, queries by keys, and
// dq is one product instead of three: a place for each pair of tiles, so that no other workgroup writes there. A dispatch is then over
// as many sequences as there is room for.
// @late
// @import attention_keys.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, kv heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, kv heads·V4]
@group(0) @binding(5) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read_write> notes: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta, the query's span where SPANS; then ds, where KEEP
@group(0) @binding(7) var<storage, read_write> dk: array<Stored>; // [batch·m, kv heads·D4], or partial sums [sequences, slots, BM, D4]
@group(0) @binding(8) var<storage, read_write> dv: array<Stored>; // [batch·m, kv heads·V4], or partial sums [sequences, slots, BM, V4]

const PROWS: u32 = TM * W;
const QROWS: u32 = max(ND, NV * SHARED);

var<workgroup> qs: array<array<array<vec4f, 8>, QROWS>, TX>; // where SHARED: q, then dO, then q again
var<workgroup> os: array<array<array<vec4f, 8>, NV>, TX>;
var<workgroup> ps: array<array<array<vec4f, 8>, PROWS>, TY>; // p, then ds
var<workgroup> ks: array<array<array<vec4f, 8>, TM * HD>, TY>;
var<workgroup> vs: array<array<array<vec4f, 8>, TM * HV>, TY>;

// @splice
fn begin() {
  own_rows(OWN_A, &ks, &k, HD, D4, item, base, t);
  own_rows(OWN_B, &vs, &v, HV, V4, item, base, t);
  var acc: array<array<vec4f, OD>, TM>;
  var other_acc: array<array<vec4f, OV>, TM>;
}

// @splice
fn begin_row() {}

// @splice
fn begin_tiles() {
  start_rows(&dk, &acc, params.scale, OD, D4, &line, tx);
  start_rows(&dv, &other_acc, ONE, OV, V4, &line, tx);
}

// @splice
fn see() {
  see_queries(&notes, &stat_at, run, item, start, t);
  agree(&ps, BN, t);
}

// @splice
fn keep() {
  keep_rows(DLOADS, &pq, &q, &qs, WHOLE, QROWS, HD, D4, run, &more, start, item, other_base, t);
  if (SHARED == 0u) {
    keep_rows(VLOADS, &po, &d_o, &os, WHOLE, NV, HV, V4, run, &more, start, item, other_base, t);
  }
}

// @splice
fn take() {
  var stat: array<vec2f, TN>;
  var span: array<vec2f, TN * SPANS>;
  ask_statistics(&stat, &span, &notes, lines, &stat_at, run, start, tx);
  var s: array<array<f32, TN>, TM>;
  add_scores(&s, OWN_A, &ks, &k, &line, &qs, WHOLE, QROWS, HD, CD, UD, D4, tx, ty);
  place_scores(&s, &own_at, &span, STREAMED, run, &more, start, tx);
  probabilities(&s, &stat, factor, listed, run, start, own, tx);
  if (SHARED == 1u) {
    workgroupBarrier();
    keep_rows(VLOADS, &po, &d_o, &qs, WHOLE, QROWS, HV, V4, run, &more, start, item, other_base, t);
  }
  keep_scores(&ps, &s, tx, ty);
  workgroupBarrier();
  var ds: array<array<f32, TN>, TM>;
  if (SHARED == 1u) {
    load_rows(DLOADS, &pq, &q, HD, D4, run, &more, start, item, other_base, t);
    add_products(&other_acc, OV, &ps, &qs, HV, tx, ty);
    add_scores(&ds, OWN_B, &vs, &v, &line, &qs, WHOLE, QROWS, HV, CV, UV, V4, tx, ty);
  } else {
    add_products(&other_acc, OV, &ps, &os, HV, tx, ty);
    add_scores(&ds, OWN_B, &vs, &v, &line, &os, WHOLE, NV, HV, CV, UV, V4, tx, ty);
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var w = 0u; w < W; w++) {
      let p4 = ps[ty][i * W + w][(tx ^ ty) & 7u];
      // @unroll
      for (var j = 0u; j < 4u; j++) {
        ds[i][w * 4u + j] = p4[j] * (ds[i][w * 4u + j] - stat[w * 4u + j].y);
      }
    }
  }
  if (KEEP == 1u) {
    let kept = params.kept_at + (group.z * params.pairs + item.pairs + run.pairs_at + entry) * PAIR + ty * (TM / 2u);
    // @unroll
    for (var j = 0u; j < TN; j++) {
      // @unroll
      for (var i = 0u; i < TM / 2u; i++) {
        notes[kept + (tx * TN + j) * (BM / 2u) + i] = vec2f(ds[i * 2u][j], ds[i * 2u + 1u][j]);
      }
    }
  }
  workgroupBarrier();
  if (SHARED == 1u) {
    keep_rows(DLOADS, &pq, &q, &qs, WHOLE, QROWS, HD, D4, run, &more, start, item, other_base, t);
  }
  keep_scores(&ps, &ds, tx, ty);
  workgroupBarrier();
  add_products(&acc, OD, &ps, &qs, HD, tx, ty);
}

// @splice
fn end() {
  write_rows(&dk, &acc, params.scale, OD, D4, &line, item, group.z, own, tx, ty);
  write_rows(&dv, &other_acc, ONE, OV, V4, &line, item, group.z, own, tx, ty);
}
