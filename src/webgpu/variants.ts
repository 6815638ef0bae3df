/**
 * Kernel variants as data: what tuning chooses among, and what is taken without it.
 *
 * @module
 */

/**
 * A variant of the tiled attention kernels: TY·TM rows owned by a workgroup of TX·TY invocations, TX·TN rows streamed at a
 * time. The rest is explained where wgsl/attention.wgsl declares it.
 */
export interface AttentionVariant {
  readonly TX: number;
  readonly TY: number;
  readonly TM: number;
  readonly TN: number;
  readonly LANES: number;
  readonly OWN_A: number;
  readonly OWN_B: number;
  readonly SPARE: number;
  readonly TURN: number;
}

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
export interface LinearVariant {
  readonly TX: number;
  readonly TY: number;
  readonly TM: number;
  readonly TN: number;
  readonly BK4: number;
  readonly LANES: number;
}

/** The tiled matrix products. */
export const LINEAR_KERNELS = ["linear", "linear_input_grad", "linear_weight_grad"] as const;

/** One of {@linkcode LINEAR_KERNELS}. */
export type LinearKernel = typeof LINEAR_KERNELS[number];

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
  ...more,
});

const own = { OWN_A: 1, SPARE: 1 }, both = { OWN_A: 1, OWN_B: 1, SPARE: 1 };

/** Every variant that tuning tries, for every kernel and width that it fits. */
export const ATTENTION_VARIANTS: readonly AttentionVariant[] = [
  attention(8, 8, 8, 4, { SPARE: 1 }),
  attention(8, 16, 4, 8, { SPARE: 1 }),
  attention(8, 16, 4, 8, { SPARE: 1, TURN: 1 }),
  attention(8, 16, 4, 8, { SPARE: 1, TURN: 1, LANES: 0 }),
  attention(8, 16, 4, 8, { SPARE: 1, TURN: 1, OWN_A: 1 }),
  attention(8, 16, 4, 8, { SPARE: 1, TURN: 1, OWN_A: 1, OWN_B: 1 }),
  attention(8, 8, 4, 8, { SPARE: 1, TURN: 1 }),
  attention(8, 32, 4, 8, { SPARE: 1, TURN: 1 }),
  attention(8, 8, 8, 8, { SPARE: 1, TURN: 1 }),
  attention(8, 16, 8, 8, { SPARE: 1, TURN: 1 }),
  attention(8, 16, 8, 4, { SPARE: 1 }),
  attention(8, 16, 8, 4, { SPARE: 1, TURN: 1 }),
  attention(8, 8, 8, 4, { SPARE: 1, TURN: 1 }),
  attention(8, 8, 8, 4, { SPARE: 1, TURN: 1, OWN_A: 1 }),
  attention(8, 8, 8, 4, { SPARE: 1, TURN: 1, OWN_A: 1, OWN_B: 1 }),
  attention(8, 16, 4, 4, { SPARE: 1, TURN: 1 }),
  attention(8, 16, 4, 4, { SPARE: 1, OWN_A: 1, TURN: 1 }),
  attention(8, 32, 4, 4, { SPARE: 1, TURN: 1 }),
  attention(8, 8, 4, 4, { SPARE: 1, TURN: 1 }),
  attention(8, 8, 4, 4, { SPARE: 1, TURN: 1, OWN_A: 1, OWN_B: 1 }),
];

/**
 * Without tuning: largest first. The first is the fastest, or within 6 % of it, for forward, dq, dk and dv of dense, fixed
 * and strided at n = 12,288 on an H200 (128 rows owned: 5 % slower on fixed, 40 % on strided). The last fits 16 KiB of
 * workgroup memory for every head width up to 128.
 */
export const ATTENTION_DEFAULTS: readonly AttentionVariant[] = [
  attention(8, 8, 8, 4, { SPARE: 1 }),
  attention(8, 8, 8, 4),
  attention(8, 16, 4, 4),
  attention(8, 8, 4, 4),
  attention(4, 4, 4, 4),
];

/** Workgroup memory of a kernel in bytes: as the arrays in its file are declared. */
export function attentionBytes(kernel: AttentionKernel, tile: AttentionVariant, d4: number, v4: number): number {
  const { TX, TY, TM, TN, OWN_A, OWN_B, SPARE } = tile,
    groups = Math.max(TX, TY),
    split = Math.max(1, Math.floor(TY / TX)),
    eights = (width: number) => Math.ceil(width / 8);
  const d = TN * eights(d4), v = TN * eights(v4), p = TM * TN / 4;
  const owned = (flag: number, width: number) => flag ? TY * TM * eights(width) : 0;
  const lines = {
    attention_forward: () => groups * Math.max(Math.ceil(d / split), p) + TX * v + owned(OWN_A, d4) + (SPARE ? TY * TM / 4 * TX : 0) / 8,
    attention_backward_dq: () => TX * d + groups * Math.max(Math.ceil(v / split), p) + owned(OWN_A, d4) + owned(OWN_B, v4),
    attention_backward_dk: () => TX * d + groups * Math.max(Math.ceil(v / split), p) + owned(OWN_A, d4) + owned(OWN_B, v4),
    attention_backward_dv: () => groups * Math.max(Math.ceil(d / split), p) + TX * v + owned(OWN_A, d4),
    attention_backward_dkv: () => TX * d + TX * v + TY * p + owned(OWN_A, d4) + owned(OWN_B, v4),
  };
  return 128 * lines[kernel]();
}

const linear = (TX: number, TY: number, TM: number, TN: number, BK4 = 4, LANES = 1): LinearVariant => ({ TX, TY, TM, TN, BK4, LANES });

/** Every variant of the matrix products that tuning tries. */
export const LINEAR_VARIANTS: readonly LinearVariant[] = [
  linear(16, 16, 8, 8),
  linear(16, 16, 8, 8, 4, 0),
  linear(16, 16, 8, 8, 2),
  linear(16, 8, 8, 8),
  linear(16, 8, 8, 8, 2),
  linear(8, 16, 8, 8),
  linear(8, 16, 8, 8, 2),
  linear(8, 8, 8, 8),
  linear(8, 8, 8, 8, 2),
  linear(16, 16, 4, 8),
  linear(8, 8, 4, 8),
  linear(8, 8, 4, 4),
];

/**
 * Without tuning: tiles of 64 × 128, 64 × 64 and 32 × 32, 16 deep; all fit 16 KiB. Of a feed-forward layer of the enwik8
 * preset on an H200 the first takes 1.14 ms where 128 × 128 takes 2.23; of 4096³ it is the fastest, 4.53 ms.
 */
export const LINEAR_DEFAULTS: readonly LinearVariant[] = [
  linear(16, 8, 8, 8),
  linear(8, 8, 8, 8),
  linear(8, 8, 4, 4),
];

/** Workgroup memory of a matrix product in bytes: as the arrays in its file are declared. */
export function linearBytes(kernel: LinearKernel, { TX, TY, TM, TN, BK4 }: LinearVariant): number {
  const padded = (groups: number, each: number) => groups * (each * BK4 + 1),
    straight = (groups: number, each: number) => groups * each * BK4;
  const lines = {
    linear: padded(TY, TM) + padded(TX, TN),
    linear_input_grad: padded(TY, TM) + straight(TX, TN),
    linear_weight_grad: straight(TY, TM) + straight(TX, TN),
  };
  return 16 * lines[kernel];
}
