// What the tiled attention kernels by subgroup matrices share: main, as attention.wgsl has it for vectors, and what it is made of. A
// workgroup of TY subgroups takes an item. It owns BM = TY·TM rows of one side and streams tiles of BN = TX·TN rows of the other through
// workgroup memory. TM is LANES: an invocation has one row of the tile for itself, so that maxima, sums and statistics are numbers of its
// own, without a reduction.
//
// Rows owned are held as matrices in registers. Scores pass through workgroup memory, to become probabilities and f16: which elements of a
// matrix are whose is not known. There each subgroup has TM lines of BN numbers, in which halves take the place of what they are made of.
//
// A kernel brings what it does for itself, each marked `@splice`: it is pasted into main, whose names it sees.
//   begin: declares its sums and what it needs of its row, holds rows owned
//   room: declares registers for the rows of a tile
//   ask, ask_other: asks for those of the tile that begins at `asked`, which two products read, one after the other
//   keep: puts those of the first into workgroup memory
//   take: adds to its sums what the tile gives; after the first product the rows of the other take the place of its, and are asked for
//   end: writes its sums
//
// One place for both sides' rows, so that all of it is below 24 KiB for heads of 64: above that fewer workgroups share a multiprocessor.
// @late matrices
// @import attention_tables.wgsl
// @import matrices.wgsl

// @values
const TX: u32 = 1u;
const TY: u32 = 4u;
const TM: u32 = 32u;
const TN: u32 = 32u;
const LANES: u32 = 32u; // invocations of a subgroup

const BM: u32 = TY * TM;
const BN: u32 = TX * TN;
const THREADS: u32 = TY * LANES;
const M: u32 = TM / MATRIX; // matrices of a subgroup's rows, of a tile's, of a head's width
const N: u32 = BN / MATRIX;
const DN: u32 = D4 * 4u / MATRIX;
const VN: u32 = V4 * 4u / MATRIX;
const B4: u32 = BN / 4u;
const M4: u32 = MATRIX / 4u;
const DLOADS: u32 = (BN * D4 + THREADS - 1u) / THREADS; // vec4 of the rows that stream, per invocation
const VLOADS: u32 = (BN * V4 + THREADS - 1u) / THREADS;
// vec2u of a line of rows that stream, one vec4 after another, and of all; 8 f16 more than they hold, for the banks.
const DSTRIDE: u32 = D4 + 2u;
const VSTRIDE: u32 = V4 + 2u;
const DQUADS: u32 = BN * DSTRIDE;
const VQUADS: u32 = BN * VSTRIDE;
const ROW_QUADS: u32 = max(DQUADS, VQUADS);
// Numbers of a line of scores, of a subgroup's and of all; the same in halves, in vec2u.
const LINE: u32 = BN + 4u;
const PART: u32 = TM * LINE;
const NUMBERS: u32 = TY * PART;
const HLINE: u32 = LINE / 2u;
const HQUADS: u32 = NUMBERS / 2u;
const CHUNK: u32 = BN / 2u; // vec4 of rows owned that have room in a line, as halves
const CHUNK_STEPS: u32 = BN * 2u / MATRIX;
// Where they begin, in bytes.
const SCORES: u32 = 0u;
const ROWS: u32 = NUMBERS * 4u;

const ALONG: u32 = 1u;
const ACROSS: u32 = 0u;
const ONE: f32 = 1.0;
const SINGLE: u32 = 1u;
const PROBABILITIES: u32 = 1u;
const ANY: u32 = 0u;

var<workgroup> tiles: buffer<ROWS + ROW_QUADS * 8u>;
var<workgroup> scores_plain: array<f32, NUMBERS>; // where PLAIN, these for it
var<workgroup> halves_plain: array<vec2u, HQUADS>;
var<workgroup> rows_plain: array<vec2u, ROW_QUADS>;
var<workgroup> words_plain: array<u32, BM>;
var<workgroup> own_first_plain: array<vec2u, BM * D4>;
var<workgroup> own_second_plain: array<vec2u, BM * V4>;

// Rows owned are read and written side by side, a row after the other, not each by the invocation that has it: 32 lines of memory at a time
// for two. So an invocation asks another, whose row it is, for what that knows of it.
// @inline
fn ask_owner(found: ptr<function, Word>, word: u32, of_row: u32, sub: u32, lane: u32) {
  if (PLAIN == 1u) {
    workgroupBarrier();
    words_plain[sub * TM + lane] = word;
    workgroupBarrier();
    (*found) = words_plain[sub * TM + of_row];
  } else {
    (*found) = subgroupShuffle(word, of_row);
  }
}

