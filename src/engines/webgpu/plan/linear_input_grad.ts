/**
 * Dispatches of dy·w.
 *
 * @module
 */

import type { LinearInputGrad } from "../../../ops/mod.ts";
import { isPacked, storage4 } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/problems.ts";
import { tilesOf } from "../tuning/variants.ts";
import { isTiled } from "./linear.ts";
import { anyGrid, PLAIN } from "./linear_any.ts";
import { dropoutParams, type Plan, planInF32 } from "./plan.ts";
import { taken } from "./split.ts";

/** dx = residual + (dy·w) ∘ f′(pre) */
export async function planLinearInputGrad(plan: Plan, op: LinearInputGrad): Promise<void> {
  await splitInputGrad(plan, op);
}

async function planInputGrad(plan: Plan, op: LinearInputGrad): Promise<void> {
  if (!isTiled(op.w)) return await planInF32(plan, op, planAnyInputGrad);
  const rows = op.dy.shape[0], [out, inner] = op.w.shape;
  const variant = chooseLinear(plan, "linear_input_grad", linearProblem(rows, out, inner, isPacked(op.dy)), rows, inner);
  plan.dispatch({
    kernel: "linear_input_grad",
    values: { GELU: !!op.pre, RESIDUAL: !!op.residual, ...variant, MATRICES: plan.context.matrices?.part, STORAGE: storage4(op.dy) },
    bindings: { dy: op.dy, w: op.w, pre: op.pre, residual: op.residual, dx: op.dx },
    params: { rows, inner4: out / 4, out4: inner / 4 },
    grid: [...tilesOf(variant, rows, inner), 1],
  });
}

function planAnyInputGrad(plan: Plan, op: LinearInputGrad): void {
  const rows = op.dy.shape[0], [out, inner] = op.w.shape;
  plan.dispatch({
    kernel: "linear_any",
    values: { ...PLAIN, GELU_GRADIENT: !!op.pre, RESIDUAL: !!op.residual },
    bindings: { a: op.dy, b: op.w, z_in: op.pre, residual: op.residual, y: op.dx },
    params: { m: rows, k: out, n: inner, am: out, ak: 1, bk: inner, bn: 1, ...dropoutParams(), whole: inner },
    grid: anyGrid(rows, inner),
  });
}

/** By groups of the columns of dy, where no binding holds w. */
async function splitInputGrad(plan: Plan, op: LinearInputGrad): Promise<void> {
  const blocks = plan.blocks(op.w);
  if (blocks.length < 2) return await planInputGrad(plan, op);
  // The sum goes on in f32 from one group to the next.
  if (isPacked(op.dx)) return await planInF32(plan, op, splitInputGrad);
  const sums = [0, 1].map(() => plan.temporaryOf({ ...op.dx, scratch: true }));
  for (const [at, { tensor: w, first, rows: width }] of blocks.entries()) {
    await plan.step(at, blocks.length, async () => {
      const residual = at === 0 ? op.residual : sums[(at - 1) % 2], dx = at === blocks.length - 1 ? op.dx : sums[at % 2];
      await planInputGrad(plan, { ...op, dy: taken(plan, op.dy, first, width), w, residual, dx });
    });
  }
}
