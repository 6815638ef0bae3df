/**
 * Dispatches of dyᵀ·x.
 *
 * @module
 */

import type { LinearWeightGrad } from "../../../ops/mod.ts";
import { bindable, isPacked, roundUp, storage4, storageOf, valueWidth } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/problems.ts";
import { tilesOf } from "../tuning/variants.ts";
import { isTiled } from "./linear.ts";
import { anyGrid, PLAIN } from "./linear_any.ts";
import { dropoutParams, PLACES, type Plan, planInF32 } from "./plan.ts";
import { planReduce, stripsOf } from "./reduce.ts";
import { taken } from "./split.ts";

/** dw (+)= dyᵀ·x; db (+)= column sums of dy */
export async function planLinearWeightGrad(plan: Plan, op: LinearWeightGrad): Promise<void> {
  await splitWeightGrad(plan, op);
}

async function planWeightGrad(plan: Plan, op: LinearWeightGrad): Promise<void> {
  if (isTiled(op.dw)) planSplitWeightGrad(plan, op);
  else await planInF32(plan, op, planAnyWeightGrad);
  planBiasGrad(plan, op);
}

function planAnyWeightGrad(plan: Plan, op: LinearWeightGrad): void {
  const [rows, out] = op.dy.shape, inner = op.x.shape[1];
  plan.dispatch({
    kernel: "linear_any",
    values: { ...PLAIN, ACCUMULATE: op.accumulate },
    bindings: { a: op.dy, b: op.x, y: op.dw },
    params: { m: out, k: rows, n: inner, am: 1, ak: out, bk: inner, bn: 1, ...dropoutParams(), whole: inner },
    grid: anyGrid(out, inner),
  });
}

function planBiasGrad(plan: Plan, op: LinearWeightGrad): void {
  const [rows, out] = op.dy.shape, storage = storageOf(op.dy), width = out / valueWidth(storage);
  if (!op.db) return;
  const { strips, strip } = stripsOf(rows), partials = plan.temporary("bias gradient by strip", strips * out);
  plan.dispatch({
    kernel: "column_sums",
    values: { STORAGE: storage },
    bindings: { x: op.dy, partials },
    params: { rows, width, strip },
    grid: [Math.ceil(width / 32), strips, 1],
  });
  planReduce(plan, { partials, count: strips, stride: out, offset: 0, y: op.db, elements: out, accumulate: op.accumulate });
}

// Fewest rows a split is worth, and how far its partials may go in memory.
const SPLIT_ROWS = 256, SPLIT_BYTES = 64 * 2 ** 20;

function planSplitWeightGrad(plan: Plan, op: LinearWeightGrad): void {
  const [rows, out] = op.dy.shape, inner = op.x.shape[1], bytes = out * inner * 4;
  const most = Math.max(
    1,
    Math.min(Math.floor(rows / SPLIT_ROWS), Math.floor(Math.min(SPLIT_BYTES, bindable(plan.context.limits)) / bytes)),
  );
  const variant = chooseLinear(plan, "linear_weight_grad", linearProblem(out, rows, inner, isPacked(op.dy)), out, inner, most);
  const [x, y] = tilesOf(variant, out, inner);
  // Under the smallest-tile preference every split that rows allow is made, so that tests see partials.
  const wanted = plan.context.tiles === "smallest" ? Math.ceil(rows / 16) : Math.min(most, Math.ceil(PLACES / (x * y)));
  const split = roundUp(Math.ceil(rows / wanted), 16), splits = Math.ceil(rows / split);
  const partials = splits > 1 ? plan.temporary("weight gradient by split", splits * out * inner) : undefined;
  plan.dispatch({
    kernel: "linear_weight_grad",
    values: { ACCUMULATE: op.accumulate && !partials, ...variant, MATRICES: plan.context.matrices?.part, STORAGE: storage4(op.dy) },
    bindings: { dy: op.dy, x: op.x, dw: partials ?? op.dw },
    params: { rows, split, out4: out / 4, in4: inner / 4 },
    grid: [x, y, splits],
  });
  if (!partials) return;
  const elements = out * inner;
  planReduce(plan, { partials, count: splits, stride: elements, offset: 0, y: op.dw, elements, accumulate: op.accumulate });
}

/** By groups of the columns of dy, where no binding holds dw. */
async function splitWeightGrad(plan: Plan, op: LinearWeightGrad): Promise<void> {
  const blocks = plan.blocks(op.dw);
  if (blocks.length < 2) return await planWeightGrad(plan, op);
  for (const [at, { tensor: dw, first, rows: width }] of blocks.entries()) {
    await plan.step(at, blocks.length, async () => {
      await planWeightGrad(plan, { ...op, dy: taken(plan, op.dy, first, width), dw, db: op.db && plan.rows(op.db, first, width) });
    });
  }
}
