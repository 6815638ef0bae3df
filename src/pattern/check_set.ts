/**
 * What callers may hand in as a set. Loaded where sets are made by hand.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { type AttentionSet, keysOf, LARGEST } from "./sets.ts";

/** The sizes of each kind of set, and from where on they may be. */
const SIZES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  dense: {},
  window: { l: 0 },
  column: { l: 1 },
  strided: { l: 1 },
  segment: { l: 1 },
  summary: { l: 1, from: 0, to: 0 },
  fixed: { l: 1, from: 0, to: 0 },
  longformer: { l: 0, globals: 0 },
  blocks: { block: 1 },
  intervals: {},
  routed: { block: 1, top_k: 1, window: 0 },
  chosen: { block: 1, top_k: 1, window: 0, keys: 1 },
  past: { block: 1, keys: 1 },
};

/**
 * Refuses what is no set: callers may make them by hand.
 *
 * @param n positions that it must have lists for, where it is said by lists
 * @throws {ConfigError} naming what is wrong
 */
export function checkSet(set: AttentionSet, n = 0): void {
  const cannot = "Cannot use the attention set", fields = set as unknown as Record<string, unknown>;
  expect(cannot, { set: [set, "an object"] });
  if (!Object.hasOwn(SIZES, set.kind)) throw new ConfigError(`${cannot}: kind must be one of ${Object.keys(SIZES).join(", ")}`);
  for (const [name, low] of Object.entries(SIZES[set.kind])) expect(cannot, { [name]: [fields[name], [low, LARGEST]] });
  const { within, l, more, larger } = fields as { within?: number; l: number; more?: number[]; larger?: number[] };
  if (within !== undefined) expect(cannot, { within: [within, [1, LARGEST]] });
  for (const [name, strides] of Object.entries({ more, larger })) {
    if (strides === undefined) continue;
    expect(cannot, { [name]: [strides, { each: [1, LARGEST] }] });
    if (strides.some((stride, at) => stride <= (at ? strides[at - 1] : l))) throw new ConfigError(`${cannot}: strides must ascend`);
  }
  if (set.kind !== "blocks" && set.kind !== "intervals") return;
  if (set.kind === "intervals" && set.keys !== undefined) {
    expect(cannot, { keys: [set.keys, [1, LARGEST]] });
    if (set.causal) throw new ConfigError(`${cannot}: keys of another sequence are not before or after a query; causal must be false`);
  }
  const isBlocks = set.kind === "blocks", lists: unknown = fields[set.kind], key = [0, MOST] as const;
  expect(cannot, { [set.kind]: [lists, { each: { each: isBlocks ? key : { each: key, count: 2 } } }] });
  const need = Math.ceil(n / (isBlocks ? set.block : 1)), { length } = lists as unknown[];
  if (length < need) throw new ConfigError(`${cannot}: ${n} positions need ${need} lists of ${set.kind}, found ${length}`);
}

/**
 * Refuses sets whose keys are of another sequence, where positions are to be the same.
 *
 * @throws {ConfigError} where one is
 */
export function checkOneSequence(cannot: string, sets: readonly AttentionSet[]): void {
  sets.forEach((set) => checkSet(set));
  if (sets.every((set) => keysOf(set, 0) === 0)) return;
  throw new ConfigError(`${cannot}: keys of another sequence have no places among the queries' positions; give sets without keys`);
}
