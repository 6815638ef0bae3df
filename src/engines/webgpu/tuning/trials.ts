/**
 * Kernel variants as data: what tuning chooses among.
 *
 * @module
 */

import { attentionByMatrices, linearByMatrices, type MatrixSizes, moreByMatrices } from "./matrix_variants.ts";
import { attention, ATTENTION_DEFAULTS, type AttentionVariant, isSquare, linear, type LinearVariant } from "./variants.ts";

/**
 * Every variant that tuning tries, for every kernel and width that it fits, in both orders: by a set's parts, and with BITS. Square ones
 * also with KEEP, for dk and dv's kernel alone. What no large GPU chose is not here, such as 8 × 8 invocations of 8 × 4 scores and more: too few
 * are in flight.
 */
export const ATTENTION_VARIANTS: readonly AttentionVariant[] = /* @__PURE__ */ (() =>
  [
    ...ATTENTION_DEFAULTS.slice(0, 4),
    attention(8, 32, 4, 8, { TURN: 1 }),
    attention(8, 32, 4, 4, { SPARE: 1 }),
    attention(8, 16, 4, 8),
    attention(8, 16, 4, 8, { SPARE: 1, LANES: 0 }),
    attention(8, 16, 4, 8, { OWN_A: 1, TURN: 1 }),
    attention(8, 16, 8, 4, { SPARE: 1 }),
    attention(8, 16, 4, 4, { SPARE: 1, TURN: 1 }),
    attention(8, 16, 4, 4, { SPARE: 1, LANES: 0 }),
    attention(8, 8, 8, 4, { SPARE: 1 }),
    attention(8, 8, 4, 4, { SPARE: 1, SHARED: 1 }),
    attention(4, 32, 4, 4, { SPARE: 1 }),
  ].flatMap((variant) => isSquare(variant) ? [variant, { ...variant, KEEP: 1 }] : [variant])
    .flatMap((variant) => [variant, { ...variant, BITS: 1 }]))();

/**
 * Every variant of the matrix products that tuning tries. What no large GPU chose is not here: 128 × 128 by 256 invocations 16 deep, and two
 * tiles in turn for a barrier less.
 */
export const LINEAR_VARIANTS: readonly LinearVariant[] = /* @__PURE__ */ (() => [
  linear(8, 8, 8, 8),
  linear(8, 16, 8, 8),
  linear(16, 8, 8, 8),
  linear(8, 16, 4, 8),
  linear(8, 16, 4, 8, { BK4: 8 }),
  linear(16, 16, 4, 8),
  linear(8, 32, 4, 8),
  linear(16, 16, 8, 8, { BK4: 8 }),
  linear(8, 8, 4, 4),
])();

/** Every variant by subgroup matrices that tuning tries, of devices that have them in these sizes. */
export function matrixTrials(sizes: MatrixSizes | undefined): { linear: readonly LinearVariant[]; attention: readonly AttentionVariant[] } {
  if (!sizes) return { linear: [], attention: [] };
  const { MATRIX, LANES } = sizes, own = { MATRIX, LANES }, more = moreByMatrices(own);
  const { linear, linear_weight_grad } = linearByMatrices(own);
  return {
    linear: [...linear, ...linear_weight_grad.slice(0, 1), ...more.linear],
    attention: [...attentionByMatrices(own), ...more.attention].flatMap((variant) => [variant, { ...variant, BITS: 1 }]),
  };
}
