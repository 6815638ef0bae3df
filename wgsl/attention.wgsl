// What the tiled attention kernels share. A workgroup takes an item: BM = TY·TM rows of one side, which it owns, and lists of tiles of
// BN = TX·TN rows of the other side, which it streams through workgroup memory. Invocation (ty, tx) computes TM × TN scores and, of the
// output, TM rows × the vec4 columns tx, tx + TX, …
//
// This is their skeleton: main, with the prologue and the loop over tiles, and functions of what several of them do. A kernel brings
// what it does for itself, each marked `@splice`: it is pasted into main, whose names it sees.
//   begin: declares its sums, and copies rows owned to workgroup memory where OWN_A, OWN_B
//   begin_row: what it needs of row `row`, which is i of the rows owned
//   begin_tiles: goes on from what stages before it wrote
//   see: where SPANS: whether queries of a tile see any of its keys, where rows of both sides are in order
//   ask: declares registers for the rows of a tile, and asks for them
//   keep: puts them into workgroup memory
//   take: adds to its sums what the tile gives, in workgroup memory
//   end: writes its sums
//
// Tiles are nested arrays whose inner indices are constants wherever the loop allows: an index clamp is then paid once per invocation
// and not once per load. The eight vec4 of an innermost array are swizzled by the row group, so that the groups of a subgroup read
// different banks.
// @import attention_tables.wgsl
// @import lanes.wgsl

// @values
const TX: u32 = 8u;
const TY: u32 = 8u;
const TM: u32 = 8u;
const TN: u32 = 4u;
const OWN_A: u32 = 0u; // 1: the rows owned (of the first operand, of the second) are kept in workgroup memory
const OWN_B: u32 = 0u;
const SPARE: u32 = 0u; // 1: row maxima have workgroup memory of their own, which saves two barriers per tile
const TURN: u32 = 2u; // vec4 of a group of eight in one turn of the loop over them: naga counts every turn
const KEEP: u32 = 0u; // 1: ds is kept for attention_backward_dq_kept.wgsl
const SHARED: u32 = 0u; // 1: what streams through attention_backward_dkv.wgsl takes turns in the same workgroup memory

const BM: u32 = TY * TM;
const BN: u32 = TX * TN;
const PAIR: u32 = BM * BN / 2u; // vec2 of a pair of tiles
const THREADS: u32 = TX * TY;
const W: u32 = TN / 4u;
const HD: u32 = (D4 + 7u) / 8u; // groups of eight vec4
const HV: u32 = (V4 + 7u) / 8u;
const ND: u32 = TN * HD; // of the rows that stream, per tx
const NV: u32 = TN * HV;
const CD: u32 = min(D4, 8u); // vec4 of a group that are not padding
const CV: u32 = min(V4, 8u);
const UD: u32 = 1u + (TURN - 1u) * (1u - min(CD % TURN, 1u));
const UV: u32 = 1u + (TURN - 1u) * (1u - min(CV % TURN, 1u));
const OD: u32 = (D4 + TX - 1u) / TX; // vec4 of an output row an invocation owns
const OV: u32 = (V4 + TX - 1u) / TX;
const DLOADS: u32 = BN * HD * 8u / THREADS;
const VLOADS: u32 = BN * HV * 8u / THREADS;
// 1: a tile's rows wait in registers while the one before is worked on. Where these would be more than 32 vec4, each row is copied when its
// turn comes: wide heads by the smallest workgroups, which have no such registers to spare.
const HELD: u32 = 1u - min((DLOADS + VLOADS) / 33u, 1u);
const ALONE: u32 = 1u;
const GROUPS: u32 = max(TX, TY);
// The scores take the place of a streamed operand: TM·W rows of each ty where TN·HD (or HV) rows of each tx were. Where TY is larger,
// the rows of one tx lie in SPLIT of the groups, so that neither leaves room unused (48 and not 80 KiB at 8 × 16, 4 × 8).
const SPLIT: u32 = max(TY / TX, 1u);
const SD: u32 = (TN * HD + SPLIT - 1u) / SPLIT;
const SV: u32 = (TN * HV + SPLIT - 1u) / SPLIT;

const PLACED: u32 = max(ALIBI, SPANS); // 1: positions count
const BESIDE: u32 = max(GROUPED, SPANS);

