// dv (+)= Σ pᵀ·dO, p = e^(s − lse): one stage of a set, keys own, queries stream.
// @import attention.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(4) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(5) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta
@group(0) @binding(6) var<storage, read_write> dv: array<Stored>; // [batch·n, heads·V4], or partial sums [batch, slots, BM, V4]

const QROWS: u32 = max(SD, TM * W);

var<workgroup> qs: array<array<array<vec4f, 8>, QROWS>, GROUPS>; // queries, then p
var<workgroup> os: array<array<array<vec4f, 8>, NV>, TX>;
var<workgroup> ks: array<array<array<vec4f, 8>, TM * HD>, TY>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let index = group.y * groups.x + group.x;
  if (index >= params.items) {
    return;
  }
  let item = item_at(index);
  let tx = lane_x(t);
  let ty = lane_y(t);
  let base = group.z * params.n;
  let lines = (group.z * params.heads + item.head) * params.n;
  let own = item.tile * BM + ty * TM;
  let factor = params.scale * LOG2E;
  own_rows(OWN_A, &ks, &k, HD, D4, item, base, t);
  var line: array<u32, TM>;
  var acc: array<array<vec4f, OV>, TM>;
  // @unroll
  for (var i = 0u; i < TM; i++) {
    line[i] = (base + row_of(item.rows_at, item.rows, own + i)) * params.heads + item.head;
  }
  start_rows(&dv, &acc, ONE, OV, V4, &line, tx);
  for (var at = item.runs; at < item.runs_end; at += RUN) {
    let run = run_at(at);
    for (var entry = run.first; entry < run.end; entry++) {
      let listed = blocks[entry];
      let start = (listed >> 1u) * BN;
      var pq: array<Stored, DLOADS>;
      var po: array<Stored, VLOADS>;
      load_rows(DLOADS, &pq, &q, HD, D4, run, start, item, base, t);
      load_rows(VLOADS, &po, &d_o, HV, V4, run, start, item, base, t);
      workgroupBarrier();
      keep_rows(DLOADS, &pq, &qs, SPLIT, SD, HD, D4, t);
      keep_rows(VLOADS, &po, &os, WHOLE, NV, HV, V4, t);
      workgroupBarrier();
      // Asked for before the products, so that they are there after them.
      var stat: array<vec2f, TN>;
      // @unroll
      for (var j = 0u; j < TN; j++) {
        stat[j] = stats[lines + row_of(run.rows_at, run.rows, start + tx * TN + j)];
      }

      var s: array<array<f32, TN>, TM>;
      add_scores(&s, OWN_A, &ks, &k, &line, &qs, SPLIT, SD, HD, CD, UD, D4, tx, ty);
      probabilities(&s, &stat, factor, listed, run, start, own, tx);
      workgroupBarrier();
      keep_scores(&qs, &s, tx, ty);
      workgroupBarrier();
      add_products(&acc, OV, &qs, &os, HV, tx, ty);
    }
  }
  write_rows(&dv, &acc, ONE, OV, V4, &line, item, group.z, own, tx, ty);
}
