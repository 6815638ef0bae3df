// How a matrix of weights lies in memory, one element at a time: see weights_f32x4.wgsl.

alias Weight = f32;
const INT8: u32 = 0u;
