/**
 * What a part of a set is.
 *
 * @module
 */

/**
 * Which rows a part sees, and in which order: all of them; all, grouped by residue mod l (0, l, 2l, … 1, l + 1, …);
 * or only those with j mod l ∈ [from, to), in order; or as given, ascending.
 */
export type Rows =
  | { readonly kind: "all" }
  | { readonly kind: "residue"; readonly l: number }
  | { readonly kind: "columns"; readonly l: number; readonly from: number; readonly to: number }
  | { readonly kind: "listed"; readonly rows: Uint32Array };

/**
 * The interval of keys of each query, both numbered in the part's order. K is the number of the part's keys, u the query.
 *
 * - `window`: u − back … u + ahead
 * - `segment`: the l keys of u's segment, up to u where causal
 * - `residue`: u's residue class, of it only keys at most `reach` places away, and at least `gap` before u (`side` −1), at least `gap`
 *   after it (+1), or on either side (0)
 * - `summary`: columns of windows before u's own (−1), after it (+1), at or before u itself (`self`), or all (0)
 * - `self`: u alone, only where it is not a column of [from, to)
 * - `listed`: as given
 */
export type Span =
  | { readonly kind: "window"; readonly back: number; readonly ahead: number }
  | { readonly kind: "segment"; readonly l: number; readonly causal: boolean }
  | { readonly kind: "residue"; readonly l: number; readonly side: -1 | 0 | 1; readonly gap: number; readonly reach: number }
  | { readonly kind: "summary"; readonly l: number; readonly from: number; readonly to: number; readonly side: -1 | 0 | 1 | "self" }
  | { readonly kind: "self"; readonly l: number; readonly from: number; readonly to: number }
  | { readonly kind: "listed"; readonly lo: Uint32Array; readonly hi: Uint32Array };

/** One part of a set. Queries are all rows, in some order; keys are some of the rows, each at most once. */
export interface Part {
  readonly queries: Rows;
  readonly keys: Rows;
  readonly span: Span;
}
