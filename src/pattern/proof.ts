/**
 * What a schedule reaches over all positions of a long sequence, without a look at its pairs: by the distances that its sets carry, or by
 * the factors of `fixed` in their order.
 *
 * @module
 */

import { buildLayout } from "./layout.ts";
import type { AttentionSet } from "./sets.ts";

/** Distances from 0 to n − 1 as bits, of which some arrive. All sets are causal, so nothing leaves the positions between two. */
export class Differences {
  readonly #words: Uint32Array;

  constructor(readonly n: number, words?: Uint32Array) {
    this.#words = words ?? new Uint32Array(Math.ceil(n / 32));
    if (!words) this.#words[0] = 1;
  }

  /** Whether sets say which distances they carry. */
  static fit(sets: readonly AttentionSet[]): boolean {
    return sets.every(({ kind, causal }) => causal && /^(dense|window|column|strided)$/.test(kind));
  }

  /** Adds what is there moved by `far`, to `into`. */
  #move(into: Uint32Array, far: number): void {
    const words = far >>> 5, bits = far & 31, from = this.#words;
    for (let at = words; at < into.length; at++) {
      into[at] |= from[at - words] << bits;
      if (bits > 0 && at > words) into[at] |= from[at - words - 1] >>> 32 - bits;
    }
  }

  /** All distances up to `far` more: by doubling. */
  #widen(far: number): Differences {
    let made: Differences = new Differences(this.n, this.#words.slice());
    for (let done = 0; done < far;) {
      const next = Math.min(far - done, done + 1), words = made.#words.slice();
      made.#move(words, next);
      made = new Differences(this.n, words);
      done += next;
    }
    return made;
  }

  /** What arrives with a layer of these sets more. */
  after(sets: readonly AttentionSet[]): Differences {
    const { n } = this, words = this.#words.slice();
    const stride = (l: number, within: number) => {
      for (let far = l; far < n && far <= within; far += l) this.#move(words, far);
    };
    const widen = (far: number) => this.#widen(Math.min(n, far)).#words.forEach((word, at) => words[at] |= word);
    for (const set of new Map(sets.map((set) => [JSON.stringify(set), set])).values()) {
      if (set.kind === "dense") widen(n);
      else if (set.kind === "window") widen(set.l);
      else if (set.kind === "column") stride(set.l, set.within ?? n);
      else if (set.kind === "strided") {
        const strides = [set.l, ...set.more ?? []];
        widen(set.l);
        strides.forEach((l, at) => stride(l, strides[at + 1] ?? n));
      }
    }
    return new Differences(n, words);
  }

  /** Whether every distance arrives. */
  isWhole(): boolean {
    const last = this.n >>> 5;
    for (let word = 0; word < last; word++) if (this.#words[word] !== 0xffffffff) return false;
    return !(~this.#words[last] & ~(-1 << (this.n & 31)));
  }

  /** Pairs whose distance does not arrive, and the first of them by query. */
  missing(most: number): { missing: number; examples: [number, number][] } {
    const { n } = this, gaps: number[] = [], examples: [number, number][] = [];
    let missing = 0;
    for (let far = 0; far < n; far++) {
      if (this.#words[far >>> 5] >>> (far & 31) & 1) continue;
      missing += n - far;
      if (gaps.length < most) gaps.push(far);
    }
    for (let i = 0; i < n && examples.length < most && missing > 0; i++) {
      // Keys ascend, so distances fall.
      for (const far of gaps.filter((far) => far <= i).reverse()) {
        if (examples.length < most) examples.push([i, i - far]);
      }
    }
    return { missing, examples };
  }
}

/** The factors that a set holds, smallest first: of `fixed` all of them. */
function factorsIn(set: AttentionSet): AttentionSet[] {
  if (set.kind !== "fixed") return [set];
  const { l, from, to, more = [], causal } = set, strides = [l, ...more];
  return [
    { kind: "segment", l, ...more.length && { larger: more }, causal },
    ...strides.map((stride, at): AttentionSet => ({
      ...{ kind: "summary", l: stride, from: from + stride - l, to: to + stride - l, causal },
      ...more.length && { larger: more.slice(at) },
    })),
  ];
}

/** What a factor moves by: the window of a segment, of summary columns the windows they close and those they are carried to. */
const levelOf = (set: AttentionSet) => set.kind === "segment" ? 0 : set.kind === "summary" ? set.l : undefined;

/**
 * Of layers of `fixed`, one after another, their factors in order: the segment, then columns of ever larger windows; undefined where they
 * have them in no such order. What a set holds beside these can only add to what arrives.
 */
function chainOf(layers: readonly (readonly AttentionSet[])[]): AttentionSet[][] | undefined {
  const all = layers.map((sets) => sets.flatMap(factorsIn)), levels = new Set<number>();
  for (const set of all.flat()) {
    const level = levelOf(set);
    if (level === undefined || !set.causal) return undefined;
    levels.add(level);
  }
  const wanted = [...levels].sort((a, b) => a - b), chain: AttentionSet[][] = [];
  for (const sets of all) {
    const found = sets.filter((set) => levelOf(set) === wanted[chain.length]);
    if (found.length > 0) chain.push([...new Map(found.map((set) => [JSON.stringify(set), set])).values()]);
  }
  return chain.length === wanted.length ? chain : undefined;
}

/**
 * What each position holds, where that is an interval that ends with itself: its first position. A layer's keys add to it as far as they
 * join it without a gap, so that what is said to be there is.
 */
async function carry(first: Uint32Array, sets: readonly AttentionSet[]): Promise<Uint32Array> {
  const n = first.length, made = first.slice(), back = new Uint32Array(n);
  for (const set of sets) {
    for (const { keyRows, lo, hi } of (await buildLayout(set, n, { q: n, k: n })).parts) {
      // back[k]: how far key k reaches back with those before it that join it. Queries of a window begin with the same key, and share it.
      for (let i = 0, begin = -1, end = 0; i < n; i++) {
        if (lo[i] === hi[i]) continue;
        if (lo[i] !== begin) begin = end = lo[i];
        for (; end < hi[i]; end++) {
          const own = first[keyRows ? keyRows[end] : end], joined = end > begin && (keyRows ? keyRows[end - 1] : end - 1) + 1 >= own;
          back[end] = joined ? Math.min(own, back[end - 1]) : own;
        }
        const last = hi[i] - 1;
        if ((keyRows ? keyRows[last] : last) + 1 >= made[i]) made[i] = Math.min(made[i], back[last]);
      }
    }
  }
  return made;
}

/**
 * Whether a run of `fixed` layers brings every position to every later one, over n positions: shown by the intervals that positions hold
 * after each factor. False where that shows nothing.
 */
export function proofOver(n: number): (run: readonly (readonly AttentionSet[])[]) => Promise<boolean> {
  const done = new Map<string, Promise<boolean>>();
  const show = async (chain: AttentionSet[][]) => {
    let first: Uint32Array = new Uint32Array(n).map((_, i) => i);
    for (const sets of chain) first = await carry(first, sets);
    return first.every((position) => position === 0);
  };
  return async (run) => {
    const chain = chainOf(run), key = JSON.stringify(chain);
    if (!chain) return false;
    if (!done.has(key)) done.set(key, show(chain));
    return await done.get(key)!;
  };
}
