/**
 * Which kernel variant a problem gets: what was measured on this device for the nearest problem, or a rule by the device's limits
 * and the problem's size.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import { type Attention, type AttentionBackward, headsOf } from "../../../ops/mod.ts";
import type { AttentionSet } from "../../../pattern/sets.ts";
import type { Limits } from "../device.ts";
import { isCheaperInOrder, mayGoInOrder, pairsOfTiles } from "../plan/attention_tables.ts";
import { PLACES, type Plan } from "../plan/plan.ts";
import { memoryOf } from "../shader/memory.ts";
import { attentionProblem, type Problem } from "./problems.ts";
import { type TunedVariant, type Tuning } from "./tuning.ts";
import {
  ATTENTION_DEFAULTS,
  type AttentionKernel,
  type AttentionVariant,
  invocationsOf,
  isSquare,
  LINEAR_DEFAULTS,
  type LinearKernel,
  type LinearVariant,
  tilesOf,
} from "./variants.ts";

// A problem whose sizes differ by more than 8 times, all factors together, is another problem: a tile that is right for 512
// positions is wrong for 12,288.
const FARTHEST = Math.log(8) + 1e-9;

// In which order attention is cheaper turns with a factor of less than 2 in n.
const NEAR = Math.log(2) + 1e-9;

export function tuned(tuning: Tuning | undefined, kernel: string, { kind, sizes }: Problem, least = FARTHEST): TunedVariant | undefined {
  let best: TunedVariant | undefined;
  for (const choice of tuning?.choices ?? []) {
    if (choice.kernel !== kernel || choice.kind !== kind) continue;
    const distance = choice.sizes.reduce((sum, size, at) => sum + Math.abs(Math.log(size / sizes[at])), 0);
    if (distance < least) [best, least] = [choice, distance];
  }
  return best;
}

// Keys or queries at a time for sets without long rows.
const NARROW = 32;

// What a score costs dk and dv's kernel, and dq's with it, in 32 × 32 tiles, in one by 64 × 64. Narrow bands have fewer scores in the small
// ones: about three quarters where the window is 128 wide, nine tenths where it is 256.
const SMALL_COST = 1.13;

/** Whether a device has room for an attention variant. */
export function attentionFits(
  limits: Limits,
  kernel: AttentionKernel,
  variant: AttentionVariant,
  d4: number,
  v4: number,
): boolean {
  return memoryOf(kernel, { ...variant, D4: d4, V4: v4 }) <= limits.maxComputeWorkgroupStorageSize &&
    variant.TX * variant.TY <= limits.maxComputeInvocationsPerWorkgroup;
}

/** Whether queries of some set have keys without end. */
export const hasLongRows = (sets: readonly AttentionSet[]): boolean => sets.some(({ kind }) => /dense|fixed|summary/.test(kind));

/** Which side of the pairs an attention kernel owns. */
export const ownerOf = (kernel: string): "query" | "key" => /forward|_dq/.test(kernel) ? "query" : "key";

/**
 * The variant of an attention kernel. Where nothing near was measured it goes through its sets in the rows' order if that is less
 * work in all and takes less time on a large GPU, and dk and dv's keeps ds for dq, which saves two products of seven.
 *
 * @throws {KernelError} where no variant fits the device
 */
export async function chooseAttention(plan: Plan, kernel: AttentionKernel, op: Attention | AttentionBackward): Promise<AttentionVariant> {
  const { limits, tiles, tuning, inOrder } = plan.context,
    { sets, n, batch } = op,
    tile = await chooseTile(plan, kernel, op),
    open = mayGoInOrder(limits, sets, n);
  if (tiles === "auto" && inOrder === undefined && tuned(tuning, kernel, attentionProblem(op), NEAR)) {
    return { ...tile, BITS: open ? tile.BITS : 0 };
  }
  let bits = open && inOrder;
  if (bits === undefined) {
    const options = { owner: ownerOf(kernel), owned: tile.TY * tile.TM, streamed: tile.TX * tile.TN };
    bits = await plan.once(JSON.stringify([sets, n, batch, options]), () => isCheaperInOrder(sets, n, batch, options));
  }
  return { ...tile, BITS: Number(bits), KEEP: Number(kernel === "attention_backward_dkv") };
}

