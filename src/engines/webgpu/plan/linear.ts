/**
 * Dispatches of x·wᵀ.
 *
 * @module
 */

import type { Linear, Tensor } from "../../../ops/mod.ts";
import { isPacked, storage4 } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/problems.ts";
import { tilesOf } from "../tuning/variants.ts";
import { planLayernorm } from "./layernorm.ts";
import { dropoutParams, type PartialDropout, PLACES, type Plan, planInF32, THREADS } from "./plan.ts";

// Rows up to which a product is bound by reading w: decoding.
const FEW_ROWS = 8;

/** Whether both widths of a product's weights are multiples of four, as the tiled kernels want. */
export const isTiled = (w: Tensor): boolean => w.shape.every((width) => width % 4 === 0);

/** Whether the kernel for the few rows of decoding makes it. */
export const isFew = ({ x, w, pre, dropout }: Linear): boolean => x.shape[0] <= FEW_ROWS && w.shape[1] % 4 === 0 && !pre && !dropout;

/** y = residual + dropout(f(g(x)·wᵀ + b)) */
export async function planLinear(plan: Plan, op: Linear): Promise<void> {
  if (op.scale && !isFew(op) && !goesByTiles(op)) op = await (await plan.context.late()).inF32(plan, op);
  if (plan.blocks(op.w).length < 2) await planProduct(plan, op);
  else await (await plan.context.late()).splitLinear(plan, op, planProduct);
}

/** Whether the tiled kernels make it, once the norm is made. */
const goesByTiles = ({ x, w }: Linear): boolean => isTiled(w) && x.shape[0] > FEW_ROWS;

async function planProduct(plan: Plan, op: Linear): Promise<void> {
  if (isFew(op)) await planInF32(plan, op, planFewLinear);
  else if (op.norm) await planInF32(plan, op, planNormedLinear);
  else if (goesByTiles(op)) planTiledLinear(plan, op);
  else await planInF32(plan, op, (await plan.context.late()).planAnyLinear);
}

/** Several products in one: w and b are theirs in a row, y holds [rows, own columns] of each in turn. */
export interface JointLinear extends Linear {
  /** The columns at which products begin, the first left out. */
  readonly starts?: readonly number[];
}

function planFewLinear(plan: Plan, op: JointLinear): void {
  const { x, w, scale, b: bias, norm, residual, y, starts = [] } = op, ROWS = x.shape[0], [n, inner] = w.shape, k4 = inner / 4;
  // As many lanes a column as give every core something to do.
  const LANES = [32, 64, 128].find((lanes) => Math.ceil(n * lanes / THREADS) >= PLACES || lanes * 2 > k4) ?? THREADS;
  // With a norm, gain and shift are held beside the weights: registers for half as many.
  const TURN = (norm ? [4, 2] : [8, 4, 2]).find((turn) => k4 % (LANES * turn) === 0) ?? 1;
  plan.dispatch({
    kernel: "linear_few",
    values: { ROWS, LANES, TURN, NORM: !!norm, BIAS: !!bias, GELU: op.activation === "gelu", RESIDUAL: !!residual },
    bindings: { x, gain: norm?.gain, shift: norm?.bias, w, scale, bias, residual, y },
    params: { k4, n, second: starts[0] ?? n, third: starts[1] ?? n },
    grid: [Math.ceil(n * LANES / THREADS), 1, 1],
  });
}

/** For more rows the norm is made first. */
async function planNormedLinear(plan: Plan, { norm, ...op }: Linear): Promise<void> {
  const [rows] = op.x.shape, x = plan.temporary(`${op.x.name} normalised`, ...op.x.shape);
  const mean = plan.temporary("mean", rows), rstd = plan.temporary("rstd", rows);
  planLayernorm(plan, { op: "layernorm", x: op.x, ...norm!, y: x, mean, rstd });
  await planProduct(plan, { ...op, x });
}

/** What every kernel of whole tiles, or of any widths, takes of it. */
export function linearParts(op: Linear) {
  const values = {
    BIAS: !!op.b,
    PRE: !!op.pre,
    GELU: op.activation === "gelu",
    DROPOUT: !!op.dropout,
    RESIDUAL: !!op.residual,
  };
  const bindings = { residual: op.residual, seeds: op.dropout?.seeds, y: op.y };
  return {
    rows: op.x.shape[0],
    out: op.w.shape[0],
    inner: op.w.shape[1],
    values,
    bindings,
    dropout: { ...dropoutParams(op.dropout), whole: (op.dropout as PartialDropout | undefined)?.width ?? op.w.shape[0] },
  };
}

function planTiledLinear(plan: Plan, op: Linear): void {
  const { rows, out, inner, values, bindings, dropout } = linearParts(op);
  const variant = chooseLinear(plan, "linear", linearProblem(rows, inner, out, isPacked(op.x)), rows, out);
  plan.dispatch({
    kernel: "linear",
    values: { ...values, ...variant, MATRICES: plan.context.matrices?.part, STORAGE: storage4(op.x) },
    bindings: { ...bindings, x: op.x, w: op.w, scale: op.scale, b: op.b, pre: op.pre },
    params: { rows, inner4: inner / 4, out4: out / 4, ...dropout },
    grid: [...tilesOf(variant, rows, out), 1],
  });
}
