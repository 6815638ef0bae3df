// What the tiled matrix products share: main, for result = left · right, each summed over first ≤ k < end, by products of vectors.
// product_matrices.wgsl stands in for it where MATRIX is not 0. A workgroup owns BM × BN of the result, an invocation TM rows × TN columns
// of it in registers.
//
// Both tiles lie in workgroup memory by the summed index, as vec4 of four neighbouring rows (of left) or columns (of right), so that the
// products are outer: 4·G scalars of left times H vec4 of right. An operand that is contiguous along the summed index (LEFT_ALONG,
// RIGHT_ALONG) is turned on its way there: an invocation loads blocks of 4 × 4 and stores their columns.
//
// The file that imports this says what its operands are:
//   const LEFT_ALONG, RIGHT_ALONG: u32
//   const RIGHT_STORED: u32, 1: right lies in memory as activations do
//   const HALF: u32, 1: of a symmetric result the workgroups above its diagonal do nothing
//   fn extent(part: u32) -> Extent, of the workgroups with that z
//   fn left(line, column) and right(line, column) -> vec4f: where ALONG, row (column of the result) `line` and the vec4 `column` of
//     the summed index; otherwise place `line` of the summed index and the vec4 `column` of the result's rows (columns)
//   fn finish(part, row, column, value): takes the vec4 `column` of a row of the result
// @import extent.wgsl
// @import lanes.wgsl

// @values
const TX: u32 = 8u;
const TY: u32 = 16u;
const TM: u32 = 4u;
const TN: u32 = 8u;
const BK4: u32 = 4u; // depth of a tile, in vec4

const BK: u32 = 4u * BK4;
const G: u32 = TM / 4u;
const H: u32 = TN / 4u;
const BM4: u32 = TY * G;
const BN4: u32 = TX * H;
const THREADS: u32 = TX * TY;
const LEFTS: u32 = BM4 * BK4; // blocks of 4 × 4
const RIGHTS: u32 = BN4 * BK4;
// Where there are fewer blocks than invocations several load the same one, which needs no branches.
const LLOADS: u32 = max(LEFTS * 4u / THREADS, 4u * LEFT_ALONG); // vec4 per invocation loads
const RLOADS: u32 = max(RIGHTS * 4u / THREADS, 4u * RIGHT_ALONG);
// The columns of turned blocks of neighbouring k4 would lie in the same banks: each pair of groups changes places by k4.
const LSWAP: u32 = 2u * LEFT_ALONG;
const RSWAP: u32 = 2u * RIGHT_ALONG;

// Four rows of the result from 4·(g·TY + ty), four columns from 4·(h·TX + tx).
var<workgroup> ls: array<array<array<vec4f, TY>, G>, BK>;
var<workgroup> rs: array<array<array<vec4f, TX>, H>, BK>;

const MASKED: u32 = 1u; // what is past the end of the sum is 0: one operand is enough
const PLAIN: u32 = 0u;

// Asks for a tile of an operand: `lines` rows or columns of the result, from the group of four `origin`. What is past an end is loaded
// from before it.
// @inline
fn load_tile(read: Function, held: ptr<function, Held>, LOADS: u32, ALONG: u32, BLOCKS: u32, GROUPS: u32, origin: u32, lines: u32, next: u32, whole: Extent, t: u32) {
  if (ALONG == 1u) {
    // @unroll
    for (var q = 0u; q < LOADS; q++) {
      let e = (t + q / 4u * THREADS) & (BLOCKS - 1u);
      (*held)[q] = read(min((origin + e / BK4) * 4u + q % 4u, lines - 1u), min(next / 4u + (e & (BK4 - 1u)), whole.end / 4u - 1u));
    }
  } else {
    // @unroll
    for (var q = 0u; q < LOADS; q++) {
      let e = t + q * THREADS;
      (*held)[q] = read(min(next + e / GROUPS, whole.end - 1u), min(origin + (e & (GROUPS - 1u)), lines / 4u - 1u));
    }
  }
}

