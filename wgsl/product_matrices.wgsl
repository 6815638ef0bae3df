// main of the tiled matrix products by subgroup matrices, in the place of product_vectors.wgsl, which says what a kernel brings: activations
// in f16, sums in f32. A workgroup of TX × TY subgroups owns BM × BN of the result, each subgroup TM rows × TN columns of it.
//
// Both tiles lie in workgroup memory as they come, turned by how a matrix is loaded, their lines 8 f16 longer than what they hold, so that
// the lines of a matrix lie in different banks. The next tile, or the next AHEAD, are on their way to registers while one is multiplied. Sums
// pass through workgroup memory to `finish`, MATRIX rows of a subgroup at a time.
// @late matrices
// @import extent.wgsl
// @import matrices.wgsl

// @values
const TX: u32 = 2u;
const TY: u32 = 2u;
const TM: u32 = 64u;
const TN: u32 = 64u;
const BK4: u32 = 8u; // depth of a tile, in vec4
const LANES: u32 = 32u; // invocations of a subgroup

const BK: u32 = 4u * BK4;
const BM: u32 = TY * TM;
const BN: u32 = TX * TN;
const THREADS: u32 = TX * TY * LANES;
const M: u32 = TM / MATRIX; // matrices of a subgroup
const N: u32 = TN / MATRIX;
const STEPS: u32 = BK / MATRIX;
// Lines of a tile, vec4 of a line, vec2u from one line to the next.
const LLINES: u32 = BM * LEFT_ALONG + BK * (1u - LEFT_ALONG);
const LWIDE: u32 = BK4 * LEFT_ALONG + BM / 4u * (1u - LEFT_ALONG);
const LSTRIDE: u32 = LWIDE + 2u;
const LQUADS: u32 = LLINES * LSTRIDE;
const RLINES: u32 = BN * RIGHT_ALONG + BK * (1u - RIGHT_ALONG);
const RWIDE: u32 = BK4 * RIGHT_ALONG + BN / 4u * (1u - RIGHT_ALONG);
const RSTRIDE: u32 = RWIDE + 2u;
const RQUADS: u32 = RLINES * RSTRIDE;
const LLOADS: u32 = LLINES * LWIDE / THREADS; // vec4 per invocation loads
const RLOADS: u32 = RLINES * RWIDE / THREADS;
const SSTRIDE: u32 = TN + 4u; // numbers from one line of sums to the next
const STRIP: u32 = MATRIX * SSTRIDE; // numbers of a subgroup on their way to finish
const SUMS: u32 = TX * TY * STRIP;
const SHARE: u32 = MATRIX * TN / 4u / LANES; // vec4 of them per invocation
const BEGIN: u32 = 0u;
const ONE: u32 = 1u;
const RFROM: u32 = LQUADS * 8u;

var<workgroup> tiles: buffer<max((LQUADS + RQUADS) * 8u, SUMS * 4u)>;
var<workgroup> left_plain: array<vec2u, LQUADS>;
var<workgroup> right_plain: array<vec2u, RQUADS>;
var<workgroup> sums_plain: array<f32, SUMS>;

// Asks for the tiles of both operands from place `next` of the summed index, tile `turn` of AHEAD. What is past an end is loaded from before it.
// @inline
fn ask_tiles(l: ptr<function, Held>, r: ptr<function, Rights>, whole: Extent, m0: u32, n0: u32, columns: u32, next: u32, turn: u32, t: u32) {
  // @unroll
  for (var q = 0u; q < LLOADS; q++) {
    let e = t + q * THREADS;
    if (LEFT_ALONG == 1u) {
      (*l)[turn * LLOADS + q] = left(min(m0 + e / LWIDE, whole.rows - 1u), min(next / 4u + e % LWIDE, whole.end / 4u - 1u));
    } else {
      (*l)[turn * LLOADS + q] = left(min(next + e / LWIDE, whole.end - 1u), min(m0 / 4u + e % LWIDE, whole.rows / 4u - 1u));
    }
  }
  // @unroll
  for (var q = 0u; q < RLOADS; q++) {
    let e = t + q * THREADS;
    var line: u32;
    var column: u32;
    if (RIGHT_ALONG == 1u) {
      line = min(n0 + e / RWIDE, columns - 1u);
      column = min(next / 4u + e % RWIDE, whole.end / 4u - 1u);
    } else {
      line = min(next + e / RWIDE, whole.end - 1u);
      column = min(n0 / 4u + e % RWIDE, whole.columns4 - 1u);
    }
    (*r)[turn * RLOADS + q] = right(line, column);
  }
}

// Puts four of the right operand into workgroup memory.
// @inline
fn keep_right(value: vec2u, q: u32, t: u32) {
  let e = t + q * THREADS;
  let at = e / RWIDE * RSTRIDE + e % RWIDE;
  put_halves(&tiles, RFROM, &right_plain, RQUADS, at, value);
}

