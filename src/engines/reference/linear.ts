/** Linear layers and their gradients in float64. @module */

import { GELU_SLOPE, type Linear, type LinearInputGrad, type LinearWeightGrad } from "../../ops/mod.ts";
import { dropoutFactor } from "./dropout.ts";
import type { Values } from "./values.ts";
import { normalise } from "./layernorm.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** f(x) = x·sigmoid(1.702x) (section 5.3) */
export function gelu(x: number): number {
  return x * sigmoid(GELU_SLOPE * x);
}

/** f′(x) */
function geluGrad(x: number): number {
  const s = sigmoid(GELU_SLOPE * x);
  return s + GELU_SLOPE * x * s * (1 - s);
}

/** z = g(x)·wᵀ + b; y = residual + dropout(f(z)) */
export function linear(op: Linear, values: Values): void {
  const x = op.norm ? normalise(values(op.x), values(op.norm.gain), values(op.norm.bias)).y : values(op.x),
    w = values(op.w),
    y = values(op.y),
    scale = op.scale && values(op.scale),
    b = op.b && values(op.b);
  const pre = op.pre && values(op.pre), residual = op.residual && values(op.residual);
  const rows = op.x.shape[0], [out, inner] = op.w.shape;
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < out; o++) {
      const at = r * out + o;
      let z = 0;
      for (let c = 0; c < inner; c++) z += x[r * inner + c] * w[o * inner + c];
      if (scale) z *= scale[o];
      if (b) z += b[o];
      if (pre) pre[at] = z;
      if (op.activation === "gelu") z = gelu(z);
      if (op.dropout) z *= dropoutFactor(op.dropout, at, values);
      y[at] = (residual ? residual[at] : 0) + z;
    }
  }
}

/** dx = residual + (dy·w) ∘ f′(pre) */
export function linearInputGrad(op: LinearInputGrad, values: Values): void {
  const dy = values(op.dy), w = values(op.w), dx = values(op.dx);
  const pre = op.pre && values(op.pre), residual = op.residual && values(op.residual);
  const rows = op.dy.shape[0], [out, inner] = op.w.shape;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < inner; c++) {
      const at = r * inner + c;
      let g = 0;
      for (let o = 0; o < out; o++) g += dy[r * out + o] * w[o * inner + c];
      if (pre) g *= geluGrad(pre[at]);
      dx[at] = (residual ? residual[at] : 0) + g;
    }
  }
}

/** dw (+)= dyᵀ·x; db (+)= column sums of dy */
export function linearWeightGrad(op: LinearWeightGrad, values: Values): void {
  const dy = values(op.dy), x = values(op.x), dw = values(op.dw), db = op.db && values(op.db);
  const [rows, out] = op.dy.shape, inner = op.x.shape[1];
  if (!op.accumulate) {
    dw.fill(0);
    db?.fill(0);
  }
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < out; o++) {
      const g = dy[r * out + o];
      if (db) db[o] += g;
      for (let c = 0; c < inner; c++) dw[o * inner + c] += g * x[r * inner + c];
    }
  }
}
