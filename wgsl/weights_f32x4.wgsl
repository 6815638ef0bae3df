// How a matrix of weights lies in memory: as vec4 of f32. The value WEIGHTS takes weights_i8.wgsl in its place; what only that has, kernels
// use where INT8 is 1.

alias Weight = vec4f;
const INT8: u32 = 0u;
