// What the kernels of dk and dv by subgroup matrices share: keys own, queries stream, so that statistics and sets are those of the tile.
// @late matrices
// @import attention_matrices.wgsl

const SPLIT: u32 = 1u;

var<workgroup> stats_tile: array<vec2f, BN>; // of the queries that stream: lse·log₂e and delta
var<workgroup> keys_tile: array<vec2u, TY * BN>; // what tells which keys of a subgroup they have

// Puts what tells which keys of a subgroup the tile's queries have into workgroup memory, where not all pairs are of the set.
// @inline
fn keep_sets(listed: u32, run: Run, start: u32, own: u32, sub: u32, lane: u32) {
  if ((listed & 1u) == 1u || start + BN > run.rows) {
    for (var e = lane; e < BN; e += LANES) {
      keys_tile[sub * BN + e] = keys_of(run, run.rows, start + e, own - lane);
    }
  }
}

// p = e^(s − lse), 0 outside of the set: a key's row of it
// @inline
fn probabilities(p: ptr<function, Fours>, listed: u32, run: Run, start: u32, own: u32, factor: f32, sub: u32) {
  // @unroll
  for (var c = 0u; c < B4; c++) {
    // @unroll
    for (var z = 0u; z < 4u; z++) {
      (*p)[c][z] = exp2((*p)[c][z] * factor - stats_tile[c * 4u + z].x);
    }
  }
  if ((listed & 1u) == 1u || start + BN > run.rows) {
    // @unroll
    for (var c = 0u; c < B4; c++) {
      // @unroll
      for (var z = 0u; z < 4u; z++) {
        (*p)[c][z] = select(0.0, (*p)[c][z], has_key(keys_tile[sub * BN + c * 4u + z], own));
      }
    }
  }
}

// @splice
fn room() {
  var pq: array<vec2u, DLOADS>;
  var po: array<vec2u, VLOADS>;
  var stats_of_one: vec2f;
}

// @splice
fn ask_queries() {
  ask_rows(&pq, DLOADS, &q, D4, run, asked, item, other_base, t);
}

// @splice
fn ask_gradients() {
  ask_rows(&po, VLOADS, &d_o, V4, run, asked, item, other_base, t);
}

// @splice
fn keep_gradients() {
  keep_rows(&po, VLOADS, VQUADS, VSTRIDE, V4, t);
}

// @splice
fn keep_queries() {
  keep_rows(&pq, DLOADS, DQUADS, DSTRIDE, D4, t);
}

// @splice
fn ask_statistics() {
  stats_of_one = stats[lines + row_of(run.rows_at, run.rows, asked + t % BN)];
}

// @splice
fn keep_statistics() {
  if (t < BN) {
    stats_tile[t] = stats_of_one;
  }
  keep_sets(listed, run, start, own, sub, lane);
}
