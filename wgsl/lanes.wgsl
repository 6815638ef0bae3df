// How the invocations of a workgroup lie over TX columns and TY rows of its result. Hardware that loads 16 bytes per invocation
// serves half a subgroup at a time and joins equal addresses of neighbours: with LANES, neighbours share a column and
// those two apart a row, so that the loads of both operands are joined.

// @values
const LANES: u32 = 1u;

fn lane_x(t: u32) -> u32 {
  if (LANES == 0u) {
    return t & (TX - 1u);
  } else {
    return ((t >> 1u) & (min(TX, 8u) - 1u)) | (((t >> 5u) & (max(TX / 8u, 1u) - 1u)) * 8u);
  }
}

fn lane_y(t: u32) -> u32 {
  if (LANES == 0u) {
    return (t / TX) & (TY - 1u);
  } else {
    let pair = min(2u * TX, 16u); // invocations of two rows of a subgroup
    return ((t & 1u) | (((t / pair) & 1u) * 2u) | ((t / max(4u * TX, 2u * pair)) * 4u)) & (TY - 1u);
  }
}
