/**
 * Dispatches of dy·w.
 *
 * @module
 */

import type { LinearInputGrad } from "../../../ops/mod.ts";
import { isPacked, storage4 } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/tuning.ts";
import { tilesOf } from "../tuning/variants.ts";
import { isTiled } from "./linear.ts";
import { anyGrid, PLAIN } from "./linear_any.ts";
import { dropoutParams, type Plan, planInF32 } from "./plan.ts";
import { splitInputGrad } from "./split.ts";

/** dx = residual + (dy·w) ∘ f′(pre) */
export async function planLinearInputGrad(plan: Plan, op: LinearInputGrad): Promise<void> {
  await splitInputGrad(plan, op, planInputGrad);
}

async function planInputGrad(plan: Plan, op: LinearInputGrad): Promise<void> {
  if (!isTiled(op.w)) return await planInF32(plan, op, planAnyInputGrad);
  const rows = op.dy.shape[0], [out, inner] = op.w.shape;
  const variant = chooseLinear(plan, "linear_input_grad", linearProblem(rows, out, inner, isPacked(op.dy)), rows, inner);
  plan.dispatch({
    kernel: "linear_input_grad",
    values: { GELU: !!op.pre, RESIDUAL: !!op.residual, ...variant, STORAGE: storage4(op.dy) },
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
