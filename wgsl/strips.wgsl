// Sums over the rows of strips: 32 Values × 8 row lanes per workgroup.
// @late

struct Params {
  rows: u32,
  width: u32, // in Values
  strip: u32, // rows per strip
}

// A thread's lane, its first row in the strip, its column of Values, and where the strip's rows end.
// @splice
fn place() {
  let lane = t & 31u;
  let line = (t >> 5u) & 7u;
  let column = group.x * 32u + lane;
  let end = min((group.y + 1u) * params.strip, params.rows);
}
