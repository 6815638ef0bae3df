// e^x to about one unit in the last place for |x| up to 80. The built-in is 2^(x·log₂e) with the product rounded, which costs
// |x| units (measured on llvmpipe: 6.9e-7 at |x| ≤ 10); here the rounding's remainder is put back. For everything
// but attention, whose scores are near their maximum where it counts.

const LOG2E_HIGH: f32 = 1.44269502;
const LOG2E_LOW: f32 = 1.92596299e-8;

fn exp_precise(x: f32) -> f32 {
  let t = x * LOG2E_HIGH;
  let rest = fma(x, LOG2E_LOW, fma(x, LOG2E_HIGH, -t));
  return exp2(t) * fma(rest, 0.69314718, 1.0);
}

fn exp_precise4(x: vec4f) -> vec4f {
  let t = x * LOG2E_HIGH;
  let rest = fma(x, vec4f(LOG2E_LOW), fma(x, vec4f(LOG2E_HIGH), -t));
  return exp2(t) * fma(rest, vec4f(0.69314718), vec4f(1.0));
}
