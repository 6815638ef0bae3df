/**
 * Validity of a schedule (section 4.2): a factorization is valid where every earlier position reaches every later one
 * within p + 1 steps. A step is a layer: position i takes over what any position it attends to holds, and keeps its own
 * (the residual). The heads of a layer act together, as the union of their sets.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { buildLayout } from "./layout.ts";
import { rowsIn } from "./patterns_in.ts";
import { Differences, proofOver } from "./proof.ts";
import { checkOneSequence, checkSet } from "./check_set.ts";
import { type AttentionSet, LARGEST, layerAttention, type ModelAttention, resolveSets, setKey } from "./sets.ts";

/** Every layer's sets, one per head. */
export type Schedule = readonly (readonly AttentionSet[])[];

/**
 * The sets of all layers of a model, over the rows of n tokens: as many, or more where it has memory tokens.
 *
 * @param attention as in `config.json`
 * @throws {ConfigError} where a pattern's field is out of range, or the list is not as long as there are layers
 */
export function scheduleOf(
  attention: ModelAttention,
  shape: { n: number; layers: number; heads: number },
): AttentionSet[][] {
  expect("Cannot lay out the schedule", {
    attention: [attention, "an object"],
    shape: [shape, "an object"],
    n: [shape?.n, [1, LARGEST]],
    layers: [shape?.layers, [1, 4096]],
  });
  const { layers, heads } = shape, n = rowsIn(attention, shape.n);
  if (Array.isArray(attention) && attention.length !== layers) {
    throw new ConfigError(`Cannot lay out the schedule: attention lists ${attention.length} layers, there are ${layers}`);
  }
  return Array.from({ length: layers }, (_, layer) => resolveSets(layerAttention(attention, layer), { n, layer, heads }));
}

/** What a run of p + 1 layers reaches. */
export interface ReachFrom {
  /** The layers it begins at; later ones with the same sets behave the same. */
  readonly layers: readonly number[];
  /** How many: p + 1, or up to 2p − 1 where it begins within a round of three factors or more, of which layers have one each. */
  readonly steps: number;
  /** Pairs (i, j), j before i unless bidirectional, where nothing of j arrives at i. */
  readonly missing: number;
  /** The first of them, as [i, j], by i. */
  readonly examples: readonly (readonly [number, number])[];
  /** Why, where any is missing: one sentence. */
  readonly reason?: string;
}

/** What {@linkcode checkReach} found. */
export interface Reach {
  /** Whether every start reaches everything. */
  readonly valid: boolean;
  /** p + 1, or fewer where the schedule has fewer layers. */
  readonly steps: number;
  /** p + 1. */
  readonly allowed: number;
  /** Positions of a sequence. */
  readonly n: number;
  /** Positions checked, from the first: all where that can be shown without looking at pairs, else at most `limit`. */
  readonly checked: number;
  /** Pairs that have to be reached, of those checked. */
  readonly pairs: number;
  /** One for each different run of layers. */
  readonly starts: readonly ReachFrom[];
  /**
   * Layers from the first after which everything is reached; absent where all layers together do not. Of more positions than are looked at
   * those that are shown to suffice.
   */
  readonly layersNeeded?: number;
}

const EXAMPLES = 5;

/** Rows of bits: bit j of row i. */
class Bits {
  readonly words: number;
  readonly data: Uint32Array;

  constructor(readonly n: number) {
    this.words = Math.ceil(n / 32);
    this.data = new Uint32Array(n * this.words);
  }

  set(i: number, j: number): void {
    this.data[i * this.words + (j >>> 5)] |= 1 << (j & 31);
  }

  has(i: number, j: number): boolean {
    return (this.data[i * this.words + (j >>> 5)] >>> (j & 31) & 1) === 1;
  }

  /** Bits 0 … end − 1 of row i are all set. */
  full(i: number, end: number): boolean {
    const at = i * this.words, whole = end >>> 5;
    for (let w = 0; w < whole; w++) if (this.data[at + w] !== 0xffffffff) return false;
    const rest = ~(-1 << (end & 31));
    return (this.data[at + whole] & rest) === rest;
  }