const ZERO: f32 = 0.0;
const ONE: f32 = 1.0;
const LN2: f32 = 0.6931471805599453;
// A score out of its query's span: below the lse of a query that sees nothing too, whatever the scale.
const OUTSIDE: f32 = -1e37;

const WHOLE: u32 = 1u; // PARTS of a tile whose rows are not divided
const OWNED: u32 = 0u; // SIDE of spans: the rows owned, or those that stream
const STREAMED: u32 = 1u;

// Whether an invocation's queries, which own, have any pair in a tile. Narrow bands leave tiles in which whole subgroups have none: these
// skip the products: two of nine scores of a window 128 wide in tiles of 64 × 32.
// @inline
fn find_pairs(busy: ptr<function, bool>, masked: bool, run: Run, item: Item, own: u32, start: u32) {
  if (BITS == 0u && masked) {
    (*busy) = false;
    // @unroll
    for (var i = 0u; i < TM; i++) {
      let keys = keys_of(run, item.rows, own + i, start);
      (*busy) = (*busy) || (keys.x < start + BN && keys.y > start);
    }
  }
}

// Copies the rows owned, of `source`, to workgroup memory.
// @inline
fn own_rows(OWN: u32, tile: ptr<workgroup, Tile>, source: ptr<storage, array<Stored>>, H: u32, W4: u32, item: Item, base: u32, t: u32) {
  if (OWN == 1u) {
    for (var e = t; e < BM * H * 8u; e += THREADS) {
      let r = e / (H * 8u);
      let c = e % (H * 8u);
      var a = load((*source)[((base + row_of(item.rows_at, item.rows, item.tile * BM + r)) * params.heads + item.head) * W4 + c]);
      if (W4 % 8u != 0u && c >= W4) {
        a = vec4f();
      }
      let y = (r / TM) & (TY - 1u);
      (*tile)[y][(r & (TM - 1u)) * H + c / 8u][(c ^ y) & 7u] = a;
    }
  }
}

// Asks for LOADS vec4 of BN rows of `source` from place `start` of a run's order.
// @inline
fn load_each(LOADS: u32, held: ptr<function, Held>, source: ptr<storage, array<Stored>>, H: u32, W4: u32, run: Run, more: ptr<function, More>, start: u32, item: Item, base: u32, t: u32) {
  // @unroll
  for (var e = 0u; e < LOADS; e++) {
    let r = (t + e * THREADS) / (H * 8u);
    let c = (t + e * THREADS) % (H * 8u);
    if (GROUPED == 1u) {
      (*held)[e] = (*source)[((base + row_of(run.rows_at, run.rows, start + r)) * (*more)[0] + (*more)[1]) * W4 + c];
    } else {
      (*held)[e] = (*source)[((base + row_of(run.rows_at, run.rows, start + r)) * params.heads + item.head) * W4 + c];
    }
  }
}

// Puts them into workgroup memory, each tx's in PARTS groups of S rows.
// @inline
fn keep_each(LOADS: u32, held: ptr<function, Held>, tile: ptr<workgroup, Tile>, PARTS: u32, S: u32, H: u32, W4: u32, t: u32) {
  // @unroll
  for (var e = 0u; e < LOADS; e++) {
    let r = (t + e * THREADS) / (H * 8u);
    let c = (t + e * THREADS) % (H * 8u);
    var a = load((*held)[e]);
    if (W4 % 8u != 0u && c >= W4) {
      a = vec4f();
    }
    let g = (r / TN) & (TX - 1u);
    let place = (r & (TN - 1u)) * H + c / 8u;
    if (PARTS == 1u) {
      (*tile)[g][place][(c ^ g) & 7u] = a;
    } else {
      (*tile)[g * PARTS + place / S][place % S][(c ^ g) & 7u] = a;
    }
  }
}

// Asks for BN rows where they are HELD.
// @inline
fn load_rows(LOADS: u32, held: ptr<function, Held>, source: ptr<storage, array<Stored>>, H: u32, W4: u32, run: Run, more: ptr<function, More>, start: u32, item: Item, base: u32, t: u32) {
  if (HELD == 1u) {
    load_each(LOADS, &(*held), &(*source), H, W4, run, &(*more), start, item, base, t);
  }
}

