/**
 * Kernel variants as data: what tuning chooses among, and what is taken without it.
 *
 * @module
 */

import type { Constants } from "../shader/kernels.gen.ts";

/**
 * A variant of the tiled attention kernels: TY·TM rows owned by a workgroup of TX·TY invocations, TX·TN rows streamed at a
 * time. The rest is explained where wgsl/attention.wgsl declares it.
 */
export type AttentionVariant = Omit<Constants<AttentionKernel>, "D4" | "V4" | "STORAGE" | "GROUPED" | "ALIBI" | "SPANS">;

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

/** Variants of the matrix products: TY·TM × TX·TN of the result a workgroup, BK4 vec4 deep. */
export type LinearVariant = Pick<Constants<LinearKernel>, "TX" | "TY" | "TM" | "TN" | "BK4" | "LANES">;

/** The tiled matrix products. */
export const LINEAR_KERNELS = ["linear", "linear_input_grad", "linear_weight_grad"] as const;

/** One of {@linkcode LINEAR_KERNELS}. */
export type LinearKernel = typeof LINEAR_KERNELS[number];

/** Whether a workgroup owns as many rows as it streams at a time. */
export const isSquare = ({ TX, TY, TM, TN }: AttentionVariant): boolean => TY * TM === TX * TN;

const attention = (TX: number, TY: number, TM: number, TN: number, more: Partial<AttentionVariant> = {}): AttentionVariant => ({
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

const linear = (TX: number, TY: number, TM: number, TN: number, more: Partial<LinearVariant> = {}): LinearVariant => ({
  TX,
  TY,
  TM,
  TN,
  BK4: 4,
  LANES: 1,
  ...more,
});

/** Without tuning, largest first; all fit 16 KiB. The first of each is the fastest for large products. */
export const LINEAR_DEFAULTS: Readonly<Record<LinearKernel, readonly LinearVariant[]>> = {
  linear: [linear(8, 8, 8, 8), linear(8, 16, 4, 8), linear(8, 8, 4, 4)],
  linear_input_grad: [linear(8, 16, 8, 8), linear(8, 16, 4, 8), linear(8, 8, 4, 4)],
  linear_weight_grad: [linear(16, 8, 8, 8), linear(8, 16, 4, 8), linear(8, 8, 4, 4)],
};

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

/** Workgroups of a product: tiles of a result of rows × columns. */
export const tilesOf = ({ TX, TY, TM, TN }: LinearVariant, rows: number, columns: number): readonly [number, number] => [
  Math.ceil(columns / (TX * TN)),
  Math.ceil(rows / (TY * TM)),
];
