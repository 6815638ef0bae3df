/**
 * f16 and back, in bits: browsers had WebGPU for years before they had Float16Array.
 *
 * @module
 */

const float = new Float32Array(1), bits = new Uint32Array(float.buffer);

/** The bits of the f16 nearest to each number, ties to even; beyond 65,520 infinity. */
export function toHalves(data: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) {
    float[0] = data[i];
    const sign = bits[0] >>> 16 & 0x8000, magnitude = bits[0] & 0x7fffffff;
    if (magnitude > 0x7f800000) halves[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000) halves[i] = sign | 0x7c00;
    else if (magnitude >= 0x38800000) {
      // Normal: the exponent's bias goes from 127 to 15, and 13 bits of the fraction are rounded away.
      const rebased = magnitude - (112 << 23);
      halves[i] = sign | (rebased + 0xfff + (rebased >>> 13 & 1)) >>> 13;
    } else {
      // Subnormal, a multiple of 2⁻²⁴: adding ½ leaves f32 just as many places, and it rounds.
      bits[0] = magnitude;
      float[0] += 0.5;
      halves[i] = sign | bits[0] - 0x3f000000;
    }
  }
  return halves;
}

/** The numbers of f16 bits. */
export function fromHalves(halves: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(halves, (half) => {
    const exponent = half >>> 10 & 31, fraction = half & 1023, sign = half & 0x8000 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
  });
}
