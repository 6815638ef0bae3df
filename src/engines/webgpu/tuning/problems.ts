/**
 * What is a problem to tuning.
 *
 * @module
 */

import { type Attention, type AttentionBackward, headsOf } from "../../../ops/mod.ts";
import type { AttentionSet } from "../../../pattern/sets.ts";
import { isPacked } from "../storage.ts";

/** What a problem is to tuning: its kind, on which variants are never shared, and its sizes, of which the nearest is taken. */
export interface Problem {
  /** Such as `strided 64/64 f32`. */
  readonly kind: string;
  /** All positive. */
  readonly sizes: readonly number[];
}

const kindOfSet = (set: AttentionSet) => set.kind;
const extent = (set: AttentionSet) => Math.max(1, "l" in set ? set.l : "block" in set ? set.block : 1);

/** An attention operation as a problem. */
export function attentionProblem(op: Attention | AttentionBackward): Problem {
  const { sets, n, q } = op, { d, dv } = headsOf(op), kinds = [...new Set(sets.map(kindOfSet))].sort().join("+");
  return {
    kind: `${kinds} ${d}/${dv} ${isPacked(q) ? "f16" : "f32"}`,
    sizes: [n, Math.max(...sets.map(extent))],
  };
}

/** A matrix product as a problem. */
export function linearProblem(rows: number, inner: number, columns: number, packed: boolean): Problem {
  return { kind: packed ? "f16" : "f32", sizes: [rows, inner, columns] };
}
