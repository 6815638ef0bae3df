// The gradient of Eq. 3 by q, dq (+)= scale · Σ ds·k, with the ds that attention_backward_dkv.wgsl has kept: one stage of a set, queries
// own, keys stream. As many queries in a tile as keys, so that both kernels have the same pairs of tiles.
// @late
// @import attention.wgsl

@group(0) @binding(2) var<storage, read> k: array<Stored>; // [batch·m, kv heads·D4]
@group(0) @binding(3) var<storage, read> notes: array<vec4f>; // statistics, then ds: [sequences, pairs, BM queries, BN / 4]
@group(0) @binding(4) var<storage, read_write> dq: array<Stored>; // [batch·n, heads·D4]

const LOADS: u32 = BM * BN / 4u / THREADS;

var<workgroup> ks: array<array<array<vec4f, 8>, ND>, TX>;
var<workgroup> ps: array<array<array<vec4f, 8>, TM * W>, TY>; // ds

// @splice
fn begin() {
  var acc: array<array<vec4f, OD>, TM>;
  var span: array<vec2f, TM * SPANS>;
}

// @splice
fn begin_row() {
  if (SPANS == 1u) {
    span[i] = notes[lines + row].zw;
  }
}

// @splice
fn begin_tiles() {
  start_rows(&dq, &acc, params.scale, OD, D4, &line, tx);
}

// Tiles that nobody sees have no ds: the other kernel passes over the same ones.
// @splice
fn see() {
  see_keys(&span, start, tx, ty);
  agree(&ps, TY, t);
}

// @splice
fn ask() {
  let kept = (params.kept_at + (group.z * params.pairs + item.pairs + blocks[run.pairs_at + entry]) * PAIR) / 2u;
  var pk: array<Stored, DLOADS>;
  var pd: array<vec4f, LOADS>;
  load_rows(DLOADS, &pk, &k, HD, D4, run, &more, start, item, other_base, t);
  // @unroll
  for (var e = 0u; e < LOADS; e++) {
    pd[e] = notes[kept + t + e * THREADS];
  }
}

// @splice
fn keep() {
  keep_rows(DLOADS, &pk, &k, &ks, WHOLE, ND, HD, D4, run, &more, start, item, other_base, t);
  // @unroll
  for (var e = 0u; e < LOADS; e++) {
    let u = (t + e * THREADS) / (BN / 4u);
    let key4 = (t + e * THREADS) % (BN / 4u);
    let y = (u / TM) & (TY - 1u);
    // Keys past the end were never masked where keys own, as their sums are not written.
    let is_key = start + key4 * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(run.rows);
    ps[y][(u & (TM - 1u)) * W + key4 % W][((key4 / W) ^ y) & 7u] = select(vec4f(), pd[e], is_key);
  }
}

// @splice
fn take() {
  add_products(&acc, OD, &ps, &ks, HD, tx, ty);
}

// @splice
fn end() {
  write_rows(&dq, &acc, params.scale, OD, D4, &line, item, group.z, own, tx, ty);
}