// Puts it into workgroup memory, turned where it came ALONG.
// @inline
fn keep_tile(value: Function, held: ptr<function, Held>, LOADS: u32, ALONG: u32, MASK: u32, BLOCKS: u32, GROUPS: u32, tile: ptr<workgroup, Tile>, T: u32, SWAP: u32, front: u32, whole: Extent, t: u32) {
  if (ALONG == 1u) {
    // @unroll
    for (var q = 0u; q < LOADS / 4u; q++) {
      let e = (t + q * THREADS) & (BLOCKS - 1u);
      let g = e / BK4;
      let k4 = e & (BK4 - 1u);
      var turned: array<vec4f, 4>;
      // @unroll
      for (var c = 0u; c < 4u; c++) {
        if (MASK == 1u) {
          turned[c] = select(vec4f(), value((*held)[q * 4u + c]), front + k4 * 4u < whole.end);
        } else {
          turned[c] = value((*held)[q * 4u + c]);
        }
      }
      // @unroll
      for (var c = 0u; c < 4u; c++) {
        (*tile)[k4 * 4u + c][g / T][(g ^ (k4 * SWAP)) & (T - 1u)] = vec4f(turned[0][c], turned[1][c], turned[2][c], turned[3][c]);
      }
    }
  } else {
    // @unroll
    for (var q = 0u; q < LOADS; q++) {
      let e = t + q * THREADS;
      if (MASK == 1u) {
        (*tile)[e / GROUPS][(e & (GROUPS - 1u)) / T][e & (T - 1u)] = select(vec4f(), value((*held)[q]), front + e / GROUPS < whole.end);
      } else {
        (*tile)[e / GROUPS][(e & (GROUPS - 1u)) / T][e & (T - 1u)] = value((*held)[q]);
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = lane_x(t);
  let ty = lane_y(t);
  let whole = extent(group.z);
  let m0 = group.y * BM4;
  let n0 = group.x * BN4;
  if (HALF == 1u) {
    if (n0 >= m0 + BM4) {
      return;
    }
  }
  let columns = whole.columns4 * 4u;
  var acc: array<array<vec4f, H>, TM>;
  var l: array<Left, LLOADS>;
  var r: array<Right, RLOADS>;
  let steps = (whole.end - whole.first + BK - 1u) / BK;
  for (var step = 0u; step <= steps; step++) {
    let next = whole.first + step * BK;
    if (step > 0u) {
      let front = next - BK;
      keep_tile(left_value, &l, LLOADS, LEFT_ALONG, MASKED, LEFTS, BM4, &ls, TY, LSWAP, front, whole, t);
      keep_tile(right_value, &r, RLOADS, RIGHT_ALONG, PLAIN, RIGHTS, BN4, &rs, TX, RSWAP, front, whole, t);
    }
    workgroupBarrier();
    // The next tile is on its way to registers while this one is multiplied: so nothing here may use what is loaded, and what is
    // past the end is loaded from before it and made 0 when it is stored.
    load_tile(left, &l, LLOADS, LEFT_ALONG, LEFTS, BM4, m0, whole.rows, next, whole, t);
    load_tile(right, &r, RLOADS, RIGHT_ALONG, RIGHTS, BN4, n0, columns, next, whole, t);
    if (step > 0u) {
      // @unroll
      for (var k = 0u; k < BK; k++) {
        var a: array<vec4f, G>;
        // @unroll
        for (var g = 0u; g < G; g++) {
          a[g] = ls[k][g][(ty ^ (k / 4u * LSWAP)) & (TY - 1u)];
        }
        // @unroll
        for (var h = 0u; h < H; h++) {
          let b = rs[k][h][(tx ^ (k / 4u * RSWAP)) & (TX - 1u)];
          // @unroll
          for (var i = 0u; i < TM; i++) {
            acc[i][h] = fma(vec4f(a[i / 4u][i % 4u]), b, acc[i][h]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  // @unroll
  for (var i = 0u; i < TM; i++) {
    let row = (m0 + i / 4u * TY + ty) * 4u + i % 4u;
    // @unroll
    for (var h = 0u; h < H; h++) {
      let column = n0 + h * TX + tx;
      if (row < whole.rows && column < whole.columns4) {
        finish(group.z, row, column, acc[i][h]);
      }
    }
  }
}
