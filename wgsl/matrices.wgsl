// What kernels do with subgroup matrices: products of f16 in workgroup memory, summed in f32. A subgroup of LANES invocations has a matrix
// together, MATRIX rows and columns; which elements are whose is not known, so what is done to single elements goes through workgroup memory.
//
// A tile of f16 lies there in lines of STRIDE vec2u, four f16 each, written as such and read as matrices: WGSL's buffer_view. Writing f16 one
// by one took half as long again as a whole product. Its lines are rows (columns, of a right operand) where ALONG, then the summed index
// goes along them; else the summed index goes across. All tiles of a kernel lie in one buffer, each FROM a byte, where sums take their place
// later: how many workgroups share a multiprocessor hangs on its size, and above 24 KiB products took 1.8 times as long.
// Where PLAIN each tile is an array of its own.
// @late matrices
// @import matrices_subgroup.wgsl

const PER: u32 = MATRIX * MATRIX / LANES; // elements of a matrix per invocation, side by side where PLAIN

// Writes four f16.
// @inline
fn put_halves(tiles: ptr<workgroup, Tiles>, FROM: u32, plain: ptr<workgroup, Plain>, QUADS: u32, at: u32, value: vec2u) {
  if (PLAIN == 1u) {
    (*plain)[at] = value;
  } else {
    (*bufferView<array<vec2u, QUADS>>(&(*tiles), FROM))[at] = value;
  }
}

// acc[i][j] += rows i of left · columns j of right, M by N matrices, over STEPS matrices of the summed index. `left_at`, `right_at`: the
// element, in f16, at which each begins.
// @inline
fn add_matrices(acc: ptr<function, Sums>, M: u32, N: u32, STEPS: u32, tiles: ptr<workgroup, Tiles>, LEFT_FROM: u32, left_plain: ptr<workgroup, Plain>, LEFT_QUADS: u32, LEFT_STRIDE: u32, ALONG_L: u32, left_at: u32, RIGHT_FROM: u32, right_plain: ptr<workgroup, Plain>, RIGHT_QUADS: u32, RIGHT_STRIDE: u32, ALONG_R: u32, right_at: u32, lane: u32) {
  if (PLAIN == 1u) {
    // @unroll
    for (var i = 0u; i < M; i++) {
      // @unroll
      for (var j = 0u; j < N; j++) {
        for (var e = 0u; e < PER; e++) {
          let row = i * MATRIX + (lane * PER + e) / MATRIX;
          let column = j * MATRIX + (lane * PER + e) % MATRIX;
          for (var k = 0u; k < STEPS * MATRIX; k++) {
            var of_left: u32;
            if (ALONG_L == 1u) {
              of_left = left_at + row * (LEFT_STRIDE * 4u) + k;
            } else {
              of_left = left_at + k * (LEFT_STRIDE * 4u) + row;
            }
            var of_right: u32;
            if (ALONG_R == 1u) {
              of_right = right_at + column * (RIGHT_STRIDE * 4u) + k;
            } else {
              of_right = right_at + k * (RIGHT_STRIDE * 4u) + column;
            }
            let factor_l = unpack2x16float((*left_plain)[of_left / 4u][(of_left / 2u) & 1u])[of_left & 1u];
            let factor_r = unpack2x16float((*right_plain)[of_right / 4u][(of_right / 2u) & 1u])[of_right & 1u];
            (*acc)[i][j][e] += factor_l * factor_r;
          }
        }
      }
    }
  } else {
    // @unroll
    for (var k = 0u; k < STEPS; k++) {
      var a: array<LeftMatrix, M>;
      // @unroll
      for (var i = 0u; i < M; i++) {
        if (ALONG_L == 1u) {
          a[i] = subgroupMatrixLoad<LeftMatrix, row_major>(bufferView<array<f16, LEFT_QUADS * 4u>>(&(*tiles), LEFT_FROM), left_at + i * (MATRIX * LEFT_STRIDE * 4u) + k * MATRIX, LEFT_STRIDE * 4u);
        } else {
          a[i] = subgroupMatrixLoad<LeftMatrix, col_major>(bufferView<array<f16, LEFT_QUADS * 4u>>(&(*tiles), LEFT_FROM), left_at + k * (MATRIX * LEFT_STRIDE * 4u) + i * MATRIX, LEFT_STRIDE * 4u);
        }
      }
      // All of them before the first product: one after another, each waits for its own.
      var b: array<RightMatrix, N>;
      // @unroll
      for (var j = 0u; j < N; j++) {
        if (ALONG_R == 1u) {
          b[j] = subgroupMatrixLoad<RightMatrix, col_major>(bufferView<array<f16, RIGHT_QUADS * 4u>>(&(*tiles), RIGHT_FROM), right_at + j * (MATRIX * RIGHT_STRIDE * 4u) + k * MATRIX, RIGHT_STRIDE * 4u);
        } else {
          b[j] = subgroupMatrixLoad<RightMatrix, row_major>(bufferView<array<f16, RIGHT_QUADS * 4u>>(&(*tiles), RIGHT_FROM), right_at + k * (MATRIX * RIGHT_STRIDE * 4u) + j * MATRIX, RIGHT_STRIDE * 4u);
        }
      }
      // @unroll
      for (var i = 0u; i < M; i++) {
        // @unroll
        for (var j = 0u; j < N; j++) {
          (*acc)[i][j] = subgroupMatrixMultiplyAccumulate(a[i], b[j], (*acc)[i][j]);
        }
      }
    }
  }
}

