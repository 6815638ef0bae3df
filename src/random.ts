/**
 * A counter-based random generator, Threefry-2x32 with 20 rounds (Salmon et al., *Parallel Random Numbers: As
 * Easy as 1, 2, 3*, 2011): the same (key, counter) gives the same words on every engine, in any order, so dropout
 * masks are recomputed instead of stored and a resumed run draws what the interrupted one would have drawn.
 *
 * The WASM and WGSL twins are `asm/random.ts` and `wgsl/random.wgsl`.
 *
 * @module
 */

const PARITY = 0x1bd11bda;
const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];

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
  const keys = [k0, k1, k0 ^ k1 ^ PARITY];
  let x0 = (c0 + k0) | 0, x1 = (c1 + k1) | 0;
  for (let round = 0; round < 20; round++) {
    const r = ROTATIONS[round & 7];
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if ((round & 3) === 3) {
      const s = (round >> 2) + 1;
      x0 = (x0 + keys[s % 3]) | 0;
      x1 = (x1 + keys[(s + 1) % 3] + s) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}

/** The kinds of draw a run makes; a stream's number is the high key word, so no two kinds share a stream. */
export const STREAM = { weights: 0x10000, batches: 0x20000, tokens: 0x30000, layout: 0x40000, dropout: 0 } as const;

/** A sequence of draws from one Threefry stream: key (seed, stream), counter (position, offset). */
export class Random {
  #position = 0;
  #spare: number | undefined;
  #second: number | undefined;

  /**
   * @param seed the run's seed, u32
   * @param stream which sequence of that seed, u32 (see {@linkcode STREAM})
   * @param offset a second counter word, u32: for example the training step
   */
  constructor(readonly seed: number, readonly stream: number, readonly offset = 0) {}

  /** The next u32. */
  u32(): number {
    if (this.#spare !== undefined) {
      const word = this.#spare;
      this.#spare = undefined;
      return word;
    }
    const [a, b] = threefry(this.seed, this.stream, this.#position++, this.offset);
    this.#spare = b;
    return a;
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
