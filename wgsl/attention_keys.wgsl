// What kernels share in which keys own and queries stream: dk, dv and both.
// @late
// @import attention.wgsl

// The rows of q and dO that a thread loads of the next tile.
// @splice
fn ask() {
  var pq: array<Stored, DLOADS>;
  var po: array<Stored, VLOADS>;
  load_rows(DLOADS, &pq, &q, HD, D4, run, &more, start, item, other_base, t);
  load_rows(VLOADS, &po, &d_o, HV, V4, run, &more, start, item, other_base, t);
}