// Holds the rows owned of `source`, WIDE matrices of them, a chunk of columns at a time through the subgroup's lines.
// @inline
fn hold_rows(held: ptr<function, Held>, own_plain: ptr<workgroup, Plain>, source: ptr<storage, array<Stored>>, WIDE: u32, W4: u32, line: u32, sub: u32, lane: u32) {
  if (PLAIN == 1u) {
    // @unroll
    for (var c = 0u; c < W4; c++) {
      (*own_plain)[(sub * TM + lane) * W4 + c] = (*source)[line * W4 + c];
    }
  } else {
    // @unroll
    for (var step = 0u; step < WIDE; step++) {
      if (step % CHUNK_STEPS == 0u) {
        workgroupBarrier();
        // @unroll
        for (var c = 0u; c < CHUNK; c++) {
          let of_row = (c * LANES + lane) / CHUNK;
          let column = (c * LANES + lane) % CHUNK;
          var line_there: u32;
          ask_owner(&line_there, line, of_row, sub, lane);
          (*bufferView<array<vec2u, HQUADS>>(&tiles, SCORES))[(sub * TM + of_row) * HLINE + column] = (*source)[line_there * W4 + min(step * M4 + column, W4 - 1u)];
        }
        workgroupBarrier();
      }
      // @unroll
      for (var i = 0u; i < M; i++) {
        (*held)[i][step] = subgroupMatrixLoad<LeftMatrix, row_major>(bufferView<array<f16, HQUADS * 4u>>(&tiles, SCORES), (sub * TM + i * MATRIX) * (HLINE * 4u) + step % CHUNK_STEPS * MATRIX, HLINE * 4u);
      }
    }
  }
}

// s = rows owned, as they are held · rows that stream, of WIDE matrices both.
// @inline
fn score(s: ptr<function, Sums>, held: ptr<function, Held>, own_plain: ptr<workgroup, Plain>, WIDE: u32, W4: u32, QUADS: u32, STRIDE: u32, sub: u32, lane: u32) {
  if (PLAIN == 1u) {
    let own_at = sub * (TM * W4 * 4u);
    let other_at = 0u;
    add_matrices(&(*s), M, N, WIDE, &tiles, SCORES, &(*own_plain), QUADS, W4, ALONG, own_at, ROWS, &rows_plain, QUADS, STRIDE, ALONG, other_at, lane);
  } else {
    // @unroll
    for (var step = 0u; step < WIDE; step++) {
      var streams: array<RightMatrix, N>;
      // @unroll
      for (var j = 0u; j < N; j++) {
        streams[j] = subgroupMatrixLoad<RightMatrix, col_major>(bufferView<array<f16, QUADS * 4u>>(&tiles, ROWS), j * (MATRIX * STRIDE * 4u) + step * MATRIX, STRIDE * 4u);
      }
      // @unroll
      for (var i = 0u; i < M; i++) {
        // @unroll
        for (var j = 0u; j < N; j++) {
          (*s)[i][j] = subgroupMatrixMultiplyAccumulate((*held)[i][step], streams[j], (*s)[i][j]);
        }
      }
    }
  }
}

// Puts the scores of a subgroup where its invocations read them: line `lane` is this one's.
// @inline
fn show_scores(s: ptr<function, Sums>, sub: u32, lane: u32) {
  // @unroll
  for (var i = 0u; i < M; i++) {
    // @unroll
    for (var j = 0u; j < N; j++) {
      let to = sub * PART + i * (MATRIX * LINE) + j * MATRIX;
      put_sum(&tiles, SCORES, &scores_plain, NUMBERS, LINE, to, &(*s), i, j, lane);
    }
  }
  workgroupBarrier();
}

// This invocation's line of them.
// @inline
fn take_scores(p: ptr<function, Fours>, sub: u32, lane: u32) {
  let begins_at = (sub * PART + lane * LINE) / 4u;
  take_numbers(&(*p), B4, &tiles, SCORES, &scores_plain, NUMBERS, begins_at);
}

