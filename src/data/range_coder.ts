/**
 * Arithmetic coding: numbers of known probabilities as bytes, at their cost in bits and no more.
 *
 * A range coder (Martin 1979) with carries, on whole numbers that float64 holds exactly: the range has 40 to 48 bits, a model's
 * probabilities have 25. So a number costs its bits to about a part in 2¹⁵, and what is written is the same on every machine.
 *
 * @module
 */

/** What the counts of a {@linkcode Counts} add up to. */
export const TOTAL: number = 2 ** 25;

const TOP = 2 ** 48, BYTE = 2 ** 40;

/** Writes numbers. */
export class RangeEncoder {
  readonly #bytes: number[] = [];
  #low = 0;
  #range = TOP;
  /** The last byte that a carry may still change, and how many of 255 come after it. */
  #last = -1;
  #full = 0;

  /** A number that has `count` of {@linkcode TOTAL}, after those that have `from`. */
  push(from: number, count: number): void {
    const step = Math.floor(this.#range / TOTAL);
    this.#low += step * from;
    this.#range = step * count;
    while (this.#range < BYTE) {
      this.#shift();
      this.#range *= 256;
    }
  }

  #shift(): void {
    const byte = Math.floor(this.#low / BYTE), carry = byte >> 8;
    if (byte === 255) this.#full++;
    else {
      if (this.#last >= 0) this.#bytes.push(this.#last + carry);
      for (; this.#full > 0; this.#full--) this.#bytes.push((255 + carry) & 255);
      this.#last = byte & 255;
    }
    this.#low = (this.#low % BYTE) * 256;
  }

  /** All bytes, as few as tell the numbers: what follows them is read as zeros. */
  end(): Uint8Array<ArrayBuffer> {
    // Of the range the number that ends with the most zeros.
    for (let unit = TOP; unit >= 1; unit /= 2) {
      const number = Math.ceil(this.#low / unit) * unit;
      if (number >= this.#low + this.#range) continue;
      this.#low = number;
      break;
    }
    for (let at = 0; at < 8; at++) this.#shift();
    let length = this.#bytes.length;
    while (length > 0 && this.#bytes[length - 1] === 0) length--;
    return Uint8Array.from(this.#bytes.slice(0, length));
  }
}

/** Reads them again. */
export class RangeDecoder {
  #at = 0;
  #code = 0;
  #range = TOP;
  #step = 0;

  /** What an encoder wrote. */
  constructor(private readonly bytes: Uint8Array) {
    for (let at = 0; at < 6; at++) this.#code = this.#code * 256 + this.#next();
  }

  #next(): number {
    return this.bytes[this.#at++] ?? 0;
  }

  /** Where in {@linkcode TOTAL} the next number lies: at or after its `from`, before the end of its `count`. */
  find(): number {
    this.#step = Math.floor(this.#range / TOTAL);
    return Math.min(TOTAL - 1, Math.floor(this.#code / this.#step));
  }

  /** Goes on after the number that was found. */
  pull(from: number, count: number): void {
    this.#code -= this.#step * from;
    this.#range = this.#step * count;
    while (this.#range < BYTE) {
      this.#code = this.#code * 256 + this.#next();
      this.#range *= 256;
    }
  }
}

/** 1/k! from k = 0 on: enough for |x| ≤ ln 2 / 2 in float64. */
const SERIES = Array.from({ length: 14 }, (_, k) => {
  let factorial = 1;
  for (let i = 2; i <= k; i++) factorial *= i;
  return 1 / factorial;
});

/** 2⁻ᵏ: halved, since a power may be rounded otherwise elsewhere. */
const HALVES = new Float64Array(64).fill(1);
for (let k = 1; k < 64; k++) HALVES[k] = HALVES[k - 1] / 2;

/**
 * eˣ of x ≤ 0, of operations that IEEE 754 rounds alike everywhere: Math.exp may differ by a bit from one JavaScript engine to another, and
 * one bit is enough to make nonsense of all that follows. Below e⁻⁴⁰ it is 0.
 */
export function exponential(x: number): number {
  if (!(x > -40)) return 0;
  const k = Math.round(x / Math.LN2), r = x - k * Math.LN2;
  let y = SERIES[13];
  for (let at = 12; at >= 0; at--) y = y * r + SERIES[at];
  return y * HALVES[-k];
}

/** A distribution in whole numbers, made anew of each position's logits. */
export class Counts {
  readonly #weights: Float64Array;
  readonly #counts: Uint32Array;
  #logits: ArrayLike<number> = [];
  /** ln Σ e^logit. */
  #all = 0;

  /** @param size tokens, below {@linkcode TOTAL} */
  constructor(readonly size: number) {
    this.#weights = new Float64Array(size);
    this.#counts = new Uint32Array(size);
  }

  /** Takes the softmax of finite logits. Every token gets at least 1, and the likeliest what rounding leaves. */
  set(logits: ArrayLike<number>): void {
    const { size } = this, weights = this.#weights, counts = this.#counts;
    let most = 0, sum = 0, left = TOTAL;
    for (let token = 1; token < size; token++) if (logits[token] > logits[most]) most = token;
    for (let token = 0; token < size; token++) sum += weights[token] = exponential(logits[token] - logits[most]);
    for (let token = 0; token < size; token++) left -= counts[token] = 1 + Math.floor(weights[token] / sum * (TOTAL - size));
    counts[most] += left;
    this.#logits = logits;
    this.#all = logits[most] + Math.log(sum);
  }

  /** −log₂ of the model's probability of a token, before it was rounded to a count. */
  bits(token: number): number {
    return (this.#all - this.#logits[token]) / Math.LN2;
  }

  /** Writes a token. */
  write(coder: RangeEncoder, token: number): void {
    let from = 0;
    for (let t = 0; t < token; t++) from += this.#counts[t];
    coder.push(from, this.#counts[token]);
  }

  /** Reads a token. */
  read(coder: RangeDecoder): number {
    const place = coder.find();
    let from = 0, token = 0;
    while (from + this.#counts[token] <= place) from += this.#counts[token++];
    coder.pull(from, this.#counts[token]);
    return token;
  }
}