/** Whether a tile is for more than the smallest devices; dk and dv together keep ds in square ones only. */
export const isUsable = (tile: AttentionVariant, together: boolean): boolean => tile.TX === 8 && (!together || isSquare(tile));

async function chooseTile(plan: Plan, kernel: AttentionKernel, op: Attention | AttentionBackward): Promise<AttentionVariant> {
  const { limits, tiles, tuning } = plan.context, { sets, n } = op, { heads, d, dv } = headsOf(op);
  const d4 = Math.ceil(d / 4), v4 = Math.ceil(dv / 4);
  const choice = tiles === "auto" ? tuned(tuning, kernel, attentionProblem(op))?.variant as AttentionVariant | undefined : undefined;
  const byMatrices = (given?: readonly AttentionVariant[]) => plan.context.matrices?.attention(kernel, op, limits, given)[0];
  if (choice && (choice.MATRIX ? byMatrices([choice]) : attentionFits(limits, kernel, choice, d4, v4))) return choice;
  const first = byMatrices();
  if (first) return first;
  const fitting = ATTENTION_DEFAULTS.filter((tile) => attentionFits(limits, kernel, tile, d4, v4)), last = ATTENTION_DEFAULTS.at(-1)!;
  if (fitting.length === 0) {
    throw new KernelError(
      `Cannot run attention with heads of ${d4 * 4} and ${v4 * 4}: the smallest tile needs ${
        memoryOf(kernel, { ...last, D4: d4, V4: v4 })
      } bytes ` +
        `of workgroup memory, the device allows ${limits.maxComputeWorkgroupStorageSize}`,
    );
  }
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return fitting.at(-1)!;
  // Narrow bands waste what tall and wide tiles have outside of them.
  const lines = heads * op.batch, together = kernel === "attention_backward_dkv", long = hasLongRows(sets);
  const usable = fitting.filter((tile) => isUsable(tile, together) && (long || together || tile.TX * tile.TN <= NARROW));
  const tile = usable.find(({ TY, TM }) => Math.ceil(n / (TY * TM)) * lines >= PLACES) ?? usable.at(-1) ?? fitting.at(-1)!;
  const smaller = usable[usable.indexOf(tile) + 1];
  if (long || !together || !smaller) return tile;
  const scores = async ({ TY, TM }: AttentionVariant) => (TY * TM) ** 2 * await pairsOfTiles(plan, sets, n, TY * TM, false);
  return await scores(smaller) * SMALL_COST < await scores(tile) ? smaller : tile;
}

/** Whether a device has room for a variant of the matrix products. */
export function linearFits(limits: Limits, variant: LinearVariant): boolean {
  return memoryOf("linear", { ...variant }) <= limits.maxComputeWorkgroupStorageSize &&
    invocationsOf(variant) <= limits.maxComputeInvocationsPerWorkgroup;
}

/** The variant of a matrix product whose result has rows × columns, over `splits` of the summed index at most. */
export function chooseLinear(plan: Plan, kernel: LinearKernel, problem: Problem, rows: number, columns: number, splits = 1): LinearVariant {
  const { limits, tiles, tuning, matrices } = plan.context;
  const choice = tiles === "auto" ? tuned(tuning, kernel, problem)?.variant as LinearVariant | undefined : undefined;
  if (choice && (matrices || !choice.MATRIX) && linearFits(limits, choice)) return choice;
  const fits = (variant: LinearVariant) => linearFits(limits, variant),
    byMatrices = problem.kind === "f16" ? matrices?.linear[kernel].filter(fits) : undefined;
  const fitting = byMatrices?.length ? byMatrices : LINEAR_DEFAULTS[kernel].filter(fits), last = fitting.at(-1)!;
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return last;
  const isEnough = (variant: LinearVariant) => {
    const [x, y] = tilesOf(variant, rows, columns), least = PLACES * (matrices?.rounds(variant) ?? 1);
    return x * y * splits * invocationsOf(variant) >= least * 128;
  };
  return fitting.find(isEnough) ?? last;
}
