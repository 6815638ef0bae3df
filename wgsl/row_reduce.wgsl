// Sums and maxima over the 32 lanes of each of a workgroup's 8 rows. Every invocation must call, in uniform control flow.

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
