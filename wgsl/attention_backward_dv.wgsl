// dv (+)= Σ pᵀ·dO, p = e^(s − lse): one part of a set, keys own, queries stream.
// @import attention.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(4) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(5) var<storage, read> lse: array<f32>; // [batch, heads, n]
@group(0) @binding(6) var<storage, read_write> dv: array<Stored>; // [batch·n, heads·V4]

const QROWS: u32 = max(TN * HD, TM * W);
const GROUPS: u32 = max(TX, TY);

var<workgroup> qs: array<array<array<vec4f, 8>, QROWS>, GROUPS>; // queries, then p
var<workgroup> os: array<array<array<vec4f, 8>, TN * HV>, TX>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = t & (TX - 1u);
  let ty = (t / TX) & (TY - 1u);
  let tile = group.y; // the first keys of a causal set have the most queries
  let batch = group.x / params.group_heads;
  let head = blocks[params.heads_at + group.x % params.group_heads];
  let base = batch * params.n;
  let own = tile * BM + ty * TM;
  let factor = params.scale * LOG2E;
  var line: array<u32, TM>;
  var acc: array<array<vec4f, OV>, TM>;
  // @unroll
  for (var i = 0u; i < TM; i++) {
    line[i] = (base + key_row(own + i)) * params.heads + head;
  }
  let end = blocks[params.starts_at + tile + 1u];
  for (var entry = blocks[params.starts_at + tile]; entry < end; entry++) {
    let listed = blocks[params.list_at + entry];
    let start = (listed >> 1u) * BN;
    var pq: array<vec4f, DLOADS>;
    var po: array<vec4f, VLOADS>;
    // @unroll
    for (var e = 0u; e < DLOADS; e++) {
      let r = (t + e * THREADS) / (HD * 8u);
      let c = (t + e * THREADS) % (HD * 8u);
      pq[e] = load(q[((base + query_row(start + r)) * params.heads + head) * D4 + c]);
      if (D4 % 8u != 0u && c >= D4) {
        pq[e] = vec4f();
      }
    }
    // @unroll
    for (var e = 0u; e < VLOADS; e++) {
      let r = (t + e * THREADS) / (HV * 8u);
      let c = (t + e * THREADS) % (HV * 8u);
      po[e] = load(d_o[((base + query_row(start + r)) * params.heads + head) * V4 + c]);
      if (V4 % 8u != 0u && c >= V4) {
        po[e] = vec4f();
      }
    }
    // @unroll
    for (var e = 0u; e < DLOADS; e++) {
      let r = (t + e * THREADS) / (HD * 8u);
      let c = (t + e * THREADS) % (HD * 8u);
      let g = (r / TN) & (TX - 1u);
      qs[g][(r & (TN - 1u)) * HD + c / 8u][(c ^ g) & 7u] = pq[e];
    }
    // @unroll
    for (var e = 0u; e < VLOADS; e++) {
      let r = (t + e * THREADS) / (HV * 8u);
      let c = (t + e * THREADS) % (HV * 8u);
      let g = (r / TN) & (TX - 1u);
      os[g][(r & (TN - 1u)) * HV + c / 8u][(c ^ g) & 7u] = po[e];
    }
    workgroupBarrier();

    var s: array<array<f32, TN>, TM>;
    for (var c0 = 0u; c0 < CD; c0 += UD) {
      // @unroll
      for (var c1 = 0u; c1 < UD; c1++) {
        let c = c0 + c1;
        let e = (c ^ tx) & 7u;
        // @unroll
        for (var h = 0u; h < HD; h++) {
          var b: array<vec4f, TN>;
          // @unroll
          for (var j = 0u; j < TN; j++) {
            b[j] = qs[tx][j * HD + h][e];
          }
          // @unroll
          for (var i = 0u; i < TM; i++) {
            let a = load(k[line[i] * D4 + h * 8u + c]);
            // @unroll
            for (var j = 0u; j < TN; j++) {
              s[i][j] = fma(a.w, b[j].w, fma(a.z, b[j].z, fma(a.y, b[j].y, fma(a.x, b[j].x, s[i][j]))));
            }
          }
        }
      }
    }
    let masked = (listed & 1u) == 1u || start + BN > params.queries;
    // @unroll
    for (var j = 0u; j < TN; j++) {
      let u = start + tx * TN + j;
      let stat = (batch * params.heads + head) * params.n + query_row(u);
      let log_sum = lse[stat] * LOG2E;
      // @unroll
      for (var i = 0u; i < TM; i++) {
        s[i][j] = exp2(fma(s[i][j], factor, -log_sum));
      }
      if (masked) {
        let lo = blocks[params.lo_at + min(u, params.queries - 1u)];
        let hi = select(0u, blocks[params.hi_at + min(u, params.queries - 1u)], u < params.queries);
        // @unroll
        for (var i = 0u; i < TM; i++) {
          s[i][j] = select(0.0, s[i][j], own + i >= lo && own + i < hi);
        }
      }
    }
    workgroupBarrier();
    // @unroll
    for (var i = 0u; i < TM; i++) {
      // @unroll
      for (var w = 0u; w < W; w++) {
        qs[ty][i * W + w][tx] = vec4f(s[i][w * 4u], s[i][w * 4u + 1u], s[i][w * 4u + 2u], s[i][w * 4u + 3u]);
      }
    }
    workgroupBarrier();
    for (var g = 0u; g < TX; g++) {
      let gg = g & (TX - 1u);
      // @unroll
      for (var w = 0u; w < W; w++) {
        var p: array<vec4f, TM>;
        // @unroll
        for (var i = 0u; i < TM; i++) {
          p[i] = qs[ty][i * W + w][gg];
        }
        // @unroll
        for (var lane = 0u; lane < 4u; lane++) {
          // @unroll
          for (var h = 0u; h < OV; h++) {
            let other = os[gg][(w * 4u + lane) * HV + h * TX / 8u][((h * TX % 8u + tx) ^ gg) & 7u];
            // @unroll
            for (var i = 0u; i < TM; i++) {
              acc[i][h] = fma(vec4f(p[i][lane]), other, acc[i][h]);
            }
          }
        }
      }
    }
    workgroupBarrier();
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var h = 0u; h < OV; h++) {
      if (own + i < params.keys && h * TX + tx < V4) {
        let at = line[i] * V4 + h * TX + tx;
        if (CONTINUE) {
          dv[at] = store(load(dv[at]) + acc[i][h]);
        } else {
          dv[at] = store(acc[i][h]);
        }
      }
    }
  }
}
