/**
 * Dispatches of x·wᵀ.
 *
 * @module
 */

import type { Linear, Tensor } from "../../../ops/mod.ts";
import type { Constants } from "../shader/kernels.gen.ts";
import { int8By, isPacked, storage4 } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/tuning.ts";
import { tilesOf } from "../tuning/variants.ts";
import { planEmbedding } from "./embedding.ts";
import { planLayernorm } from "./layernorm.ts";
import { dropoutParams, type PartialDropout, PLACES, type Plan, planInF32 } from "./plan.ts";
import { splitLinear } from "./split.ts";

// Rows up to which a product is bound by reading w: decoding.
const FEW_ROWS = 8;

/** Whether both widths of a product's weights are multiples of four, as the tiled kernels want. */
export const isTiled = (w: Tensor): boolean => w.shape.every((width) => width % 4 === 0);

/** Whether the kernel for the few rows of decoding makes it. */
export const isFew = ({ x, w, pre, dropout }: Linear): boolean => x.shape[0] <= FEW_ROWS && w.shape[1] % 4 === 0 && !pre && !dropout;

/** y = residual + dropout(f(g(x)·wᵀ + b)) */
export async function planLinear(plan: Plan, op: Linear): Promise<void> {
  if (op.scale && !isFew(op) && !goesByTiles(op)) op = await inF32(plan, op);
  await splitLinear(plan, op, planProduct);
}

/** Whether the tiled kernels make it, once the norm is made. */
const goesByTiles = ({ x, w }: Linear): boolean => isTiled(w) && x.shape[0] > FEW_ROWS;

/** With a copy of its int8 weights in f32, for widths that words of four do not fit: the embedding of every row, in order. */
async function inF32(plan: Plan, { scale, ...op }: Linear): Promise<Linear> {
  const rows = Uint32Array.from({ length: op.w.shape[0] }, (_, row) => row), y = plan.temporary(`${op.w.name} in f32`, ...op.w.shape);
  await planEmbedding(plan, { op: "embedding", indices: [plan.constant("rows", rows)], tables: [op.w], scales: [scale!], y });
  return { ...op, w: y };
}

async function planProduct(plan: Plan, op: Linear): Promise<void> {
  if (isFew(op)) await planInF32(plan, op, planFewLinear);
  else if (op.norm) await planInF32(plan, op, planNormedLinear);
  else if (goesByTiles(op)) planTiledLinear(plan, op);
  else await planInF32(plan, op, planAnyLinear);
}

/** Several products in one: w and b are theirs in a row, y holds [rows, own columns] of each in turn. */
export interface JointLinear extends Linear {
  /** The columns at which products begin, the first left out. */
  readonly starts?: readonly number[];
}

function planFewLinear(plan: Plan, op: JointLinear): void {
  const { x, w, scale, b: bias, norm, residual, y, starts = [] } = op,
    int8 = int8By(scale),
    ROWS = x.shape[0],
    [n, inner] = w.shape,
    k4 = inner / 4;
  // As many lanes a column as give every core something to do.
  const LANES = [32, 64, 128].find((lanes) => Math.ceil(n * lanes / 256) >= PLACES || lanes * 2 > k4) ?? 256;
  // With a norm, gain and shift are held beside the weights: registers for half as many.
  const TURN = (norm ? [4, 2] : [8, 4, 2]).find((turn) => k4 % (LANES * turn) === 0) ?? 1;
  plan.dispatch({
    kernel: "linear_few",
    values: { ROWS, LANES, TURN, NORM: !!norm, BIAS: !!bias, GELU: op.activation === "gelu", RESIDUAL: !!residual, ...int8.values },
    bindings: { x, gain: norm?.gain, shift: norm?.bias, w, bias, residual, y, ...int8.bindings },
    params: { k4, n, second: starts[0] ?? n, third: starts[1] ?? n },
    grid: [Math.ceil(n * LANES / 256), 1, 1],
  });
}

/** For more rows the norm is made first. */
async function planNormedLinear(plan: Plan, { norm, ...op }: Linear): Promise<void> {
  const [rows] = op.x.shape, x = plan.temporary(`${op.x.name} normalised`, ...op.x.shape);
  const mean = plan.temporary("mean", rows), rstd = plan.temporary("rstd", rows);
  planLayernorm(plan, { op: "layernorm", x: op.x, ...norm!, y: x, mean, rstd });
  await planProduct(plan, { ...op, x });
}

function linearParts(op: Linear) {
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
  const variant = chooseLinear(plan, "linear", linearProblem(rows, inner, out, isPacked(op.x)), rows, out), int8 = int8By(op.scale);
  plan.dispatch({
    kernel: "linear",
    values: { ...values, ...variant, STORAGE: storage4(op.x), ...int8.values },
    bindings: { ...bindings, x: op.x, w: op.w, b: op.b, pre: op.pre, ...int8.bindings },
    params: { rows, inner4: inner / 4, out4: out / 4, ...dropout },
    grid: [...tilesOf(variant, rows, out), 1],
  });
}

/** Nothing but the product. */
export const PLAIN: Constants<"linear_any"> = {
  BIAS: false,
  PRE: false,
  GELU: false,
  GELU_GRADIENT: false,
  DROPOUT: false,
  RESIDUAL: false,
  ACCUMULATE: false,
};

function planAnyLinear(plan: Plan, op: Linear): void {
  const { rows, out, inner, values, bindings, dropout } = linearParts(op), { x, w } = op;
  const params = { m: rows, k: inner, n: out, am: inner, ak: 1, bk: 1, bn: inner, ...dropout };
  const own = { ...bindings, bias: op.b, z_out: op.pre, a: x, b: w };
  plan.dispatch({ kernel: "linear_any", values: { ...PLAIN, ...values }, bindings: own, params, grid: anyGrid(rows, out) });
}

/** Workgroups of the product of any widths. */
export const anyGrid = (rows: number, columns: number): [number, number, number] => [Math.ceil(columns / 16), Math.ceil(rows / 16), 1];
