/**
 * Kernel variants as data: what is taken without tuning.
 *
 * @module
 */

import type { Constants } from "../shader/kernels.gen.ts";

/**
 * A variant of the tiled attention kernels: TY·TM rows owned by a workgroup of TX·TY invocations, TX·TN rows streamed at a
 * time. The rest is explained where wgsl/attention.wgsl declares it. Where MATRIX is not 0 it is of the kernels by subgroup matrices, and TY are
 * its subgroups.
 */
export type AttentionVariant = Omit<Constants<AttentionKernel>, "D4" | "V4" | "STORAGE" | "GROUPED" | "ALIBI" | "SPANS" | "MATRICES">;

/** The tiled attention kernels. */
export const ATTENTION_KERNELS = [
  "attention_forward",
  "attention_backward_dq",
  "attention_backward_dk",
  "attention_backward_dv",
  "attention_backward_dkv",
] as const;

/** One of {@linkcode ATTENTION_KERNELS}. */
export type AttentionKernel = typeof ATTENTION_KERNELS[number];

/**
 * Variants of the matrix products: TY·TM × TX·TN of the result a workgroup, BK4 vec4 deep. TX·TY are its invocations, or where MATRIX is not
 * 0 its subgroups of LANES invocations, which multiply matrices of MATRIX rows and columns with AHEAD tiles on their way.
 */
export type LinearVariant = Pick<Constants<LinearKernel>, "TX" | "TY" | "TM" | "TN" | "BK4" | "LANES" | "MATRIX" | "AHEAD">;

/** The tiled matrix products. */
export const LINEAR_KERNELS = ["linear", "linear_input_grad", "linear_weight_grad"] as const;

/** One of {@linkcode LINEAR_KERNELS}. */
export type LinearKernel = typeof LINEAR_KERNELS[number];

/** Whether a workgroup owns as many rows as it streams at a time. */
export const isSquare = ({ TX, TY, TM, TN }: AttentionVariant): boolean => TY * TM === TX * TN;

/** An attention variant, by its sizes and what it has otherwise. */
export const attention = (TX: number, TY: number, TM: number, TN: number, more: Partial<AttentionVariant> = {}): AttentionVariant => ({
  TX,
  TY,
  TM,
  TN,
  LANES: 1,
  OWN_A: 0,
  OWN_B: 0,
  SPARE: 0,
  TURN: 2,
  SHARED: 0,
  BITS: 0,
  KEEP: 0,
  MATRIX: 0,
  ...more,
});

/**
 * Without tuning, largest first. The first is for long rows, where it reads the other side least often; it has no room for dk and dv
 * together, which the second makes faster than the first one after the other. Narrow bands waste what is outside them: they take the
 * third, and the fifth for dk and dv together, which shares memory so that more workgroups run at a time. The last fits 16 KiB of workgroup
 * memory for every head width up to 128.
 */
export const ATTENTION_DEFAULTS: readonly AttentionVariant[] = [
  attention(8, 32, 4, 8),
  attention(8, 16, 4, 8, { SPARE: 1 }),
  attention(8, 16, 4, 4, { SPARE: 1, TURN: 4 }),
  attention(8, 16, 4, 4),
  attention(8, 8, 4, 4, { SHARED: 1 }),
  attention(4, 4, 4, 4),
];

/** A variant of the products, by its sizes. */
export const linear = (TX: number, TY: number, TM: number, TN: number, more: Partial<LinearVariant> = {}): LinearVariant => ({
  TX,
  TY,
  TM,
  TN,
  BK4: 4,
  LANES: 1,
  MATRIX: 0,
  AHEAD: 1,
  ...more,
});

/** Without tuning, largest first; all fit 16 KiB. The first of each is the fastest for large products. */
export const LINEAR_DEFAULTS: Readonly<Record<LinearKernel, readonly LinearVariant[]>> = {
  linear: [linear(8, 8, 8, 8), linear(8, 16, 4, 8), linear(8, 8, 4, 4)],
  linear_input_grad: [linear(8, 16, 8, 8), linear(8, 16, 4, 8), linear(8, 8, 4, 4)],
  linear_weight_grad: [linear(16, 8, 8, 8), linear(8, 16, 4, 8), linear(8, 8, 4, 4)],
};

/** Invocations of a workgroup. */
export const invocationsOf = ({ TX, TY, MATRIX, LANES }: Pick<LinearVariant, "TX" | "TY" | "MATRIX" | "LANES">): number =>
  TX * TY * (MATRIX ? LANES : 1);

/** Workgroups of a product: tiles of a result of rows × columns. */
export const tilesOf = ({ TX, TY, TM, TN }: LinearVariant, rows: number, columns: number): readonly [number, number] => [
  Math.ceil(columns / (TX * TN)),
  Math.ceil(rows / (TY * TM)),
];
