// What the tiled attention kernels share. A workgroup owns BM = TY·TM rows of one side, held by reference, and streams
// tiles of BN = TX·TN rows of the other side, listed by src/layout.ts, through workgroup memory. Invocation (ty, tx)
// computes TM × TN scores and, of the output, TM rows × the vec4 columns tx, tx + TX, …
//
// Tiles are nested arrays whose inner indices are constants wherever the loop allows: an index clamp is then paid
// once an invocation and not once a load (31.6 against 29.3 TFLOP/s measured on the matrix product). The eight vec4 of
// an innermost array are swizzled by the row group, so that the TX groups read different banks.
// @import storage_f32x4.wgsl

struct Params {
  n: u32, // positions
  heads: u32,
  group_heads: u32, // heads that share this layout
  heads_at: u32, // where in `blocks`: the heads; rows of queries and keys in the part's order; intervals; tile list
  queries_at: u32,
  keys_at: u32,
  lo_at: u32,
  hi_at: u32,
  starts_at: u32,
  list_at: u32,
  queries: u32,
  keys: u32,
  tiles: u32, // owner tiles
  scale: f32,
}

@group(0) @binding(0) var<storage, read> blocks: array<u32>; // a layout: src/webgpu/attention.ts lays it out
@group(0) @binding(1) var<uniform> params: Params;

// Queries or keys are not in the order of rows.
override QUERY_ROWS: bool = false;
override KEY_ROWS: bool = false;
// Not the first part of a set: what the parts before it wrote is carried on.
override CONTINUE: bool = false;

const TX: u32 = 8u;
const TY: u32 = 8u;
const TM: u32 = 8u;
const TN: u32 = 4u;
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
const UD: u32 = 2u - CD % 2u; // vec4 of a group in one turn of the loop over them: naga counts every turn
const UV: u32 = 2u - CV % 2u;
const OD: u32 = (D4 + TX - 1u) / TX; // vec4 of an output row an invocation owns
const OV: u32 = (V4 + TX - 1u) / TX;
const DLOADS: u32 = BN * HD * 8u / THREADS;
const VLOADS: u32 = BN * HV * 8u / THREADS;

const LOG2E: f32 = 1.4426950408889634;
const LN2: f32 = 0.6931471805599453;
// A masked score, and the running maximum before any: their difference must underflow exp2, so that a row of a tile
// without any pair of the set adds nothing.
const MASKED: f32 = -1e30;
const EMPTY: f32 = -1e29;

fn query_row(u: u32) -> u32 {
  if (QUERY_ROWS) {
    return blocks[params.queries_at + min(u, params.queries - 1u)];
  }
  return min(u, params.queries - 1u);
}

fn key_row(u: u32) -> u32 {
  if (KEY_ROWS) {
    return blocks[params.keys_at + min(u, params.keys - 1u)];
  }
  return min(u, params.keys - 1u);
}
