/**
 * Dispatches of the matrix products.
 *
 * @module
 */

import type { Linear, LinearInputGrad, LinearWeightGrad, Tensor } from "../../../ops/mod.ts";
import type { Constants } from "../shader/kernels.gen.ts";
import { bindable, int8By, isPacked, roundUp, storage4, storageOf, valueWidth } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/tuning.ts";
import { tilesOf } from "../tuning/variants.ts";
import { planEmbedding } from "./embedding.ts";
import { planLayernorm } from "./layernorm.ts";
import { dropoutParams, type PartialDropout, PLACES, type Plan, planInF32 } from "./plan.ts";
import { planReduce, stripsOf } from "./reduce.ts";
import { splitInputGrad, splitLinear, splitWeightGrad } from "./split.ts";

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
const PLAIN: Constants<"linear_any"> = {
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

const anyGrid = (rows: number, columns: number): [number, number, number] => [Math.ceil(columns / 16), Math.ceil(rows / 16), 1];

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

/** dw (+)= dyᵀ·x; db (+)= column sums of dy */
export async function planLinearWeightGrad(plan: Plan, op: LinearWeightGrad): Promise<void> {
  await splitWeightGrad(plan, op, planWeightGrad);
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
    values: { ACCUMULATE: op.accumulate && !partials, ...variant, STORAGE: storage4(op.dy) },
    bindings: { dy: op.dy, x: op.x, dw: partials ?? op.dw },
    params: { rows, split, out4: out / 4, in4: inner / 4 },
    grid: [x, y, splits],
  });
  if (!partials) return;
  const elements = out * inner;
  planReduce(plan, { partials, count: splits, stride: elements, offset: 0, y: op.dw, elements, accumulate: op.accumulate });
}
