// What the tiled attention kernels share. A workgroup takes an item: BM = TY·TM rows of one side, which it owns, and lists of
// tiles of BN = TX·TN rows of the other side, which it streams through workgroup memory. Invocation (ty, tx) computes
// TM × TN scores and, of the output, TM rows × the vec4 columns tx, tx + TX, …
//
// Tiles are nested arrays whose inner indices are constants wherever the loop allows: an index clamp is then paid
// once an invocation and not once a load (31.6 against 29.3 TFLOP/s measured on the matrix product). The eight vec4 of
// an innermost array are swizzled by the row group, so that the groups of a subgroup read different banks.
// @import storage_f32x4.wgsl
// @import lanes.wgsl

struct Params {
  n: u32, // positions
  heads: u32,
  items: u32, // workgroups
  items_at: u32, // where in `blocks`
  later: u32, // 1: not the first stage of a set: what the stages before it wrote is carried on
  split: u32, // 1: results are partial sums, in f32, which attention_join.wgsl adds
  slots: u32, // partial results of a sequence, where split
  scale: f32,
}

@group(0) @binding(0) var<storage, read> blocks: array<u32>; // tables of src/webgpu/attention_tables.ts
@group(0) @binding(1) var<uniform> params: Params;

const TX: u32 = 8u;
const TY: u32 = 8u;
const TM: u32 = 8u;
const TN: u32 = 4u;
const OWN_A: u32 = 0u; // 1: the rows owned (of the first operand, of the second) are kept in workgroup memory
const OWN_B: u32 = 0u;
const SPARE: u32 = 0u; // 1: row maxima have workgroup memory of their own, which saves two barriers a tile
const TURN: u32 = 2u; // vec4 of a group of eight in one turn of the loop over them: naga counts every turn
const BITS: u32 = 0u; // 1: a set is one part, its rows in order, and each pair a bit
const D4: u32 = 16u; // vec4 of a head of q and k
const V4: u32 = 16u; // vec4 of a head of v and o
const BM: u32 = TY * TM;
const BN: u32 = TX * TN;
const THREADS: u32 = TX * TY;
const W: u32 = TN / 4u;
const HD: u32 = (D4 + 7u) / 8u; // groups of eight vec4
const HV: u32 = (V4 + 7u) / 8u;
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

const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
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
}

// Tiles of one part.
struct Run {
  first: u32,
  end: u32,
  rows_at: u32, // rows of the other side, in the part's order
  rows: u32,
  lo_at: u32, // first key of each query, whichever side it is on; where BITS, a row of bits for each query
  hi_at: u32, // the key after its last; where BITS, words of a row
}

const RUN: u32 = 6u; // words of a run

fn item_at(index: u32) -> Item {
  let at = params.items_at + index * 7u;
  return Item(blocks[at], blocks[at + 1u], blocks[at + 2u], blocks[at + 3u], blocks[at + 4u], blocks[at + 5u], blocks[at + 6u]);
}

fn run_at(at: u32) -> Run {
  return Run(blocks[at], blocks[at + 1u], blocks[at + 2u], blocks[at + 3u], blocks[at + 4u], blocks[at + 5u]);
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
