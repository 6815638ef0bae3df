// Subgroup matrices as Dawn and Chrome have them, by the experimental extension whose names are here and in matrices.wgsl alone. A draft of
// WGSL has the same under other names.
// @late matrices
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
requires buffer_view;
diagnostic(off, chromium.subgroup_matrix_uniformity); // a subgroup's part of the work depends on its number alone

const PLAIN: u32 = 0u;

alias LeftMatrix = subgroup_matrix_left<f16, MATRIX, MATRIX>;
alias RightMatrix = subgroup_matrix_right<f16, MATRIX, MATRIX>;
alias SumMatrix = subgroup_matrix_result<f32, MATRIX, MATRIX>;
