// o = softmax(q·kᵀ·scale over the set)·v, scale = 1/√d (Eq. 3), with online softmax: one stage of a set, queries own, keys stream.
// A later stage starts from the o and lse already there: m = lse, l = 1.
// @import attention_queries.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·m, kv heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·m, kv heads·V4]
@group(0) @binding(5) var<storage, read_write> o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read_write> lse: array<f32>; // [batch, heads, n]
@group(0) @binding(7) var<storage, read> spans: array<vec2u>; // [batch, n]

const XROWS: u32 = max(SD, TM * W);

var<workgroup> xs: array<array<array<vec4f, 8>, XROWS>, GROUPS>; // keys, then probabilities
var<workgroup> vs: array<array<array<vec4f, 8>, NV>, TX>;
var<workgroup> qs: array<array<array<vec4f, 8>, TM * HD>, TY>; // where OWN_A
var<workgroup> peaks: array<array<array<vec4f, TX>, TM / 4u>, TY>; // where SPARE

// @splice
fn begin() {
  own_rows(OWN_A, &qs, &q, HD, D4, item, base, t);
  var m: array<f32, TM>;
  var l: array<f32, TM>;
  var acc: array<array<vec4f, OV>, TM>;
  var span: array<vec2f, TM * SPANS>;
}

// @splice
fn begin_row() {
  m[i] = EMPTY;
  if (SPANS == 1u) {
    span[i] = vec2f(spans[base + row]);
  }
  if (params.later != 0u) {
    let before = lse[lines + row];
    // Every lane of the row starts with the same maximum; only the first brings the weight that stands for o.
    m[i] = select(before / params.scale, EMPTY, before < -1e28);
    l[i] = select(0.0, 1.0, tx == 0u && before >= -1e28);
    // @unroll
    for (var h = 0u; h < OV; h++) {
      acc[i][h] = load(o[line[i] * V4 + min(h * TX + tx, V4 - 1u)]);
    }
  }
}

// @splice
fn begin_tiles() {}

// @splice
fn see() {
  see_keys(&span, start, tx, ty);
  agree(&xs, TY, t);
}

// @splice
fn keep() {
  keep_rows(DLOADS, &pk, &k, &xs, SPLIT, SD, HD, D4, run, &more, start, item, other_base, t);
  keep_rows(VLOADS, &pv, &v, &vs, WHOLE, NV, HV, V4, run, &more, start, item, other_base, t);
}

// @splice
fn take() {
  let masked = (listed & 1u) == 1u || start + BN > run.rows;
  var busy = true;
  find_pairs(&busy, masked, run, item, own, start);
  var s: array<array<f32, TN>, TM>;
  if (busy) {
    add_scores(&s, OWN_A, &qs, &q, &line, &xs, SPLIT, SD, HD, CD, UD, D4, tx, ty);
  }
  place_scores(&s, &own_at, &span, OWNED, run, &more, start, tx);
  if (masked) {
    mask(&s, MASKED, run, item, own, start, tx);
  }

  // The maximum of each row over the TX invocations that share it.
  if (SPARE == 0u) {
    workgroupBarrier();
  }
  // @unroll
  for (var i4 = 0u; i4 < TM / 4u; i4++) {
    var high: vec4f;
    // @unroll
    for (var i = 0u; i < 4u; i++) {
      high[i] = s[i4 * 4u + i][0];
      // @unroll
      for (var j = 1u; j < TN; j++) {
        high[i] = max(high[i], s[i4 * 4u + i][j]);
      }
    }
    if (SPARE == 1u) {
      peaks[ty][i4][tx] = high;
    } else {
      xs[ty][i4][tx] = high;
    }
  }
  workgroupBarrier();
  var next: array<vec4f, TM / 4u>;
  // @unroll
  for (var i4 = 0u; i4 < TM / 4u; i4++) {
    next[i4] = vec4f(EMPTY);
    // @unroll
    for (var j = 0u; j < TX; j++) {
      if (SPARE == 1u) {
        next[i4] = max(next[i4], peaks[ty][i4][j]);
      } else {
        next[i4] = max(next[i4], xs[ty][i4][j]);
      }
    }
  }
  if (SPARE == 0u) {
    workgroupBarrier();
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let high = max(m[i], next[i / 4u][i % 4u]);
    let shift = -high * factor;
    // Not fma(m, factor, shift): where both are still EMPTY, a fused product differs from the rounded one by 1e21, and
    // exp2 of that is infinite. Some drivers fuse and some do not.
    let shrink = exp2((m[i] - high) * factor);
    m[i] = high;
    l[i] *= shrink;
    // @unroll
    for (var h = 0u; h < OV; h++) {
      acc[i][h] *= shrink;
    }
    // @unroll
    for (var j = 0u; j < TN; j++) {
      s[i][j] = exp2(fma(s[i][j], factor, shift));
      l[i] += s[i][j];
    }
  }
  keep_scores(&xs, &s, tx, ty);
  workgroupBarrier();
  if (busy) {
    add_products(&acc, OV, &xs, &vs, HV, tx, ty);
  }
}

// @splice
fn end() {
  workgroupBarrier();
  // @unroll
  for (var i4 = 0u; i4 < TM / 4u; i4++) {
    xs[ty][i4][tx] = vec4f(l[i4 * 4u], l[i4 * 4u + 1u], l[i4 * 4u + 2u], l[i4 * 4u + 3u]);
  }
  workgroupBarrier();
  // @unroll
  for (var i = 0u; i < TM; i++) {
    var total = 0.0;
    // @unroll
    for (var j = 0u; j < TX; j++) {
      total += xs[ty][i / 4u][j][i % 4u];
    }
    if (own + i < item.rows) {
      // A row that no part so far has a pair for: o stays 0 and lse says "nothing yet".
      let share = select(1.0 / total, 0.0, total == 0.0);
      // @unroll
      for (var h = 0u; h < OV; h++) {
        if (h * TX + tx < V4) {
          o[line[i] * V4 + h * TX + tx] = store(acc[i][h] * share);
        }
      }
      if (tx == 0u) {
        lse[lines + row_of(item.rows_at, item.rows, own + i)] = select(m[i] * params.scale + log(total), MASKED, total == 0.0);
      }
    }
  }
}