// Puts them into workgroup memory.
// @inline
fn keep_rows(LOADS: u32, held: ptr<function, Held>, source: ptr<storage, array<Stored>>, tile: ptr<workgroup, Tile>, PARTS: u32, S: u32, H: u32, W4: u32, run: Run, more: ptr<function, More>, start: u32, item: Item, base: u32, t: u32) {
  if (HELD == 1u) {
    keep_each(LOADS, &(*held), &(*tile), PARTS, S, H, W4, t);
  } else {
    for (var turn = 0u; turn < LOADS; turn++) {
      let turn_t = t + turn * THREADS;
      var one: array<Stored, ALONE>;
      load_each(ALONE, &one, &(*source), H, W4, run, &(*more), start, item, base, turn_t);
      keep_each(ALONE, &one, &(*tile), PARTS, S, H, W4, turn_t);
    }
  }
}

// s += owned rows · streamed rowsᵀ
// @inline
fn add_scores(s: ptr<function, Scores>, OWN: u32, own_tile: ptr<workgroup, Tile>, source: ptr<storage, array<Stored>>, line: ptr<function, Lines>, tile: ptr<workgroup, Tile>, PARTS: u32, S: u32, H: u32, C: u32, U: u32, W4: u32, tx: u32, ty: u32) {
  for (var c0 = 0u; c0 < C; c0 += U) {
    // @unroll
    for (var c1 = 0u; c1 < U; c1++) {
      let c = c0 + c1;
      let e = (c ^ tx) & 7u;
      let f = (c ^ ty) & 7u;
      // @unroll
      for (var h = 0u; h < H; h++) {
        var b: array<vec4f, TN>;
        // @unroll
        for (var j = 0u; j < TN; j++) {
          b[j] = (*tile)[tx * PARTS + (j * H + h) / S][(j * H + h) % S][e];
        }
        // @unroll
        for (var i = 0u; i < TM; i++) {
          var a: vec4f;
          if (OWN == 1u) {
            a = (*own_tile)[ty][i * H + h][f];
          } else {
            a = load((*source)[(*line)[i] * W4 + h * 8u + c]);
          }
          // @unroll
          for (var j = 0u; j < TN; j++) {
            (*s)[i][j] = fma(a.w, b[j].w, fma(a.z, b[j].z, fma(a.y, b[j].y, fma(a.x, b[j].x, (*s)[i][j]))));
          }
        }
      }
    }
  }
}

// The scores of a workgroup, where add_products reads them.
// @inline
fn keep_scores(tile: ptr<workgroup, Tile>, s: ptr<function, Scores>, tx: u32, ty: u32) {
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var w = 0u; w < W; w++) {
      (*tile)[ty][i * W + w][(tx ^ ty) & 7u] = vec4f((*s)[i][w * 4u], (*s)[i][w * 4u + 1u], (*s)[i][w * 4u + 2u], (*s)[i][w * 4u + 3u]);
    }
  }
}

// acc += scores · streamed rows
// @inline
fn add_products(acc: ptr<function, Sums>, O: u32, scores: ptr<workgroup, Tile>, tile: ptr<workgroup, Tile>, H: u32, tx: u32, ty: u32) {
  for (var g = 0u; g < TX; g++) {
    let gg = g & (TX - 1u);
    let f = (g ^ ty) & 7u;
    // @unroll
    for (var w = 0u; w < W; w++) {
      var p: array<vec4f, TM>;
      // @unroll
      for (var i = 0u; i < TM; i++) {
        p[i] = (*scores)[ty][i * W + w][f];
      }
      // @unroll
      for (var lane = 0u; lane < 4u; lane++) {
        // @unroll
        for (var h = 0u; h < O; h++) {
          let other = (*tile)[gg][(w * 4u + lane) * H + h * TX / 8u][((h * TX % 8u + tx) ^ gg) & 7u];
          // @unroll
          for (var i = 0u; i < TM; i++) {
            (*acc)[i][h] = fma(vec4f(p[i][lane]), other, (*acc)[i][h]);
          }
        }
      }
    }
  }
}