// Whether a place of a tile is within the sum.
fn is_summed(ALONG: u32, line: u32, k4: u32, front: u32, end: u32) -> bool {
  return select(front + line, front + k4 * 4u, ALONG == 1u) < end;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
  let whole = extent(group.z);
  let columns = whole.columns4 * 4u;
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let own = t / LANES;
  let lane = t % LANES;
  let row0 = own / TX * TM; // of this subgroup, in the tile
  let column0 = own % TX * TN;
  var left_at: u32;
  if (LEFT_ALONG == 1u) {
    left_at = row0 * (LSTRIDE * 4u);
  } else {
    left_at = row0;
  }
  var right_at: u32;
  if (RIGHT_ALONG == 1u) {
    right_at = column0 * (RSTRIDE * 4u);
  } else {
    right_at = column0;
  }
  var acc: array<array<SumMatrix, N>, M>;
  var l: array<vec2u, AHEAD * LLOADS>;
  var r: array<Right, AHEAD * RLOADS>;
  let first = whole.first;
  // @unroll
  for (var turn = 0u; turn < AHEAD; turn++) {
    let begin = first + turn * BK;
    ask_tiles(&l, &r, whole, m0, n0, columns, begin, turn, t);
  }
  for (var round = first; round < whole.end; round += AHEAD * BK) {
    // @unroll
    for (var turn = 0u; turn < AHEAD; turn++) {
      let front = round + turn * BK;
      // @unroll
      for (var q = 0u; q < LLOADS; q++) {
        let e = t + q * THREADS;
        let at = e / LWIDE * LSTRIDE + e % LWIDE;
        let value = select(vec2u(), l[turn * LLOADS + q], is_summed(LEFT_ALONG, e / LWIDE, e % LWIDE, front, whole.end));
        put_halves(&tiles, BEGIN, &left_plain, LQUADS, at, value);
      }
      if (RIGHT_STORED == 1u) {
        // @unroll
        for (var q = 0u; q < RLOADS; q++) {
          let value = r[turn * RLOADS + q];
          keep_right(value, q, t);
        }
      } else {
        // f32 becomes f16 here, not where it is asked for: to look at it there is to wait for it, and products took three times as long. One look
        // for all: together they have no bit that a number above 65,504 needs where all are under 2, which weights are; those of int8, whole
        // numbers, are looked at one by one.
        var bits: vec4u;
        // @unroll
        for (var q = 0u; q < RLOADS; q++) {
          bits |= bitcast<vec4u>(right_value(r[turn * RLOADS + q]));
        }
        if (((bits.x | bits.y | bits.z | bits.w) & 0x7fffffffu) <= HIGHEST) {
          // @unroll
          for (var q = 0u; q < RLOADS; q++) {
            let wide = right_value(r[turn * RLOADS + q]);
            let value = pack(wide);
            keep_right(value, q, t);
          }
        } else {
          // @unroll
          for (var q = 0u; q < RLOADS; q++) {
            let wide = right_value(r[turn * RLOADS + q]);
            let value = store(wide);
            keep_right(value, q, t);
          }
        }
      }
      workgroupBarrier();
      // The last time, once more of what was there.
      let next = front + AHEAD * BK;
      ask_tiles(&l, &r, whole, m0, n0, columns, next, turn, t);
      add_matrices(&acc, M, N, STEPS, &tiles, BEGIN, &left_plain, LQUADS, LSTRIDE, LEFT_ALONG, left_at, RFROM, &right_plain, RQUADS, RSTRIDE, RIGHT_ALONG, right_at, lane);
      workgroupBarrier();
    }
  }
  let strip = own * STRIP;
  // @unroll
  for (var i = 0u; i < M; i++) {
    // @unroll
    for (var j = 0u; j < N; j++) {
      let to = strip + j * MATRIX;
      put_sum(&tiles, BEGIN, &sums_plain, SUMS, SSTRIDE, to, &acc, i, j, lane);
    }
    workgroupBarrier();
    for (var q = 0u; q < SHARE; q++) {
      let e = lane + q * LANES;
      let row = m0 + row0 + i * MATRIX + e / (TN / 4u);
      let column = (n0 + column0) / 4u + e % (TN / 4u);
      let at = (strip + e / (TN / 4u) * SSTRIDE) / 4u + e % (TN / 4u);
      var sum: array<vec4f, 1>;
      take_numbers(&sum, ONE, &tiles, BEGIN, &sums_plain, SUMS, at);
      if (row < whole.rows && column < whole.columns4) {
        finish(group.z, row, column, sum[0]);
      }
    }
    workgroupBarrier();
  }
}
