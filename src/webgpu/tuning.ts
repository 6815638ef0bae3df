/**
 * Which kernel variant a problem gets: what was measured on this device for the nearest problem, or a rule by the device's limits
 * and the problem's size.
 *
 * @module
 */

import { KernelError } from "../errors.ts";
import type { Attention, AttentionBackward } from "../ops.ts";
import type { AttentionSet } from "../pattern.ts";
import { isPacked, type Plan } from "./plan.ts";
import {
  ATTENTION_DEFAULTS,
  attentionBytes,
  type AttentionKernel,
  type AttentionVariant,
  LINEAR_DEFAULTS,
  linearBytes,
  type LinearKernel,
  type LinearVariant,
} from "./variants.ts";

/** What a problem is to tuning: its kind, on which variants are never shared, and its sizes, of which the nearest is taken. */
export interface Problem {
  /** Such as `strided 64/64 f32`. */
  readonly kind: string;
  /** All positive. */
  readonly sizes: readonly number[];
}

/** A variant chosen for a kernel and problem. */
export interface Choice extends Problem {
  /** Kernel file. */
  readonly kernel: string;
  /** Its constants. */
  readonly variant: Readonly<Record<string, number>>;
  /** GPU milliseconds measured. */
  readonly ms: number;
}

/** What was measured on one device, as JSON. */
export interface Tuning {
  /** Changes when variants change their meaning. */
  readonly version: 1;
  /** The engine's description of the device. */
  readonly device: string;
  /** The best of each kernel and problem. `attention_backward_dkv` is here only where it was faster than dk and dv apart. */
  readonly choices: readonly Choice[];
}

const kindOfSet = (set: AttentionSet) => set.kind;
const extent = (set: AttentionSet) => Math.max(1, "l" in set ? set.l : "block" in set ? set.block : 1);

/** An attention operation as a problem. */
export function attentionProblem(op: Attention | AttentionBackward): Problem {
  const { sets, n, q, v } = op, kinds = [...new Set(sets.map(kindOfSet))].sort().join("+");
  return {
    kind: `${kinds} ${q.shape[1] / sets.length}/${v.shape[1] / sets.length} ${isPacked(q) ? "f16" : "f32"}`,
    sizes: [n, Math.max(...sets.map(extent))],
  };
}

/** A matrix product as a problem. */
export function linearProblem(rows: number, inner: number, columns: number, packed: boolean): Problem {
  return { kind: packed ? "f16" : "f32", sizes: [rows, inner, columns] };
}

function tuned(tuning: Tuning | undefined, kernel: string, { kind, sizes }: Problem): Choice | undefined {
  let best: Choice | undefined, least = Infinity;
  for (const choice of tuning?.choices ?? []) {
    if (choice.kernel !== kernel || choice.kind !== kind) continue;
    const distance = choice.sizes.reduce((sum, size, at) => sum + Math.abs(Math.log(size / sizes[at])), 0);
    if (distance < least) [best, least] = [choice, distance];
  }
  return best;
}

// Workgroups below which a smaller tile is taken, so that a large GPU has something to do.
const FILL = 256;

/** Whether a device has room for an attention variant. */
export function attentionFits(
  limits: GPUSupportedLimits,
  kernel: AttentionKernel,
  variant: AttentionVariant,
  d4: number,
  v4: number,
): boolean {
  return attentionBytes(kernel, variant, d4, v4) <= limits.maxComputeWorkgroupStorageSize &&
    variant.TX * variant.TY <= limits.maxComputeInvocationsPerWorkgroup;
}

/**
 * The variant of an attention kernel.
 *
 * @throws {KernelError} where no variant fits the device
 */
export function chooseAttention(plan: Plan, kernel: AttentionKernel, op: Attention | AttentionBackward): AttentionVariant {
  const { limits, tiles, tuning } = plan.context, heads = op.sets.length;
  const d4 = Math.ceil(op.q.shape[1] / heads / 4), v4 = Math.ceil(op.v.shape[1] / heads / 4);
  const choice = tiles === "auto" ? tuned(tuning, kernel, attentionProblem(op))?.variant as AttentionVariant | undefined : undefined;
  if (choice && attentionFits(limits, kernel, choice, d4, v4)) return choice;
  const fitting = ATTENTION_DEFAULTS.filter((tile) => attentionFits(limits, kernel, tile, d4, v4)), last = ATTENTION_DEFAULTS.at(-1)!;
  if (fitting.length === 0) {
    throw new KernelError(
      `Cannot run attention with heads of ${d4 * 4} and ${v4 * 4}: the smallest tile needs ${attentionBytes(kernel, last, d4, v4)} bytes ` +
        `of workgroup memory, the device allows ${limits.maxComputeWorkgroupStorageSize}`,
    );
  }
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return fitting[fitting.length - 1];
  // Eight rows of a head wider than 64 do not fit into registers beside their scores, and narrow bands waste tall tiles.
  const isLong = op.sets.some(({ kind }) => kind === "dense" || kind === "fixed" || kind === "summary");
  const rows = Math.max(d4, v4) > 16 ? 4 : 8, band = isLong ? 128 : 64, lines = heads * op.batch;
  const usable = fitting.filter((tile) => tile.TM <= rows && tile.TY * tile.TM <= band && tile.TX === 8);
  return usable.find((tile) => Math.ceil(op.n / (tile.TY * tile.TM)) * lines >= FILL) ?? usable.at(-1) ?? fitting[fitting.length - 1];
}

/** Whether dk and dv are made by one kernel: where that was measured to be faster. */
export function isFused(plan: Plan, op: AttentionBackward): boolean {
  const { tiles, tuning } = plan.context;
  return tiles === "auto" && tuned(tuning, "attention_backward_dkv", attentionProblem(op)) !== undefined;
}

/** Whether a device has room for a variant of the matrix products. */
export function linearFits(limits: GPUSupportedLimits, kernel: LinearKernel, variant: LinearVariant): boolean {
  return linearBytes(kernel, variant) <= limits.maxComputeWorkgroupStorageSize &&
    variant.TX * variant.TY <= limits.maxComputeInvocationsPerWorkgroup;
}

/** The variant of a matrix product whose result has rows × columns, over `splits` of the summed index at most. */
export function chooseLinear(plan: Plan, kernel: LinearKernel, problem: Problem, rows: number, columns: number, splits = 1): LinearVariant {
  const { limits, tiles, tuning } = plan.context;
  const choice = tiles === "auto" ? tuned(tuning, kernel, problem)?.variant as LinearVariant | undefined : undefined;
  if (choice && linearFits(limits, kernel, choice)) return choice;
  const fitting = LINEAR_DEFAULTS.filter((variant) => linearFits(limits, kernel, variant)), last = fitting[fitting.length - 1];
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return last;
  const groups = ({ TX, TY, TM, TN }: LinearVariant) => Math.ceil(rows / (TY * TM)) * Math.ceil(columns / (TX * TN)) * splits;
  return fitting.find((variant) => groups(variant) >= FILL) ?? last;
}
