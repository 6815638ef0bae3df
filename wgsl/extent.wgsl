// What a workgroup of a tiled matrix product covers.

struct Extent {
  rows: u32,
  columns4: u32, // of the result, in vec4
  first: u32, // of the summed index
  end: u32,
}

// @values
const MATRIX: u32 = 0u; // rows and columns of a subgroup matrix; 0: products are of vectors
const AHEAD: u32 = 1u; // tiles on their way to registers while one is multiplied by matrices
