// dk and dv at once: attention_backward_dk.wgsl and attention_backward_dv.wgsl with the scores computed once, four products
// instead of five. It holds two sums in registers, so that p waits in workgroup memory while dO·vᵀ is made.
// @import attention.wgsl

@group(0) @binding(2) var<storage, read> q: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(3) var<storage, read> k: array<Stored>; // [batch·n, heads·D4]
@group(0) @binding(4) var<storage, read> v: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(5) var<storage, read> d_o: array<Stored>; // [batch·n, heads·V4]
@group(0) @binding(6) var<storage, read> stats: array<vec2f>; // [batch, heads, n]: lse·log₂e and delta
@group(0) @binding(7) var<storage, read_write> dk: array<Stored>; // [batch·n, heads·D4], or partial sums [batch, slots, BM, D4]
@group(0) @binding(8) var<storage, read_write> dv: array<Stored>; // [batch·n, heads·V4], or partial sums [batch, slots, BM, V4]

const PROWS: u32 = TM * W;

var<workgroup> qs: array<array<array<vec4f, 8>, TN * HD>, TX>;
var<workgroup> os: array<array<array<vec4f, 8>, TN * HV>, TX>;
var<workgroup> ps: array<array<array<vec4f, 8>, PROWS>, TY>; // p, then ds
var<workgroup> ks: array<array<array<vec4f, 8>, TM * HD>, TY>;
var<workgroup> vs: array<array<array<vec4f, 8>, TM * HV>, TY>;

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
  let head = item.head;
  let tx = lane_x(t);
  let ty = lane_y(t);
  let base = group.z * params.n;
  let lines = (group.z * params.heads + head) * params.n;
  let own = item.tile * BM + ty * TM;
  let factor = params.scale * LOG2E;
  if (OWN_A == 1u) {
    for (var e = t; e < BM * HD * 8u; e += THREADS) {
      let r = e / (HD * 8u);
      let c = e % (HD * 8u);
      var a = load(k[((base + row_of(item.rows_at, item.rows, item.tile * BM + r)) * params.heads + head) * D4 + c]);
      if (D4 % 8u != 0u && c >= D4) {
        a = vec4f();
      }
      let y = (r / TM) & (TY - 1u);
      ks[y][(r & (TM - 1u)) * HD + c / 8u][(c ^ y) & 7u] = a;
    }
  }
  if (OWN_B == 1u) {
    for (var e = t; e < BM * HV * 8u; e += THREADS) {
      let r = e / (HV * 8u);
      let c = e % (HV * 8u);
      var a = load(v[((base + row_of(item.rows_at, item.rows, item.tile * BM + r)) * params.heads + head) * V4 + c]);
      if (V4 % 8u != 0u && c >= V4) {
        a = vec4f();
      }
      let y = (r / TM) & (TY - 1u);
      vs[y][(r & (TM - 1u)) * HV + c / 8u][(c ^ y) & 7u] = a;
    }
  }
  var line: array<u32, TM>;
  var acc: array<array<vec4f, OD>, TM>;
  var other_acc: array<array<vec4f, OV>, TM>;
  // @unroll
  for (var i = 0u; i < TM; i++) {
    line[i] = (base + row_of(item.rows_at, item.rows, own + i)) * params.heads + head;
  }
  for (var at = item.runs; at < item.runs_end; at += RUN) {
    let run = run_at(at);
    for (var entry = run.first; entry < run.end; entry++) {
      let listed = blocks[entry];
      let start = (listed >> 1u) * BN;
      var pq: array<vec4f, DLOADS>;
      var po: array<vec4f, VLOADS>;
      // @unroll
      for (var e = 0u; e < DLOADS; e++) {
        let r = (t + e * THREADS) / (HD * 8u);
        let c = (t + e * THREADS) % (HD * 8u);
        pq[e] = load(q[((base + row_of(run.rows_at, run.rows, start + r)) * params.heads + head) * D4 + c]);
        if (D4 % 8u != 0u && c >= D4) {
          pq[e] = vec4f();
        }
      }
      // @unroll
      for (var e = 0u; e < VLOADS; e++) {
        let r = (t + e * THREADS) / (HV * 8u);
        let c = (t + e * THREADS) % (HV * 8u);
        po[e] = load(d_o[((base + row_of(run.rows_at, run.rows, start + r)) * params.heads + head) * V4 + c]);
        if (V4 % 8u != 0u && c >= V4) {
          po[e] = vec4f();
        }
      }
      workgroupBarrier();
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
      // Asked for before the products, so that they are there after them.
      var stat: array<vec2f, TN>;
      // @unroll
      for (var j = 0u; j < TN; j++) {
        stat[j] = stats[lines + row_of(run.rows_at, run.rows, start + tx * TN + j)];
      }

      var s: array<array<f32, TN>, TM>;
      for (var c0 = 0u; c0 < CD; c0 += UD) {
        // @unroll
        for (var c1 = 0u; c1 < UD; c1++) {
          let c = c0 + c1;
          let e = (c ^ tx) & 7u;
          let f = (c ^ ty) & 7u;
          // @unroll
          for (var h = 0u; h < HD; h++) {
            var b: array<vec4f, TN>;
            // @unroll
            for (var j = 0u; j < TN; j++) {
              b[j] = qs[tx][j * HD + h][e];
            }
            // @unroll
            for (var i = 0u; i < TM; i++) {
              var a: vec4f;
              if (OWN_A == 1u) {
                a = ks[ty][i * HD + h][f];
              } else {
                a = load(k[line[i] * D4 + h * 8u + c]);
              }
              // @unroll
              for (var j = 0u; j < TN; j++) {
                s[i][j] = fma(a.w, b[j].w, fma(a.z, b[j].z, fma(a.y, b[j].y, fma(a.x, b[j].x, s[i][j]))));
              }
            }
          }
        }
      }
      let masked = (listed & 1u) == 1u || start + BN > run.rows;
      // @unroll
      for (var j = 0u; j < TN; j++) {
        // @unroll
        for (var i = 0u; i < TM; i++) {
          s[i][j] = exp2(fma(s[i][j], factor, -stat[j].x));
        }
        if (masked) {
          let keys = keys_of(run, run.rows, start + tx * TN + j, own);
          // @unroll
          for (var i = 0u; i < TM; i++) {
            s[i][j] = select(0.0, s[i][j], has_key(keys, own + i));
          }
        }
      }
      // @unroll
      for (var i = 0u; i < TM; i++) {
        // @unroll
        for (var w = 0u; w < W; w++) {
          ps[ty][i * W + w][(tx ^ ty) & 7u] = vec4f(s[i][w * 4u], s[i][w * 4u + 1u], s[i][w * 4u + 2u], s[i][w * 4u + 3u]);
        }
      }
      workgroupBarrier();
      for (var g = 0u; g < TX; g++) {
        let gg = g & (TX - 1u);
        let f = (g ^ ty) & 7u;
        // @unroll
        for (var w = 0u; w < W; w++) {
          var p: array<vec4f, TM>;
          // @unroll
          for (var i = 0u; i < TM; i++) {
            p[i] = ps[ty][i * W + w][f];
          }
          // @unroll
          for (var lane = 0u; lane < 4u; lane++) {
            // @unroll
            for (var h = 0u; h < OV; h++) {
              let other = os[gg][(w * 4u + lane) * HV + h * TX / 8u][((h * TX % 8u + tx) ^ gg) & 7u];
              // @unroll
              for (var i = 0u; i < TM; i++) {
                other_acc[i][h] = fma(vec4f(p[i][lane]), other, other_acc[i][h]);
              }
            }
          }
        }
      }
      var ds: array<array<f32, TN>, TM>;
      for (var c0 = 0u; c0 < CV; c0 += UV) {
        // @unroll
        for (var c1 = 0u; c1 < UV; c1++) {
          let c = c0 + c1;
          let e = (c ^ tx) & 7u;
          let f = (c ^ ty) & 7u;
          // @unroll
          for (var h = 0u; h < HV; h++) {
            var b: array<vec4f, TN>;
            // @unroll
            for (var j = 0u; j < TN; j++) {
              b[j] = os[tx][j * HV + h][e];
            }
            // @unroll
            for (var i = 0u; i < TM; i++) {
              var a: vec4f;
              if (OWN_B == 1u) {
                a = vs[ty][i * HV + h][f];
              } else {
                a = load(v[line[i] * V4 + h * 8u + c]);
              }
              // @unroll
              for (var j = 0u; j < TN; j++) {
                ds[i][j] = fma(a.w, b[j].w, fma(a.z, b[j].z, fma(a.y, b[j].y, fma(a.x, b[j].x, ds[i][j]))));
              }
            }
          }
        }
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
      workgroupBarrier();
      // @unroll
      for (var i = 0u; i < TM; i++) {
        // @unroll
        for (var w = 0u; w < W; w++) {
          ps[ty][i * W + w][(tx ^ ty) & 7u] = vec4f(ds[i][w * 4u], ds[i][w * 4u + 1u], ds[i][w * 4u + 2u], ds[i][w * 4u + 3u]);
        }
      }
      workgroupBarrier();
      for (var g = 0u; g < TX; g++) {
        let gg = g & (TX - 1u);
        let f = (g ^ ty) & 7u;
        // @unroll
        for (var w = 0u; w < W; w++) {
          var p: array<vec4f, TM>;
          // @unroll
          for (var i = 0u; i < TM; i++) {
            p[i] = ps[ty][i * W + w][f];
          }
          // @unroll
          for (var lane = 0u; lane < 4u; lane++) {
            // @unroll
            for (var h = 0u; h < OD; h++) {
              let other = qs[gg][(w * 4u + lane) * HD + h * TX / 8u][((h * TX % 8u + tx) ^ gg) & 7u];
              // @unroll
              for (var i = 0u; i < TM; i++) {
                acc[i][h] = fma(vec4f(p[i][lane]), other, acc[i][h]);
              }
            }
          }
        }
      }
    }
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var h = 0u; h < OD; h++) {
      if (own + i < item.rows && h * TX + tx < D4) {
        let sum = acc[i][h] * params.scale;
        if (params.split != 0u) {
          let at = (((group.z * params.slots + item.slot) * BM + ty * TM + i) * D4 + h * TX + tx) * PIECES;
          // @unroll
          for (var part = 0u; part < PIECES; part++) {
            dk[at + part] = piece(sum, part);
          }
        } else {
          let at = line[i] * D4 + h * TX + tx;
          if (params.later != 0u) {
            dk[at] = store(load(dk[at]) + sum);
          } else {
            dk[at] = store(sum);
          }
        }
      }
    }
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var h = 0u; h < OV; h++) {
      if (own + i < item.rows && h * TX + tx < V4) {
        let sum = other_acc[i][h];
        if (params.split != 0u) {
          let at = (((group.z * params.slots + item.slot) * BM + ty * TM + i) * V4 + h * TX + tx) * PIECES;
          // @unroll
          for (var part = 0u; part < PIECES; part++) {
            dv[at + part] = piece(sum, part);
          }
        } else {
          let at = line[i] * V4 + h * TX + tx;
          if (params.later != 0u) {
            dv[at] = store(load(dv[at]) + sum);
          } else {
            dv[at] = store(sum);
          }
        }
      }
    }
  }
}