// p = e^(s − lse) where keys own and queries stream, 0 outside of the set.
// @inline
fn probabilities(s: ptr<function, Scores>, stat: ptr<function, Statistics>, factor: f32, listed: u32, run: Run, start: u32, own: u32, tx: u32) {
  let masked = (listed & 1u) == 1u || start + BN > run.rows;
  // @unroll
  for (var j = 0u; j < TN; j++) {
    // @unroll
    for (var i = 0u; i < TM; i++) {
      (*s)[i][j] = exp2(fma((*s)[i][j], factor, -(*stat)[j].x));
    }
    if (masked) {
      let keys = keys_of(run, run.rows, start + tx * TN + j, own);
      // @unroll
      for (var i = 0u; i < TM; i++) {
        (*s)[i][j] = select(0.0, (*s)[i][j], has_key(keys, own + i));
      }
    }
  }
}

// Sums go on from what the stages before wrote. It is asked for before the tiles, all at once: one vec4 after another where results are
// written, it takes a quarter of the time of a stage with few tiles.
// @inline
fn start_rows(y: ptr<storage, array<Stored>>, acc: ptr<function, Sums>, factor: f32, O: u32, W4: u32, line: ptr<function, Lines>, tx: u32) {
  if (params.later != 0u) {
    // @unroll
    for (var i = 0u; i < TM; i++) {
      // @unroll
      for (var h = 0u; h < O; h++) {
        (*acc)[i][h] = load((*y)[(*line)[i] * W4 + min(h * TX + tx, W4 - 1u)]) / factor;
      }
    }
  }
}

// Writes sums of the rows owned, times `factor`.
// @inline
fn write_rows(y: ptr<storage, array<Stored>>, acc: ptr<function, Sums>, factor: f32, O: u32, W4: u32, line: ptr<function, Lines>, item: Item, part: u32, own: u32, tx: u32, ty: u32) {
  // @unroll
  for (var i = 0u; i < TM; i++) {
    // @unroll
    for (var h = 0u; h < O; h++) {
      if (own + i < item.rows && h * TX + tx < W4) {
        let sum = (*acc)[i][h] * factor;
        if (params.split != 0u) {
          let at = (((part * params.slots + item.slot) * BM + ty * TM + i) * W4 + h * TX + tx) * PIECES;
          // @unroll
          for (var piece_at = 0u; piece_at < PIECES; piece_at++) {
            (*y)[at + piece_at] = piece(sum, piece_at);
          }
        } else {
          (*y)[(*line)[i] * W4 + h * TX + tx] = store(sum);
        }
      }
    }
  }
}

// Masks the scores of a tile where queries own: those without a pair are `outside`.
// @inline
fn mask(s: ptr<function, Scores>, outside: f32, run: Run, item: Item, own: u32, start: u32, tx: u32) {
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let keys = keys_of(run, item.rows, own + i, start + tx * TN);
    // @unroll
    for (var j = 0u; j < TN; j++) {
      let key = start + tx * TN + j;
      (*s)[i][j] = select(outside, (*s)[i][j], has_key(keys, key));
    }
  }
}

// Asks for lse·log₂e and delta of the queries that stream, and for their spans: before the products, so that they are there after them.
// @inline
fn ask_statistics(stat: ptr<function, Statistics>, span: ptr<function, Spans>, source: ptr<storage, array<vec2f>>, lines: u32, stat_at: ptr<function, Lines>, run: Run, start: u32, tx: u32) {
  // @unroll
  for (var j = 0u; j < TN; j++) {
    if (BESIDE == 1u) {
      let line_at = ((*stat_at)[0] + row_of(run.rows_at, run.rows, start + tx * TN + j)) * (1u + SPANS);
      (*stat)[j] = (*source)[line_at];
      if (SPANS == 1u) {
        (*span)[j] = (*source)[line_at + 1u];
      }
    } else {
      (*stat)[j] = (*source)[lines + row_of(run.rows_at, run.rows, start + tx * TN + j)];
    }
  }
}

// Whether a span has any of COUNT positions from `first` on, or it was seen before.
// @inline
fn see_span(is_seen: ptr<function, bool>, one: vec2f, first: u32, COUNT: u32) {
  (*is_seen) = (*is_seen) || (one.x < f32(first + COUNT) && one.y > f32(first) && one.x < one.y);
}

