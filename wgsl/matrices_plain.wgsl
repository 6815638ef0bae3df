// Stands in for matrices_subgroup.wgsl on any device: the same kernels, slowly, for tests and for reading. LANES neighbouring invocations
// hold a matrix of sums, each so many elements in a row of it; what is multiplied is read where it lies.
// @late matrices

const PLAIN: u32 = 1u;

alias LeftMatrix = u32; // never used
alias SumMatrix = array<f32, MATRIX * MATRIX / LANES>;
