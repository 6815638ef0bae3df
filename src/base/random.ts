/**
 * A counter-based random generator, Threefry-2x32 with 20 rounds (Salmon et al., *Parallel Random Numbers: As
 * Easy as 1, 2, 3*, 2011): the same (key, counter) gives the same words on every engine, in any order, so dropout
 * masks are recomputed instead of stored and a resumed run draws what the interrupted one would have drawn.
 *
 * The WASM and WGSL twins are `asm/lib/random.ts` and `wgsl/random.wgsl`.
 *
 * @module
 */

const PARITY = 0x1bd11bda;

/** One block into `out` [2]. Rounds are written out and nothing is made: loops over tables take six times as long. */
function encrypt(k0: number, k1: number, c0: number, c1: number, out: Uint32Array): void {
  // The keys of the next step and of the two after it.
  let a = k0 | 0, b = k1 | 0, c = k0 ^ k1 ^ PARITY, x0 = (c0 + a) | 0, x1 = (c1 + b) | 0;
  for (let step = 1; step <= 5; step++) {
    if (step & 1) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
    } else {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
    }
    x0 = (x0 + b) | 0;
    x1 = (x1 + c + step) | 0;
    [a, b, c] = [b, c, a];
  }
  out[0] = x0;
  out[1] = x1;
}

/**
 * One Threefry-2x32-20 block.
 *
 * @param k0 low key word, u32
 * @param k1 high key word, u32
 * @param c0 low counter word, u32
 * @param c1 high counter word, u32
 * @returns two random u32 words
 */
export function threefry(k0: number, k1: number, c0: number, c1: number): [number, number] {
  const words = new Uint32Array(2);
  encrypt(k0, k1, c0, c1, words);
  return [words[0], words[1]];
}

/** The kinds of draw a run makes; a stream's number is the high key word, so no two kinds share a stream. */
export const STREAM = {
  weights: 0x10000,
  batches: 0x20000,
  tokens: 0x30000,
  layout: 0x40000,
  epochs: 0x50000,
  masks: 0x60000,
  dropout: 0,
} as const;

/** A sequence of draws from one Threefry stream: key (seed, stream), counter (position, offset). */
export class Random {
  #position = 0;
  readonly #words = new Uint32Array(2);
  #spare = false;
  #second: number | undefined;

  /**
   * @param seed the run's seed, u32
   * @param stream which sequence of that seed, u32 (see {@linkcode STREAM})
   * @param offset a second counter word, u32: for example the training step
   */
  constructor(readonly seed: number, readonly stream: number, readonly offset = 0) {}

  /** The next u32. */
  u32(): number {
    this.#spare = !this.#spare;
    if (!this.#spare) return this.#words[1];
    encrypt(this.seed, this.stream, this.#position++, this.offset, this.#words);
    return this.#words[0];
  }

  /** The next number in [0, 1), with 32 bits. */
  uniform(): number {
    return this.u32() / 4294967296;
  }

  /** The next integer in [0, limit), limit ≤ 2³² (multiply-shift; its bias is under limit / 2³²). */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /** The next standard normal (Box–Muller, the pair in turn). */
  normal(): number {
    if (this.#second !== undefined) {
      const second = this.#second;
      this.#second = undefined;
      return second;
    }
    const u = (this.u32() + 1) / 4294967296, t = 2 * Math.PI * this.uniform(), radius = Math.sqrt(-2 * Math.log(u));
    this.#second = radius * Math.sin(t);
    return radius * Math.cos(t);
  }

  /**
   * Fills `values` with the next normals times `scale`: the numbers that {@linkcode normal} would give. Nearly all of
   * its time is Math.log, sin, cos and sqrt, on whose last bits the numbers depend.
   */
  normals(values: Float32Array, scale: number): void {
    const words = this.#words;
    let i = 0;
    if (this.#second !== undefined && values.length > 0) values[i++] = this.normal() * scale;
    for (; !this.#spare && i + 2 <= values.length; i += 2) {
      encrypt(this.seed, this.stream, this.#position++, this.offset, words);
      const u = (words[0] + 1) / 4294967296, t = 2 * Math.PI * (words[1] / 4294967296), radius = Math.sqrt(-2 * Math.log(u));
      values[i] = radius * Math.cos(t) * scale;
      values[i + 1] = radius * Math.sin(t) * scale;
    }
    for (; i < values.length; i++) values[i] = this.normal() * scale;
  }
}

/**
 * Whether dropout keeps an element: word `index & 1` of the block with key (seed, site) and counter
 * (index >> 1, step), its upper 24 bits compared with ⌊p·2²⁴⌋.
 *
 * @param seed the run's seed, u32
 * @param site which dropout of the network (2·layer for attention, 2·layer + 1 for feed-forward)
 * @param step the training step and micro-batch, u32
 * @param index element number in row-major order
 * @param p the probability of dropping, in [0, 1)
 */
export function dropoutKeeps(seed: number, site: number, step: number, index: number, p: number): boolean {
  const words = threefry(seed, site, index >>> 1, step);
  return (words[index & 1] >>> 8) >= Math.floor(p * 16777216);
}
