/**
 * Subgroup matrices: what a device has of them, or what stands in for them in tests.
 *
 * @module
 */

import { KernelError } from "../../base/errors.ts";
import { type Attention, type AttentionBackward, headsOf } from "../../ops/mod.ts";
import type { Limits } from "./device.ts";
import { addKernels } from "./shader/link.ts";
import { memoryOf } from "./shader/memory.ts";
import type { Pipelines } from "./shader/pipelines.ts";
import type { Matrices, Values } from "./shader/specialise.ts";
import { isPacked } from "./storage.ts";
import { attentionByMatrices, linearByMatrices, type MatrixSizes } from "./tuning/matrix_variants.ts";
import { type AttentionKernel, type AttentionVariant, invocationsOf, type LinearKernel, type LinearVariant } from "./tuning/variants.ts";

/** What multiplies matrices of f16 and sums them in f32. */
export interface MatrixUnits extends MatrixSizes {
  readonly part: Matrices;
  /** Variants of each product, without tuning, largest first. */
  readonly linear: Readonly<Record<LinearKernel, readonly LinearVariant[]>>;
  /** How many rounds of workgroups a product by that variant wants at least, so that what is left of the last is no great part. */
  rounds(variant: LinearVariant): number;
  /** The variants of an attention kernel, those without tuning or some given, that fit an operation and a device; none where others do it. */
  attention(
    kernel: AttentionKernel,
    op: Attention | AttentionBackward,
    limits: Limits,
    given?: readonly AttentionVariant[],
  ): readonly AttentionVariant[];
  /** The constants of an attention kernel by matrices. */
  values(variant: AttentionVariant): Values;
}

/** The attention kernels that subgroup matrices have. */
const KERNELS: readonly AttentionKernel[] = [
  "attention_forward",
  "attention_backward_dq",
  "attention_backward_dk",
  "attention_backward_dv",
];

function unitsFor(part: Matrices, sizes: MatrixSizes): MatrixUnits {
  const values = ({ TX, TY, TM, TN, LANES, MATRIX, BITS }: AttentionVariant) => ({ TX, TY, TM, TN, LANES, MATRIX, BITS, MATRICES: part });
  // What stands in for them has arrays of its own beside, of which few devices hold those of wide heads; and a software GPU compiles it for a
  // minute where a tile has more than one matrix of keys.
  const all = part === "plain" ? attentionByMatrices(sizes, 4, sizes.MATRIX) : attentionByMatrices(sizes);
  return {
    ...sizes,
    part,
    values,
    linear: linearByMatrices(sizes),
    // The largest has the registers of two at a time, so that a second round half empty costs a quarter: in a step, where each product waits for
    // the one before, 12,288 × 512 × 512 took 78 µs, and 71 by the next; with dropout and a residual 110 and 90.
    rounds: ({ MATRIX, TM, TN }) => MATRIX > 0 && TM * TN >= 64 * 64 ? 2 : 1,
    attention(kernel, op, limits, given = all) {
      const { d, dv, group } = headsOf(op), isWhole = d % sizes.MATRIX === 0 && dv % sizes.MATRIX === 0;
      // A word tells which of 32 keys a query has.
      const isTold = sizes.LANES <= 32;
      if (!KERNELS.includes(kernel) || !isPacked(op.q) || !isWhole || !isTold || group > 1 || op.slopes || op.spans) return [];
      return given.filter((variant) =>
        memoryOf(`${kernel}_matrices`, { ...values(variant), D4: d / 4, V4: dv / 4 }) <= limits.maxComputeWorkgroupStorageSize &&
        invocationsOf(variant) <= limits.maxComputeInvocationsPerWorkgroup
      );
    },
  };
}

/** A configuration as adapters list them; not in the types yet. */
interface Configuration {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Sides of matrices that kernels have variants for, the largest first. */
const SIDES = [16, 8];

/** What a device says that it has: square matrices of f16 with sums in f32, and subgroups of one size. */
function unitsOf(device: GPUDevice, info: GPUAdapterInfo | undefined): MatrixUnits | undefined {
  const needed = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"];
  if (!info || !needed.every((feature) => device.features.has(feature as GPUFeatureName))) return;
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs: all = [] } = info as GPUAdapterInfo & {
    subgroupMatrixConfigs?: Iterable<Configuration>;
  };
  const has = (side: number) =>
    [...all].some(({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" && M === side && N === side && K === side
    );
  const side = SIDES.find(has);
  if (side && subgroupMinSize === subgroupMaxSize) return unitsFor("subgroup", { MATRIX: side, LANES: subgroupMaxSize });
}

/**
 * What kernels may multiply by, once a product by it has compiled: a device that refuses that does without.
 *
 * @param asked `auto`, `plain` for what stands in for it, or `none`
 */
export async function findMatrices(
  device: GPUDevice,
  info: GPUAdapterInfo | undefined,
  pipelines: Pipelines,
  asked: "auto" | "plain" | "none",
): Promise<MatrixUnits | undefined> {
  // What stands in for them is as most devices that have them: 16 × 16 by 32 invocations.
  const found = asked === "plain" ? unitsFor("plain", { MATRIX: 16, LANES: 32 }) : asked === "none" ? undefined : unitsOf(device, info);
  if (!found) return;
  addKernels((await import("./shader/wgsl_matrices.gen.ts")).WGSL);
  try {
    await pipelines.get("linear", { ...found.linear.linear.at(-1)!, MATRICES: found.part, STORAGE: "f16x4" });
    return found;
  } catch (error) {
    if (error instanceof KernelError && asked === "auto") return;
    throw error;
  }
}