// Puts probabilities (or what is made of them, then not BOUNDED) in their place, as halves.
// @inline
fn show_halves(p: ptr<function, Fours>, BOUNDED: u32, sub: u32, lane: u32) {
  // @unroll
  for (var c = 0u; c < B4; c++) {
    let to = (sub * TM + lane) * HLINE + c;
    var four: vec2u;
    if (BOUNDED == 1u) {
      four = pack((*p)[c]);
    } else {
      four = store((*p)[c]);
    }
    put_halves(&tiles, SCORES, &halves_plain, HQUADS, to, four);
  }
  workgroupBarrier();
}

// acc += those halves · rows that stream, WIDE matrices of them
// @inline
fn add_rows(acc: ptr<function, Sums>, WIDE: u32, QUADS: u32, STRIDE: u32, sub: u32, lane: u32) {
  let halves_at = sub * (TM * HLINE * 4u);
  let rows_at = 0u;
  add_matrices(&(*acc), M, WIDE, N, &tiles, SCORES, &halves_plain, HQUADS, HLINE, ALONG, halves_at, ROWS, &rows_plain, QUADS, STRIDE, ACROSS, rows_at, lane);
}

// Asks for BN rows of `source` from place `start` of a run's order.
// @inline
fn ask_rows(held: ptr<function, Held>, LOADS: u32, source: ptr<storage, array<Stored>>, W4: u32, run: Run, start: u32, item: Item, base: u32, t: u32) {
  // @unroll
  for (var load_at = 0u; load_at < LOADS; load_at++) {
    let e = min(t + load_at * THREADS, BN * W4 - 1u);
    (*held)[load_at] = (*source)[((base + row_of(run.rows_at, run.rows, start + e / W4)) * params.heads + item.head) * W4 + e % W4];
  }
}

// Puts them into workgroup memory.
// @inline
fn keep_rows(held: ptr<function, Held>, LOADS: u32, QUADS: u32, STRIDE: u32, W4: u32, t: u32) {
  // @unroll
  for (var load_at = 0u; load_at < LOADS; load_at++) {
    // Those past the end hold the last, and put it where it is.
    let e = min(t + load_at * THREADS, BN * W4 - 1u);
    let to = e / W4 * STRIDE + e % W4;
    let four = (*held)[load_at];
    put_halves(&tiles, ROWS, &rows_plain, QUADS, to, four);
  }
}

// Sums go on from what the stages before wrote, WIDE matrices of a row, as many at a time as the subgroup's lines hold. All of it is asked for
// first: behind a barrier each, loads would wait for each other.
// @inline
fn start_sums(acc: ptr<function, Sums>, WIDE: u32, W4: u32, y: ptr<storage, array<Stored>>, factor: f32, line: u32, sub: u32, lane: u32) {
  var rows_before: array<Stored, (WIDE + N - 1u) / N * B4>;
  // @unroll
  for (var q = 0u; q < B4; q++) {
    let of_row = (q * LANES + lane) / B4;
    var line_there: u32;
    ask_owner(&line_there, line, of_row, sub, lane);
    // @unroll
    for (var turn = 0u; turn < (WIDE + N - 1u) / N; turn++) {
      rows_before[turn * B4 + q] = (*y)[line_there * W4 + min(turn * B4 + (q * LANES + lane) % B4, W4 - 1u)];
    }
  }
  // @unroll
  for (var turn = 0u; turn < (WIDE + N - 1u) / N; turn++) {
    workgroupBarrier();
    // @unroll
    for (var q = 0u; q < B4; q++) {
      var number: array<vec4f, 1>;
      number[0] = load(rows_before[turn * B4 + q]) / factor;
      let there = (sub * PART + (q * LANES + lane) / B4 * LINE) / 4u + (q * LANES + lane) % B4;
      give_numbers(&number, SINGLE, &tiles, SCORES, &scores_plain, NUMBERS, there);
    }
    workgroupBarrier();
    get_sums(&(*acc), turn, WIDE, sub, lane);
  }
}

// The columns of matrices of sums that a turn has, as many as the subgroup's lines hold, from there.
// @inline
fn get_sums(acc: ptr<function, Sums>, TURN: u32, WIDE: u32, sub: u32, lane: u32) {
  // @unroll
  for (var i = 0u; i < M; i++) {
    // @unroll
    for (var j = TURN * N; j < min((TURN + 1u) * N, WIDE); j++) {
      let begins_at = sub * PART + i * (MATRIX * LINE) + (j - TURN * N) * MATRIX;
      get_sum(&tiles, SCORES, &scores_plain, NUMBERS, LINE, begins_at, &(*acc), i, j, lane);
    }
  }
}

