/**
 * Variants of the kernels by subgroup matrices, as data: what is taken without tuning, and what tuning chooses among.
 *
 * @module
 */

import { attention, type AttentionVariant, linear, type LinearKernel, type LinearVariant } from "./variants.ts";

/** Matrices of MATRIX rows and columns by subgroups of LANES invocations. */
export interface MatrixSizes {
  readonly MATRIX: number;
  readonly LANES: number;
}

/**
 * The products, largest first. With 64 × 64 a subgroup, a matrix that is loaded is multiplied four times. dyᵀ·x, both of whose operands are
 * f16 and go across the sum, has registers for two tiles on their way with 64 × 32: 139 TFLOP/s for 116.
 */
export function linearByMatrices(sizes: MatrixSizes): Readonly<Record<LinearKernel, readonly LinearVariant[]>> {
  const of = (TM: number, TN: number, AHEAD = 1) => linear(2, 2, TM, TN, { BK4: 8, AHEAD, ...sizes });
  const weights = [of(64, 64), of(64, 32), of(32, 32)];
  return { linear: weights, linear_input_grad: weights, linear_weight_grad: [of(64, 32, 2), of(32, 32)] };
}

/**
 * Attention: a row per invocation, by workgroups of four subgroups. Of one and of two subgroups the same text gave wrong numbers where it was
 * measured (docs/lab/matrices.md), whatever the pattern, and right ones where plain code stands in for the matrices; why is not known.
 */
export const attentionByMatrices = (sizes: MatrixSizes, TY = 4, TN = 32): readonly AttentionVariant[] => [
  attention(1, TY, sizes.LANES, TN, sizes),
];

/** More of them that tuning tries, and passes over where they compute something else. */
export const moreByMatrices = (sizes: MatrixSizes): { linear: readonly LinearVariant[]; attention: readonly AttentionVariant[] } => ({
  linear: [
    linear(2, 2, 32, 64, { BK4: 8, ...sizes }),
    linear(2, 2, 32, 64, { BK4: 8, AHEAD: 2, ...sizes }),
    linear(2, 2, 64, 64, { BK4: 16, ...sizes }),
    linear(2, 4, 64, 32, { BK4: 8, ...sizes }),
  ],
  attention: [attention(1, 8, sizes.LANES, 32, sizes), attention(2, 4, sizes.LANES, 32, sizes)],
});

/** The sizes that devices have: NVIDIA's, AMD's and Intel's; Apple's. */
export const MATRIX_SIZES: readonly MatrixSizes[] = [16, 8].flatMap((MATRIX) => [32, 64, 16].map((LANES) => ({ MATRIX, LANES })));
