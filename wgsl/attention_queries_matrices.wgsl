// What the kernels of the forward pass and of dq by subgroup matrices share: queries own, keys stream.
// @late matrices
// @import attention_matrices.wgsl

const ZERO: f32 = 0.0;

// Masks a query's row of a tile: what has no pair is `outside`.
// @inline
fn mask(p: ptr<function, Fours>, outside: f32, listed: u32, run: Run, item: Item, own: u32, start: u32) {
  if ((listed & 1u) == 1u || start + BN > run.rows) {
    // @unroll
    for (var c = 0u; c < B4; c++) {
      let first_key = start + c * 4u;
      let keys = keys_of(run, item.rows, own, first_key);
      // @unroll
      for (var z = 0u; z < 4u; z++) {
        (*p)[c][z] = select(outside, (*p)[c][z], has_key(keys, first_key + z));
      }
    }
  }
}

// @splice
fn room() {
  var pk: array<vec2u, DLOADS>;
  var pv: array<vec2u, VLOADS>;
}

// @splice
fn ask_keys() {
  ask_rows(&pk, DLOADS, &k, D4, run, asked, item, other_base, t);
}

// @splice
fn ask_values() {
  ask_rows(&pv, VLOADS, &v, V4, run, asked, item, other_base, t);
}

// @splice
fn keep_keys() {
  keep_rows(&pk, DLOADS, DQUADS, DSTRIDE, D4, t);
}

// @splice
fn keep_values() {
  keep_rows(&pv, VLOADS, VQUADS, VSTRIDE, V4, t);
}