// `seen`: whether slots below COUNT, each of one invocation, say that a key of a tile is seen. They lie where the tile is to come: wide heads
// leave no other workgroup memory.
// @inline
fn agree(tile: ptr<workgroup, Tile>, COUNT: u32, t: u32) {
  workgroupBarrier();
  if (slot < COUNT) {
    (*tile)[slot / 8u][0][slot % 8u] = vec4f(select(0.0, 1.0, is_seen));
  }
  workgroupBarrier();
  if (t == 0u) {
    var sum = vec4f();
    for (var e = 0u; e < COUNT; e++) {
      sum += (*tile)[e / 8u][0][e % 8u];
    }
    (*tile)[0][0][0] = sum;
  }
  seen = workgroupUniformLoad(&(*tile)[0][0][0]);
}

// Of queries that own: those of a ty are the same.
// @inline
fn see_keys(span: ptr<function, Spans>, start: u32, tx: u32, ty: u32) {
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let own_span = (*span)[i];
    see_span(&is_seen, own_span, start, BN);
  }
  slot = select(TY, ty, tx == 0u);
}

// Of queries that stream, one of them per invocation.
// @inline
fn see_queries(source: ptr<storage, array<vec2f>>, stat_at: ptr<function, Lines>, run: Run, item: Item, start: u32, t: u32) {
  let other_span = (*source)[2u * ((*stat_at)[0] + min(start + t % BN, run.rows - 1u)) + 1u];
  let first_key = item.tile * BM;
  see_span(&is_seen, other_span, first_key, BM);
}

// Takes from the scores of a tile what they lose by distance, and masks those out of their query's span.
// @inline
fn place_scores(s: ptr<function, Scores>, own_at: ptr<function, Places>, span: ptr<function, Spans>, SIDE: u32, run: Run, more: ptr<function, More>, start: u32, tx: u32) {
  if (PLACED == 1u) {
    // @unroll
    for (var j = 0u; j < TN; j++) {
      let other_at = f32(row_of(run.rows_at, run.rows, start + tx * TN + j));
      // @unroll
      for (var i = 0u; i < TM; i++) {
        if (ALIBI == 1u) {
          (*s)[i][j] = fma(-bitcast<f32>((*more)[MORE - 1u]), abs((*own_at)[i] - other_at), (*s)[i][j]);
        }
        if (SPANS == 1u) {
          if (SIDE == 1u) {
            (*s)[i][j] = select(OUTSIDE, (*s)[i][j], (*own_at)[i] >= (*span)[j].x && (*own_at)[i] < (*span)[j].y);
          } else {
            (*s)[i][j] = select(OUTSIDE, (*s)[i][j], other_at >= (*span)[i].x && other_at < (*span)[i].y);
          }
        }
      }
    }
  }
}

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
  place();
  let tx = lane_x(t);
  let ty = lane_y(t);
  // The first of this invocation's rows in the item's part.
  let own = item.tile * BM + ty * TM;
  begin();
  var line: array<u32, TM>; // of the rows owned, in heads
  var own_at: array<f32, TM * PLACED>; // their positions
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let row = row_of(item.rows_at, item.rows, own + i);
    line[i] = (base + row) * params.heads + item.head;
    if (PLACED == 1u) {
      own_at[i] = f32(row);
    }
    begin_row();
  }
  begin_tiles();
  var more: array<u32, MORE>;
  var stat_at: array<u32, BESIDE>; // of the head that streams, its first line
  for (var at = item.runs; at < item.runs_end; at += RUN) {
    let run = run_at(at);
    // @unroll
    for (var w = 0u; w < MORE; w++) {
      more[w] = blocks[at + 7u + w];
    }
    if (BESIDE == 1u) {
      stat_at[0] = lines;
      if (GROUPED == 1u) {
        stat_at[0] = other_base * more[0] + more[1] * params.n;
      }
    }
    for (var entry = run.first; entry < run.end; entry++) {
      let listed = blocks[entry]; // the tile; odd where some of its pairs are not of the set
      let start = (listed >> 1u) * BN;
      if (SPANS == 1u) {
        // Documents leave most tiles of long rows unseen.
        var is_seen = item.rows_at != IN_ORDER || run.rows_at != IN_ORDER;
        var slot = t;
        var seen = vec4f();
        see();
        if (seen.x == 0.0) {
          continue;
        }
      }
      ask();
      workgroupBarrier();
      keep();
      workgroupBarrier();
      take();
    }
  }
  end();
}