// A matrix of sums to workgroup memory, in lines of STRIDE numbers from `first` on.
// @inline
fn put_sum(tiles: ptr<workgroup, Tiles>, FROM: u32, plain: ptr<workgroup, Numbers>, NUMBERS: u32, STRIDE: u32, first: u32, acc: ptr<function, Sums>, i: u32, j: u32, lane: u32) {
  if (PLAIN == 1u) {
    for (var e = 0u; e < PER; e++) {
      (*plain)[first + (lane * PER + e) / MATRIX * STRIDE + (lane * PER + e) % MATRIX] = (*acc)[i][j][e];
    }
  } else {
    subgroupMatrixStore<row_major>(bufferView<array<f32, NUMBERS>>(&(*tiles), FROM), first, (*acc)[i][j], STRIDE);
  }
}

// And back.
// @inline
fn get_sum(tiles: ptr<workgroup, Tiles>, FROM: u32, plain: ptr<workgroup, Numbers>, NUMBERS: u32, STRIDE: u32, first: u32, acc: ptr<function, Sums>, i: u32, j: u32, lane: u32) {
  if (PLAIN == 1u) {
    for (var e = 0u; e < PER; e++) {
      (*acc)[i][j][e] = (*plain)[first + (lane * PER + e) / MATRIX * STRIDE + (lane * PER + e) % MATRIX];
    }
  } else {
    (*acc)[i][j] = subgroupMatrixLoad<SumMatrix, row_major>(bufferView<array<f32, NUMBERS>>(&(*tiles), FROM), first, STRIDE);
  }
}

// COUNT vec4 of numbers side by side; `first`: in vec4.
// @inline
fn take_numbers(fours: ptr<function, Fours>, COUNT: u32, tiles: ptr<workgroup, Tiles>, FROM: u32, plain: ptr<workgroup, Numbers>, NUMBERS: u32, first: u32) {
  // @unroll
  for (var c = 0u; c < COUNT; c++) {
    if (PLAIN == 1u) {
      let place = (first + c) * 4u;
      (*fours)[c] = vec4f((*plain)[place], (*plain)[place + 1u], (*plain)[place + 2u], (*plain)[place + 3u]);
    } else {
      (*fours)[c] = (*bufferView<array<vec4f, NUMBERS / 4u>>(&(*tiles), FROM))[first + c];
    }
  }
}

// And back.
// @inline
fn give_numbers(fours: ptr<function, Fours>, COUNT: u32, tiles: ptr<workgroup, Tiles>, FROM: u32, plain: ptr<workgroup, Numbers>, NUMBERS: u32, first: u32) {
  // @unroll
  for (var c = 0u; c < COUNT; c++) {
    if (PLAIN == 1u) {
      // @unroll
      for (var z = 0u; z < 4u; z++) {
        (*plain)[(first + c) * 4u + z] = (*fours)[c][z];
      }
    } else {
      (*bufferView<array<vec4f, NUMBERS / 4u>>(&(*tiles), FROM))[first + c] = (*fours)[c];
    }
  }
}
