/**
 * A set as a union of disjoint parts, each of them one interval of keys for every query once rows are put into the part's order: what
 * engines compute with.
 *
 * @module
 */

import { MOST } from "../base/check.ts";
import type { Part, Rows, Span } from "./part.ts";
import type { AttentionSet } from "./sets.ts";

/** All rows, in order. */
const ALL: Rows = { kind: "all" };

/** Whether windows begin anew within larger ones. */
const isNested = (set: AttentionSet) => ("larger" in set && set.larger) || (set.kind === "fixed" && set.more);

/** A set as disjoint parts: every pair of the set is in exactly one part, once. */
export async function parts(set: AttentionSet, n: number): Promise<Part[]> {
  const { causal } = set;
  const inOrder = (span: Span): Part => ({ queries: ALL, keys: ALL, span });
  const window = (l: number) => inOrder({ kind: "window", back: l, ahead: causal ? 0 : l });
  // What is given by lists is loaded when it is met.
  if (isNested(set)) return (await import("./listed.ts")).nestedParts(set, n);
  switch (set.kind) {
    case "dense":
      return [window(MOST)];
    case "window":
      return [window(set.l)];
    case "column":
      return causal ? [residue(set.l, -1, 0, set.within)] : [residue(set.l, 0, 0, set.within)];
    case "strided": {
      const { l, more = [] } = set, strides = [l, ...more];
      // Of its own residue class the window already holds the row itself and its neighbours at distance l, as does the part before where
      // its stride divides this one.
      const others = strides.flatMap((stride, at) => {
        const gap = at === 0 || stride % strides[at - 1] === 0 ? 2 : 1;
        return (causal ? [-1] as const : [-1, 1] as const).map((side) => residue(stride, side, gap, strides[at + 1]));
      });
      return [window(l), ...others];
    }
    case "segment":
      return [inOrder({ kind: "segment", l: set.l, causal })];
    case "summary":
    case "fixed": {
      const { l, from, to } = set;
      const part = (side: -1 | 0 | 1 | "self"): Part => ({
        queries: ALL,
        keys: { kind: "columns", l, from, to },
        span: { kind: "summary", l, from, to, side },
      });
      if (set.kind === "fixed") return [inOrder({ kind: "segment", l, causal }), part(-1), ...causal ? [] : [part(1)]];
      return [inOrder({ kind: "self", l, from, to }), part(causal ? "self" : 0)];
    }
    default:
      return (await import("./listed.ts")).listedParts(set, n);
  }
}

/** The residue classes mod l, up to `within` away. */
function residue(l: number, side: -1 | 0 | 1, gap: number, within = MOST): Part {
  const rows: Rows = { kind: "residue", l };
  return { queries: rows, keys: rows, span: { kind: "residue", l, side, gap, reach: Math.floor(within / l) } };
}