// And back.
// @inline
fn put_sums(acc: ptr<function, Sums>, TURN: u32, WIDE: u32, sub: u32, lane: u32) {
  // @unroll
  for (var i = 0u; i < M; i++) {
    // @unroll
    for (var j = TURN * N; j < min((TURN + 1u) * N, WIDE); j++) {
      let at = sub * PART + i * (MATRIX * LINE) + (j - TURN * N) * MATRIX;
      put_sum(&tiles, SCORES, &scores_plain, NUMBERS, LINE, at, &(*acc), i, j, lane);
    }
  }
  workgroupBarrier();
}

// Multiplies the row of each invocation by its `factor`.
// @inline
fn scale_sums(acc: ptr<function, Sums>, WIDE: u32, factor: f32, sub: u32, lane: u32) {
  let own_line = (sub * PART + lane * LINE) / 4u;
  // @unroll
  for (var turn = 0u; turn < (WIDE + N - 1u) / N; turn++) {
    var row_sums: array<vec4f, B4>;
    put_sums(&(*acc), turn, WIDE, sub, lane);
    take_numbers(&row_sums, B4, &tiles, SCORES, &scores_plain, NUMBERS, own_line);
    // @unroll
    for (var c = 0u; c < B4; c++) {
      row_sums[c] *= factor;
    }
    give_numbers(&row_sums, B4, &tiles, SCORES, &scores_plain, NUMBERS, own_line);
    workgroupBarrier();
    get_sums(&(*acc), turn, WIDE, sub, lane);
    workgroupBarrier();
  }
}

// Writes rows owned, each times its `factor`: WIDE matrices, as partial sums where SPLIT and they are asked for.
// @inline
fn write_sums(y: ptr<storage, array<Stored>>, acc: ptr<function, Sums>, WIDE: u32, W4: u32, SPLIT: u32, factor: f32, item: Item, part: u32, own: u32, line: u32, sub: u32, lane: u32) {
  let factor_bits = bitcast<u32>(factor);
  // @unroll
  for (var turn = 0u; turn < (WIDE + N - 1u) / N; turn++) {
    workgroupBarrier();
    put_sums(&(*acc), turn, WIDE, sub, lane);
    // @unroll
    for (var q = 0u; q < B4; q++) {
      let of_row = (q * LANES + lane) / B4;
      let column = turn * B4 + (q * LANES + lane) % B4;
      var line_there: u32;
      ask_owner(&line_there, line, of_row, sub, lane);
      var factor_there: u32;
      ask_owner(&factor_there, factor_bits, of_row, sub, lane);
      var numbers: array<vec4f, 1>;
      let there = (sub * PART + of_row * LINE) / 4u + (q * LANES + lane) % B4;
      take_numbers(&numbers, SINGLE, &tiles, SCORES, &scores_plain, NUMBERS, there);
      let sum = numbers[0] * bitcast<f32>(factor_there);
      if (own - lane + of_row < item.rows && column < W4) {
        if (SPLIT == 1u) {
          if (params.split != 0u) {
            let at = (((part * params.slots + item.slot) * BM + sub * TM + of_row) * W4 + column) * PIECES;
            // @unroll
            for (var piece_at = 0u; piece_at < PIECES; piece_at++) {
              (*y)[at + piece_at] = piece(sum, piece_at);
            }
          } else {
            (*y)[line_there * W4 + column] = store(sum);
          }
        } else {
          (*y)[line_there * W4 + column] = store(sum);
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
  let sub = t / LANES;
  let lane = t % LANES;
  // This invocation's row of the item's part.
  let own = item.tile * BM + t;
  let row = row_of(item.rows_at, item.rows, own);
  let line = (base + row) * params.heads + item.head;
  begin();
  for (var at = item.runs; at < item.runs_end; at += RUN) {
    let run = run_at(at);
    var listed = blocks[run.first]; // the tile; odd where some of its pairs are not of the set
    var asked = (listed >> 1u) * BN;
    room();
    ask();
    ask_other();
    for (var entry = run.first; entry < run.end; entry++) {
      let start = asked;
      workgroupBarrier();
      keep();
      workgroupBarrier();
      // The next tile is on its way while this one is taken; the last time, once more what was there.
      let next_listed = blocks[min(entry + 1u, run.end - 1u)];
      asked = (next_listed >> 1u) * BN;
      ask();
      take();
      listed = next_listed;
    }
  }
  end();
}
