// What all tiled attention kernels read beside their operands: the tables of src/engines/webgpu/plan/attention_tables.ts.
// @import storage_f32x4.wgsl

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
const MATRIX: u32 = 0u; // rows and columns of a subgroup matrix; 0: products are of vectors
const BITS: u32 = 0u; // 1: a set is one part, its rows in order, and each pair a bit
const GROUPED: u32 = 0u; // 1: heads of q share heads of k and v: runs name the head that streams
const ALIBI: u32 = 0u; // 1: scores lose by distance: runs have the slope
const SPANS: u32 = 0u; // 1: queries have spans of keys beside their sets; no tile is then said to be of the set as a whole
const D4: u32 = 16u; // vec4 of a head of q and k
const V4: u32 = 16u; // vec4 of a head of v and o

const MORE: u32 = 2u * GROUPED + ALIBI; // words that runs have beside: heads of the side that streams and which of them; the slope

const LOG2E: f32 = 1.4426950408889634;
// A masked score, and the running maximum before any: their difference must underflow exp2, so that a row of a tile
// without any pair of the set adds nothing.
const MASKED: f32 = -1e30;
const EMPTY: f32 = -1e29;

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

fn item_at(index: u32) -> Item {
  let at = params.items_at + index * 8u;
  return Item(blocks[at], blocks[at + 1u], blocks[at + 2u], blocks[at + 3u], blocks[at + 4u], blocks[at + 5u], blocks[at + 6u], blocks[at + 7u]);
}

// An item, the first row of its sequence in matrices of either side, and of its head in lse and delta.
// @splice
fn place() {
  let item = item_at(index);
  let base = (params.first + group.z) * params.own_n;
  let other_base = (params.first + group.z) * params.other_n;
  let lines = ((params.first + group.z) * params.heads + item.head) * params.n;
  let factor = params.scale * LOG2E;
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
