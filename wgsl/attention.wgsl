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
// @import storage_f32x4.wgsl
// @import lanes.wgsl

struct Params {
  n: u32, // positions of the queries
  own_n: u32, // of the side that owns, and of the other: m of the keys
  other_n: u32,
  heads: u32,
  items: u32, // workgroups
  items_at: u32, // where in `blocks`
  later: u32, // 1: not the first stage of a set: what the stages before it wrote is carried on
  split: u32, // 1: results are partial sums, in f32, which attention_join.wgsl adds
  slots: u32, // partial results of a sequence, where split
  first: u32, // sequence of the first workgroups
  pairs: u32, // pairs of tiles of a sequence, where KEEP
  kept_at: u32, // where ds is kept
  scale: f32,
}

@group(0) @binding(0) var<storage, read> blocks: array<u32>; // tables of src/engines/webgpu/plan/attention_tables.ts
@group(0) @binding(1) var<uniform> params: Params;

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
const BITS: u32 = 0u; // 1: a set is one part, its rows in order, and each pair a bit
const GROUPED: u32 = 0u; // 1: heads of q share heads of k and v: runs name the head that streams
const ALIBI: u32 = 0u; // 1: scores lose by distance: runs have the slope
const SPANS: u32 = 0u; // 1: queries have spans of keys beside their sets; no tile is then said to be of the set as a whole
const D4: u32 = 16u; // vec4 of a head of q and k
const V4: u32 = 16u; // vec4 of a head of v and o

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
const GROUPS: u32 = max(TX, TY);
// The scores take the place of a streamed operand: TM·W rows of each ty where TN·HD (or HV) rows of each tx were. Where TY is larger,
// the rows of one tx lie in SPLIT of the groups, so that neither leaves room unused (48 and not 80 KiB at 8 × 16, 4 × 8).
const SPLIT: u32 = max(TY / TX, 1u);
const SD: u32 = (TN * HD + SPLIT - 1u) / SPLIT;
const SV: u32 = (TN * HV + SPLIT - 1u) / SPLIT;

const PLACED: u32 = max(ALIBI, SPANS); // 1: positions count
const BESIDE: u32 = max(GROUPED, SPANS);
const MORE: u32 = 2u * GROUPED + ALIBI; // words that runs have beside: heads of the side that streams and which of them; the slope

const ZERO: f32 = 0.0;
const ONE: f32 = 1.0;
const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
// A masked score, and the running maximum before any: their difference must underflow exp2, so that a row of a tile
// without any pair of the set adds nothing.
const MASKED: f32 = -1e30;
const EMPTY: f32 = -1e29;
// A score out of its query's span: below the lse of a query that sees nothing too, whatever the scale.
const OUTSIDE: f32 = -1e37;

// Where a table of rows would be, and there is none: rows are in order.
const IN_ORDER: u32 = 0xffffffffu;

struct Item {
  head: u32,
  tile: u32, // of the rows owned
  runs: u32, // first run in `blocks`, and the end of the last
  runs_end: u32,
  rows_at: u32, // rows of this side, in the part's order
  rows: u32,
  slot: u32, // of the partial result, where split
  pairs: u32, // place of the head's first pair of tiles, where KEEP
}

// Tiles of one part.
struct Run {
  first: u32,
  end: u32,
  rows_at: u32, // rows of the other side, in the part's order
  rows: u32,
  lo_at: u32, // first key of each query, whichever side it is on; where BITS, a row of bits for each query
  hi_at: u32, // the key after its last; where BITS, words of a row
  pairs_at: u32, // places of pairs of tiles: an entry's own where keys own, in `blocks` where queries do
}

const RUN: u32 = 7u + MORE; // words of a run
const WHOLE: u32 = 1u; // PARTS of a tile whose rows are not divided
const OWNED: u32 = 0u; // SIDE of spans: the rows owned, or those that stream
const STREAMED: u32 = 1u;

fn item_at(index: u32) -> Item {
  let at = params.items_at + index * 8u;
  return Item(blocks[at], blocks[at + 1u], blocks[at + 2u], blocks[at + 3u], blocks[at + 4u], blocks[at + 5u], blocks[at + 6u], blocks[at + 7u]);
}

fn run_at(at: u32) -> Run {
  return Run(blocks[at], blocks[at + 1u], blocks[at + 2u], blocks[at + 3u], blocks[at + 4u], blocks[at + 5u], blocks[at + 6u]);
}

// The row of place u of a part's order; places past the end stand for the last.
fn row_of(rows_at: u32, rows: u32, u: u32) -> u32 {
  let place = min(u, rows - 1u);
  if (rows_at == IN_ORDER) {
    return place;
  }
  return blocks[rows_at + place];
}

// What tells whether query u has the keys from the one given to the end of its word of 32: their bits, or an interval. A query past
// the end has none.
fn keys_of(run: Run, queries: u32, u: u32, key: u32) -> vec2u {
  let place = min(u, queries - 1u);
  var keys: vec2u;
  if (BITS == 1u) {
    keys.x = blocks[run.lo_at + place * run.hi_at + key / 32u];
  } else {
    keys = vec2u(blocks[run.lo_at + place], blocks[run.hi_at + place]);
  }
  return select(vec2u(), keys, u < queries);
}

fn has_key(keys: vec2u, key: u32) -> bool {
  var has: bool;
  if (BITS == 1u) {
    has = ((keys.x >> (key & 31u)) & 1u) == 1u;
  } else {
    has = key >= keys.x && key < keys.y;
  }
  return has;
}

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

// Asks for BN rows of `source` from place `start` of a run's order.
// @inline
fn load_rows(LOADS: u32, held: ptr<function, Held>, source: ptr<storage, array<Stored>>, H: u32, W4: u32, run: Run, more: ptr<function, More>, start: u32, item: Item, base: u32, t: u32) {
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
fn keep_rows(LOADS: u32, held: ptr<function, Held>, tile: ptr<workgroup, Tile>, PARTS: u32, S: u32, H: u32, W4: u32, t: u32) {
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
  let item = item_at(index);
  let tx = lane_x(t);
  let ty = lane_y(t);
  // First row of the sequence in matrices, and of its head in lse and delta; the first of this invocation's rows in the item's part.
  let base = (params.first + group.z) * params.own_n;
  let other_base = (params.first + group.z) * params.other_n;
  let lines = ((params.first + group.z) * params.heads + item.head) * params.n;
  let own = item.tile * BM + ty * TM;
  let factor = params.scale * LOG2E;
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
