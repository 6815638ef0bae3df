/** Calls of layer norm. @module */

import type { LayerNorm, LayerNormBackward, Tensor } from "../../../ops/mod.ts";
import { LAYERNORM_COLUMNS } from "../kernels.gen.ts";
import { type Call, type Floats, Region } from "../plan.ts";
import { BYTES, call, PIECE } from "./lowering.ts";

// Rows that share their part of dGain and dBias. Fixed, so that sums do not depend on the number of threads.
const CHUNK = 32;

/** Rows of x normalised, whoever keeps the results. */
export function normalise(
  rows: number,
  args: { x: Tensor; gain: Tensor; bias: Tensor; y: Floats; mean: Floats; rstd: Floats; d: number },
): Call {
  return call("layernorm", { units: rows, grain: PIECE / args.d, args });
}

/** A row at a time. */
export function lowerLayernorm({ x, gain, bias, y, mean, rstd }: LayerNorm): Call[] {
  const [rows, d] = x.shape;
  return [normalise(rows, { x, gain, bias, y, mean, rstd, d })];
}

/** dx by rows with a share of dGain and dBias a chunk of rows; then the sums over the shares. */
export function lowerLayernormBackward(op: LayerNormBackward): Call[] {
  const [rows, d] = op.x.shape, chunks = Math.ceil(rows / CHUNK), partial = new Region(chunks * d * 2 * BYTES);
  const { x, gain, mean, rstd, dy, residual, dx, dGain, dBias, accumulate } = op;
  return [
    call("layernorm_backward", {
      units: chunks,
      grain: PIECE / d / CHUNK,
      args: { x, gain, mean, rstd, dy, residual, dx, partial, rows, d, chunk: CHUNK },
    }),
    call("layernorm_backward_sum", {
      units: Math.ceil(d / LAYERNORM_COLUMNS),
      grain: PIECE / (2 * LAYERNORM_COLUMNS) / chunks,
      args: { partial, dGain, dBias, chunks, d, accumulate },
    }),
  ];
}
