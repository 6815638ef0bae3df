/**
 * Routing: which blocks of keys a block of queries attends to.
 *
 * @module
 */

import { fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/**
 * By head, block j of queries chooses the `top_k` blocks k whose summary has the largest product with the query at its first position,
 * q[j · block] · summary[k], of equal ones the lower; ascending, then {@linkcode ../pattern/routed.ts!NO_BLOCK}. It chooses from blocks k < j that the
 * window does not show whole to all its queries: k · block < (j + 1) · block − 1 − window.
 */
export interface Route {
  /** Which operation. */
  readonly op: "route";
  /** [sequences · n, heads · d] */
  readonly q: Tensor;
  /** [sequences · ⌈n / block⌉, heads · d] */
  readonly summaries: Tensor;
  /** u32 [batch, heads, at least ⌈n / block⌉, top_k]; of more sequences than q has, they go round. Later blocks are left as they are. */
  readonly choice: Tensor;
  /** Positions of a sequence. */
  readonly n: number;
  /** Positions of a block. */
  readonly block: number;
  /** The farthest key of the window. */
  readonly window: number;
}

/**
 * A choice turned round: which blocks of queries chose block k of keys. Entries j · top_k + r of `choice` with k are `list[starts[k]]` …
 * `list[starts[k + 1] − 1]`, ascending; {@linkcode ../pattern/routed.ts!NO_BLOCK} follows the last.
 */
export interface RouteLists {
  /** Which operation. */
  readonly op: "route_lists";
  /** u32 [batch, heads, blocks, top_k] */
  readonly choice: Tensor;
  /** u32 [batch, heads, blocks + 1] */
  readonly starts: Tensor;
  /** u32, as choice */
  readonly list: Tensor;
}

/** What {@linkcode Route} says of itself. */
export const route: Descriptor<Route> = {
  reads: ["q", "summaries"],
  writes: ["choice"],
  activations: ["q", "summaries"],
  late: true,
  apart: true,
  check(op) {
    const { q, summaries, choice, n, block } = op, [batch, heads, blocks] = choice.shape, [rows, width] = q.shape;
    matrix(op, q, rows / n * n, width);
    matrix(op, summaries, rows / n * Math.ceil(n / block), width);
    holds(op, choice, size(choice), "u32");
    if (choice.shape.length !== 4 || width % heads || batch % (rows / n) || blocks * block < n) {
      fail(op, "needs a place for choices", choice);
    }
  },
};

/** What {@linkcode RouteLists} says of itself. */
export const routeLists: Descriptor<RouteLists> = {
  reads: ["choice"],
  writes: ["starts", "list"],
  activations: [],
  late: true,
  apart: true,
  check(op) {
    const [batch, heads, blocks] = op.choice.shape;
    for (const t of [op.choice, op.list]) holds(op, t, size(op.choice), "u32");
    holds(op, op.starts, batch * heads * (blocks + 1), "u32");
  },
};
