// What kernels share in which queries own and keys stream: o and dq.
// @import attention.wgsl

// The rows of k and v that a thread loads of the next tile.
// @splice
fn ask() {
  var pk: array<Stored, DLOADS>;
  var pv: array<Stored, VLOADS>;
  load_rows(DLOADS, &pk, &k, HD, D4, run, &more, start, item, other_base, t);
  load_rows(VLOADS, &pv, &v, HV, V4, run, &more, start, item, other_base, t);
}