  count(): number {
    let total = 0;
    for (let x of this.data) {
      x -= x >>> 1 & 0x55555555;
      x = (x & 0x33333333) + (x >>> 2 & 0x33333333);
      total += Math.imul(x + (x >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
    }
    return total;
  }
}

/** The keys of each query of one layer, over all its heads and itself, ascending. */
interface Readers {
  readonly starts: Uint32Array;
  readonly keys: Uint32Array;
}

async function readersOf(sets: readonly AttentionSet[], n: number): Promise<Readers> {
  checkOneSequence("Cannot check the reach", sets);
  const bits = new Bits(n), seen = new Set<string>();
  for (let i = 0; i < n; i++) bits.set(i, i);
  for (const set of sets) {
    const key = setKey(set);
    if (seen.has(key)) continue;
    seen.add(key);
    for (const { queryRows, keyRows, lo, hi } of (await buildLayout(set, n, { q: 64, k: 64 })).parts) {
      for (let u = 0; u < n; u++) {
        const i = queryRows ? queryRows[u] : u;
        for (let k = lo[u]; k < hi[u]; k++) bits.set(i, keyRows ? keyRows[k] : k);
      }
    }
  }
  const starts = new Uint32Array(n + 1), keys = new Uint32Array(bits.count());
  for (let i = 0, at = 0; i < n; i++) {
    for (let w = 0; w < bits.words; w++) {
      for (let word = bits.data[i * bits.words + w]; word !== 0; word &= word - 1) keys[at++] = w * 32 + 31 - Math.clz32(word & -word);
    }
    starts[i + 1] = at;
  }
  return { starts, keys };
}

/** What positions hold after one layer: what they read. */
function afterOne({ starts, keys }: Readers, n: number): Bits {
  const held = new Bits(n);
  for (let i = 0; i < n; i++) for (let s = starts[i]; s < starts[i + 1]; s++) held.set(i, keys[s]);
  return held;
}

/**
 * One more layer: what i holds is what its keys held.
 *
 * @param end bits 0 … end(i) − 1 of row i are wanted; a row that has them is done
 * @param causal whether no row holds anything after itself
 */
function advance(held: Bits, { starts, keys }: Readers, end: (i: number) => number, causal: boolean): Bits {
  const { n, words } = held, next = new Bits(n);
  for (let i = 0; i < n; i++) {
    const at = i * words, wanted = end(i);
    next.data.set(held.data.subarray(at, at + words), at);
    for (let s = starts[i]; s < starts[i + 1]; s++) {
      // Looking whether a row is full costs as much as a key: every 16 keys.
      if ((s - starts[i]) % 16 === 0 && next.full(i, wanted)) break;
      const from = keys[s] * words, count = causal ? (keys[s] >>> 5) + 1 : words;
      for (let w = 0; w < count; w++) next.data[at + w] |= held.data[from + w];
    }
  }
  return next;
}

/** Runs of so many layers that differ, each with the layers it begins at. */
function runsOf(layerKeys: readonly string[], steps: number): number[][] {
  const byRun = new Map<string, number[]>();
  for (let layer = 0; layer + steps <= layerKeys.length; layer++) {
    const key = layerKeys.slice(layer, layer + steps).join("|"), layers = byRun.get(key);
    if (layers) layers.push(layer);
    else byRun.set(key, [layer]);
  }
  return [...byRun.values()];
}

/** What arrives where, of some layers: as far as it has gone. */
interface Held {
  /** One layer more. */
  after(layer: number): Promise<Held>;
  /** Whether all that is wanted is there. */
  isWhole(): boolean;
  /** Pairs that are wanted and not there, and the first of them. */
  missing(most: number): { missing: number; examples: [number, number][] };
}

/** Exact, over the first positions, as bits of pairs. */
function asBits(schedule: Schedule, layerKeys: readonly string[], checked: number): Held {
  const causal = schedule.some((sets) => sets.some((set) => set.causal)), end = (i: number) => causal ? i + 1 : checked;
  const triangular = schedule.every((sets) => sets.every((set) => set.causal)), made = new Map<string, Promise<Readers>>();
  const readers = (layer: number): Promise<Readers> => {
    if (!made.has(layerKeys[layer])) made.set(layerKeys[layer], readersOf(schedule[layer], checked));
    return made.get(layerKeys[layer])!;
  };
  const holding = (held: Bits | undefined): Held => ({
    after: async (layer) => holding(held ? advance(held, await readers(layer), end, triangular) : afterOne(await readers(layer), checked)),
    isWhole() {
      for (let i = 0; i < checked; i++) if (!held?.full(i, end(i))) return checked === 1;
      return true;
    },
    missing(most) {
      const examples: [number, number][] = [];
      let missing = 0;
      for (let i = 0; i < checked; i++) {
        if (held?.full(i, end(i))) continue;
        for (let j = 0; j < end(i); j++) {
          if (held ? held.has(i, j) : i === j) continue;
          if (missing++ < most) examples.push([i, j]);
        }
      }
      return { missing, examples };
    },
  });
  return holding(undefined);
}

/** Exact, over all positions: of sets that say which distances they carry. */
function asDifferences(schedule: Schedule, n: number, held = new Differences(n)): Held {
  return {
    after: (layer) => Promise.resolve(asDifferences(schedule, n, held.after(schedule[layer]))),
    isWhole: () => held.isWhole(),
    missing: (most) => held.missing(most),
  };
}

/**
 * Checks every run of p + 1 successive layers that differs from the others, exactly: over all positions where every set is causal and says
 * which distances it carries (`dense`, `local`, `strided`, `column`); else over the first `limit`, and where those are reached and the
 * layers have the factors of `fixed` in their order, over all of them.
 *
 * @param schedule sets of every layer, see {@linkcode scheduleOf}
 * @param n positions of a sequence
 * @param factors p, see {@linkcode factorsOf}
 * @param limit positions whose pairs are looked at, at most; time grows as the pairs times limit / 32, memory as limit² / 4 bytes
 * @throws {ConfigError} where the schedule has no layer
 *
 * @example
 * ```ts
 * import { checkReach, factorsOf, scheduleOf } from "../../ops.ts";
 * const attention = { pattern: "fixed", stride: 16, c: 4, integration: "multihead" } as const;
 * const reach = await checkReach(scheduleOf(attention, { n: 64, layers: 4, heads: 4 }), 64, factorsOf(attention));
 * console.log(reach.valid, reach.starts[0].reason);
 * ```
 */
export async function checkReach(schedule: Schedule, n: number, factors: number, limit = 4096): Promise<Reach> {
  const cannot = "Cannot check the schedule";
  expect(cannot, { schedule: [schedule, "a list"], n: [n, [1, LARGEST]], factors: [factors, [1, 63]], limit: [limit, [1, 2 ** 20]] });
  for (const [layer, sets] of schedule.entries()) {
    expect(cannot, { [`layer ${layer}`]: [sets, "a list"] });
    for (const set of sets) checkSet(set, n);
  }
  if (schedule.length === 0) throw new ConfigError("Cannot check the schedule: it has no layer");
  const layerKeys = schedule.map((sets) => [...new Set(sets.map(setKey))].sort().join()), isExact = Differences.fit(schedule.flat());
  let checked = isExact ? n : Math.min(n, limit);
  const none = isExact ? asDifferences(schedule, n) : asBits(schedule, layerKeys, checked);
  const allowed = factors + 1, least = Math.min(allowed, schedule.length);
  let starts: ReachFrom[] = [];
  // Layers of one factor each, round after round: only a whole round has the factors in their order (section 4.2).
  const isRound = factors > 2 && new Set(layerKeys).size === factors && layerKeys.every((key, layer) => key === layerKeys[layer % factors]);
  const roundFrom = (layer: number) => factors + (factors - layer % factors) % factors;
  for (const layers of runsOf(layerKeys, least)) {
    const [first] = layers, round = roundFrom(first);
    let held = none, steps = 0;
    const go = async (to: number) => {
      for (; steps < to; steps++) held = await held.after(first + steps);
      return held.missing(EXAMPLES);
    };
    let found = await go(least);
    if (found.missing > 0 && isRound && round > least) {
      // A run that layers end before its round does says nothing.
      if (first + round > schedule.length) continue;
      found = await go(round);
    }
    const reason = found.missing > 0 ? reasonOf(schedule.slice(first, first + steps), allowed, checked) : undefined;
    starts.push({ layers, steps, ...found, reason });
  }

  let layersNeeded: number | undefined;
  for (let layer = 0, held = none;; layer++) {
    if (held.isWhole()) layersNeeded = layer;
    if (layersNeeded !== undefined || layer === schedule.length) break;
    held = await held.after(layer);
  }
  const valid = starts.every(({ missing }) => missing === 0);
  if (valid && checked < n) {
    const isShown = proofOver(n), shown: ReachFrom[] = [];
    let isAll = true;
    for (const start of starts) {
      const [first] = start.layers, round = isRound ? roundFrom(first) : start.steps;
      if (await isShown(schedule.slice(first, first + start.steps))) shown.push(start);
      else if (round > start.steps && first + round > schedule.length) continue;
      else if (await isShown(schedule.slice(first, first + round))) shown.push({ ...start, steps: round });
      else isAll = false;
    }
    if (isAll) {
      checked = n;
      starts = shown;
      // Fewer layers do for the first positions, perhaps.
      while (layersNeeded! < schedule.length && !await isShown(schedule.slice(0, layersNeeded))) layersNeeded!++;
    }
  }
  const pairs = schedule.some((sets) => sets.some((set) => set.causal)) ? checked * (checked + 1) / 2 : checked * checked;
  return { valid, steps: least, allowed, n, checked, pairs, starts, layersNeeded };
}

/** The stride of a window of n positions that is cut short before its summary columns. */
function cutShort(set: Extract<AttentionSet, { kind: "summary" | "fixed" }>, n: number): number | undefined {
  const { l, from } = set, more = (set.kind === "fixed" ? set.more : set.larger) ?? [], strides = [l, ...more];
  return strides.find((stride, at) => {
    const rest = (more[at] ?? n) % stride;
    return rest > 0 && rest <= from + stride - l;
  });
}

/** Which class of gap a run of layers has. */
function reasonOf(layers: Schedule, allowed: number, n: number): string {
  const sets = layers.flat(), count = layers.length, run = `${count} layer${count === 1 ? "" : "s"}`;
  const is = <K extends AttentionSet["kind"]>(...kinds: K[]) =>
    sets.filter((set): set is Extract<AttentionSet, { kind: K }> => (kinds as string[]).includes(set.kind));
  const both = count < allowed
    ? `${run} are too few to use all factors one after the other`
    : "the factors follow each other in no order that works";
  if (is("routed").length > 0) {
    return "which blocks are chosen shows when it runs; this is an even choice, and any position of a past block may be in another";
  }
  const columns = is("summary", "fixed"),
    segments = is("segment", "fixed"),
    strides = is("column", "strided"),
    windows = is("window", "strided");
  if (columns.length > 0) {
    const { l } = columns[0], last = Math.max(...columns.map(({ to }) => to));
    if (last < l) {
      return `no A⁽²⁾ head reads sub-block 0: columns ${last} to ${l - 1} of each window of ${l} come after every summary column, ` +
        `so later windows never see them`;
    }
    if (segments.length === 0) return "A⁽²⁾ is used without A⁽¹⁾: what is not in a summary column reaches no other position";
    const cut = columns.filter(({ causal }) => !causal).map((set) => cutShort(set, n)).find((stride) => stride !== undefined);
    if (cut === undefined) return both;
    return `a window of ${cut} is cut short before its summary columns, so that other windows never see it; let the strides divide each other and ${n}`;
  }
  if (segments.length > 0) return `A⁽¹⁾ is used without A⁽²⁾: nothing crosses from one window of ${segments[0].l} to the next`;
  if (strides.length > 0) {
    return windows.length > 0 ? both : `A⁽²⁾ is used without A⁽¹⁾: positions of different residues mod ${strides[0].l} never meet`;
  }
  if (is("longformer").length > 0) {
    return `the first tokens see only what comes before them and pass nothing on, so only windows of ${
      is("longformer")[0].l
    } carry forward`;
  }
  if (windows.length > 0) {
    const far = layers.reduce((sum, heads) => sum + Math.max(0, ...heads.map((set) => set.kind === "window" ? set.l : 0)), 0);
    return `windows alone carry at most ${far} positions in ${run}`;
  }
  return `the block lists hold no path of ${run} between these positions`;
}
