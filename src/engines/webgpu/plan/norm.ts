/**
 * Dispatches of sums, the global norm and clipping.
 *
 * @module
 */

import { type Clip, size, type SquareNorm, type Sum, type Tensor } from "../../../ops/mod.ts";
import type { Operand, Plan } from "./plan.ts";
import { contiguousRuns } from "./runs.ts";

// Elements a workgroup at least, and workgroups at most: the second stage is one workgroup.
const SHARE = 4096, GROUPS = 512;

/** Workgroups for a sum of so many elements. */
const groupsFor = (count: number) => Math.min(GROUPS, Math.ceil(count / SHARE));

interface Stage {
  x: Operand;
  count: number;
  y: Tensor;
  at?: number;
  scale?: number;
  square?: boolean;
  accumulate?: boolean;
}

function planStage(plan: Plan, { x, count, y, at = 0, scale = 1, square = false, accumulate = false }: Stage, groups: number): void {
  const share = Math.ceil(count / groups);
  plan.dispatch({
    kernel: "sum",
    values: { SQUARE: square, ACCUMULATE: accumulate },
    bindings: { x, y },
    params: { count, share, at, scale },
    grid: [groups, 1, 1],
  });
}

/** y[0] (+)= scale · Σ x */
export function planSum(plan: Plan, op: Sum): void {
  for (const { tensor: x, first } of plan.blocks(op.x)) {
    const count = size(x), groups = groupsFor(count), last = { y: op.y, scale: op.scale, accumulate: op.accumulate || first > 0 };
    if (groups === 1) {
      planStage(plan, { x, count, ...last }, 1);
      continue;
    }
    const partials = plan.temporary("partial sums", groups);
    planStage(plan, { x, count, y: partials }, groups);
    planStage(plan, { x: partials, count: groups, ...last }, 1);
  }
}

/** y[0] = Σ over all tensors of x² */
export function planSquareNorm(plan: Plan, op: SquareNorm): void {
  const xs = plan.context.bands.flat(op.xs);
  // The padding between the tensors of a page is zero and nothing writes it, so runs are summed across it.
  const runs = contiguousRuns(plan, [xs]).map((run) => {
    const alone = run.count === 1, count = alone ? size(xs[run.first]) : run.bytes / 4;
    return { x: alone ? xs[run.first] : { tensor: xs[run.first], bytes: run.bytes }, count, groups: groupsFor(count) };
  });
  const total = runs.reduce((sum, run) => sum + run.groups, 0), partials = plan.temporary("partial sums of squares", Math.max(1, total));
  let at = 0;
  for (const { x, count, groups } of runs) {
    planStage(plan, { x, count, y: partials, at, square: true }, groups);
    at += groups;
  }
  planStage(plan, { x: partials, count: total, y: op.y }, 1);
}

/** The factor gradients are multiplied by */
export function planClip(plan: Plan, op: Clip): void {
  plan.dispatch({
    kernel: "clip",
    values: { LOSS_SCALE: !!op.lossScale },
    bindings: {
      ...{ square_norm: op.squareNorm, factor: op.factor, skipped: op.skipped, loss_scale: op.lossScale },
      ...{ schedule: op.schedule, known: op.known, hyper: op.hyper },
    },
    params: { max_norm: op.maxNorm, rows: op.schedule.shape[0] },
    grid: [1, 1, 1],
  });
}
