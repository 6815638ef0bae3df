// e^x to about one unit in the last place for |x| up to 80. The built-in is 2^(x·log₂e) with the product rounded, which costs
// |x| units; here the rounding's remainder is put back. For everything
// but attention, whose scores are near their maximum where it counts.
// @import storage_f32.wgsl

const LOG2E_HIGH: f32 = 1.44269502;
const LOG2E_LOW: f32 = 1.92596299e-8;

fn exp_precise(x: Value) -> Value {
  let t = x * LOG2E_HIGH;
  let rest = fma(x, Value(LOG2E_LOW), fma(x, Value(LOG2E_HIGH), -t));
  return exp2(t) * fma(rest, Value(0.69314718), Value(1.0));
}
