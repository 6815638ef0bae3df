// The skeleton of kernels that go by rows, and sums and maxima over a row. 32 lanes have a row, a workgroup 8: this one has row `row` in
// line `line`, from `at` on of what lies by rows, in columns lane, lane + LANES, … below `width`, which is 0 where there is no such row. The
// kernel brings what happens to it, marked `@splice`:
//   row_work
// Every invocation calls the sums and maxima, in uniform control flow.

const LANES: u32 = 32u;
const ROWS: u32 = 8u;

var<workgroup> row_values: array<array<f32, LANES>, ROWS>;

fn row_sum(value: f32, row: u32, lane: u32) -> f32 {
  row_values[row][lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      row_values[row][lane] += row_values[row][lane + half];
    }
    workgroupBarrier();
  }
  let total = row_values[row][0];
  workgroupBarrier();
  return total;
}

fn row_max(value: f32, row: u32, lane: u32) -> f32 {
  row_values[row][lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      row_values[row][lane] = max(row_values[row][lane], row_values[row][lane + half]);
    }
    workgroupBarrier();
  }
  let total = row_values[row][0];
  workgroupBarrier();
  return total;
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let lane = t & (LANES - 1u);
  let line = (t / LANES) & (ROWS - 1u);
  let row = (group.y * groups.x + group.x) * ROWS + line;
  let inside = row < params.rows;
  let width = select(0u, params.width, inside);
  let at = row * params.width;
  row_work();
}
