/** Calls of the matrix products. @module */

import type { Linear, LinearInputGrad, LinearWeightGrad, Tensor } from "../../../ops/mod.ts";
import { GELU, GELU_GRADIENT, type Kernels, NO_ACTIVATION, PANEL } from "../kernels.gen.ts";
import { type Call, type Floats, Region } from "../plan.ts";
import { dropoutArgs } from "./dropout.ts";
import { normalise } from "./layernorm.ts";
import { BYTES, call, type LowerContext, PIECE, up } from "./lowering.ts";

// Rows of x that linear_few takes: up to there reading w as it lies beats packing it (16: as fast; 32: 20 % slower).
const FEW = 16;

/** What the kernels do with a product. */
type Finish = Pick<
  Kernels["linear"],
  "y" | "pre" | "scale" | "bias" | "residual" | "activation" | "seeds" | "site" | "micro" | "first" | "p"
>;

/** For few rows w as it lies, the norm within; else packed, the norm before it. */
export function lowerLinear(op: Linear, context: LowerContext): Call[] {
  const rows = op.x.shape[0], [out, inner] = op.w.shape, { x, w, norm } = op;
  const finish: Finish = {
    y: op.y,
    pre: op.pre,
    scale: op.scale,
    bias: op.b,
    residual: op.residual,
    activation: op.activation === "gelu" ? GELU : NO_ACTIVATION,
    ...dropoutArgs(op.dropout),
  };
  if (rows <= FEW) {
    const units = Math.ceil(out / PANEL), grain = Math.min(PIECE / (rows * inner), Math.ceil(units / context.threads));
    return [call("linear_few", { units, grain, args: { x, w, rows, inner, out, gain: norm?.gain, shift: norm?.bias, ...finish } })];
  }
  if (!norm) return product(context, "pack_forward", { x, rows, w, inner, out, finish });
  const y = new Region(rows * inner * BYTES), mean = new Region(rows * BYTES), rstd = new Region(rows * BYTES);
  return [
    normalise(rows, { x, ...norm, y, mean, rstd, d: inner }),
    ...product(context, "pack_forward", { x: y, rows, w, inner, out, finish }),
  ];
}

/** dy · w, w packed as it is. */
export function lowerLinearInputGrad({ dy, w, dx, pre, residual }: LinearInputGrad, context: LowerContext): Call[] {
  const [rows, inner] = dy.shape, activation = pre ? GELU_GRADIENT : NO_ACTIVATION;
  const finish: Finish = { y: dx, pre, scale: null, bias: null, residual, activation, ...dropoutArgs() };
  return product(context, "pack_backward", { x: dy, rows, w, inner, out: w.shape[1], finish });
}

/** A product y [rows, out] = x [rows, inner] · B. */
interface Product {
  readonly x: Floats;
  readonly rows: number;
  readonly w: Tensor;
  readonly inner: number;
  readonly out: number;
  readonly finish: Finish;
}

/**
 * B is w or its transpose as `pack` says.
 * Blocks start large, for each reads its rows and panels once, and shrink until every thread has a few.
 */
function product(
  { threads }: LowerContext,
  pack: "pack_forward" | "pack_backward",
  { x, rows, w, inner, out, finish }: Product,
): Call[] {
  const all = Math.ceil(out / PANEL);
  let blockRows = 64, blockPanels = Math.min(all, 32);
  const blocks = () => Math.ceil(rows / blockRows) * Math.ceil(all / blockPanels);
  while (blocks() < 4 * threads && (blockRows > 16 || blockPanels > 4)) {
    if (blockRows > 32 || blockPanels <= 4) blockRows /= 2;
    else blockPanels = Math.ceil(blockPanels / 2);
  }
  const panels = new Region(all * inner * PANEL * BYTES), [wOut, wInner] = w.shape;
  return [
    call(pack, { units: all, grain: PIECE / (PANEL * inner), args: { w, scale: finish.scale, panels, out: wOut, inner: wInner } }),
    call("linear", {
      units: blocks(),
      grain: PIECE * 8 / (blockRows * blockPanels * PANEL * inner),
      args: { x, panels, rows, inner, out, blockRows, blockPanels, ...finish },
    }),
  ];
}

/** Blocks of dw, as large as leaves every thread a few. */
export function lowerLinearWeightGrad({ dy, x, dw, db, accumulate }: LinearWeightGrad, { threads }: LowerContext): Call[] {
  const [rows, out] = dy.shape, inner = x.shape[1];
  let height = Math.min(64, up(out, 8)), width = Math.min(128, up(inner, 8));
  const blocks = () => Math.ceil(out / height) * Math.ceil(inner / width);
  while (blocks() < 4 * threads && (height > 16 || width > 32)) {
    if (width > 32 && width >= height) width = up(width / 2, 8);
    else height = up(height / 2, 8);
  }
  return [call("linear_weight_grad", { units: blocks(), args: { dy, x, dw, db, rows, out, inner, height, width, accumulate } })];
}
