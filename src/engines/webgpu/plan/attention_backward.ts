/**
 * Dispatches of sparse attention's gradients.
 *
 * @module
 */

import type { AttentionBackward } from "../../../ops/mod.ts";
import { bindable, roundUp, storage4 } from "../storage.ts";
import { isFused } from "../tuning/fused.ts";
import { chooseAttention } from "../tuning/select.ts";
import { isSquare } from "../tuning/variants.ts";
import { geometry, isPadded, type Kept, planKernel } from "./attention.ts";
import { pairsOfTiles } from "./attention_tables.ts";
import { padded, paddedOutput, unpad } from "./pad.ts";
import { type PartialAttention, type Plan, planInF32 } from "./plan.ts";
import { splitAttention } from "./split.ts";

/** Whether and where ds is kept: where tiles are square and there is room for one sequence, of as many at a time as there is room for. */
async function keptOf(plan: Plan, op: AttentionBackward, at: number): Promise<Kept | undefined> {
  const { sets, n, batch } = op, { limits, keep } = plan.context;
  const variant = await chooseAttention(plan, "attention_backward_dkv", op), owned = variant.TY * variant.TM;
  if (variant.KEEP === 0 || !isSquare(variant)) return;
  const pairs = await pairsOfTiles(plan, sets, n, owned, variant.BITS === 1), numbers = pairs * owned ** 2;
  const most = Math.floor((Math.min(keep, bindable(limits)) / 4 - at) / numbers);
  // Sets without a pair keep nothing.
  if (pairs === 0 || !(most >= 1)) return;
  const sequences = Math.ceil(batch / Math.ceil(batch / most));
  plan.keeps = true;
  return { variant, pairs, sequences, at, count: at + sequences * numbers };
}

/** delta, dq, dk, dv */
export async function planAttentionBackward(plan: Plan, op: AttentionBackward): Promise<void> {
  await splitAttention(plan, op, planBackwardOfAllHeads);
}

async function planBackwardOfAllHeads(plan: Plan, op: AttentionBackward): Promise<void> {
  if (isPadded(geometry(op))) await planInF32(plan, op, planBackward);
  else await planBackward(plan, op);
}

async function planBackward(plan: Plan, op: AttentionBackward & PartialAttention): Promise<void> {
  const { n, batch, lse, delta, spans } = op, keyOutput = op.adds ? padded : paddedOutput, { heads, d, dv: widthV, d4, v4 } = geometry(op);
  const q = padded(plan, op.q, d), k = padded(plan, op.k, d), v = padded(plan, op.v, widthV);
  const o = padded(plan, op.o, widthV), d_o = padded(plan, op.dO, widthV);
  const dq = paddedOutput(plan, op.dq, d), dk = keyOutput(plan, op.dk, d), dv = keyOutput(plan, op.dv, widthV);
  const count = batch * n * heads, numbers = count * (spans ? 4 : 2), fused = isFused(plan, op);
  const kept = fused ? await keptOf(plan, op, roundUp(numbers, 4)) : undefined;
  const stats = plan.temporary("attention statistics", kept?.count ?? numbers);
  plan.dispatch({
    kernel: "attention_backward_delta",
    values: { STORAGE: storage4(o), SPANS: Number(!!spans) },
    bindings: { o, d_o, lse, delta, stats, spans },
    params: { count, n, heads, width4: v4 },
    grid: plan.linear(count, 32),
  });
  const shared = { q, k, v, d_o, stats };
  if (!kept) await planKernel(plan, op, "attention_backward_dq", { ...shared, dq }, { dq: d4 });
  if (fused) {
    const step = kept?.sequences ?? batch, of = Math.ceil(batch / step);
    for (let at = 0; at < of; at++) {
      await plan.step(at, of, async () => {
        await planKernel(plan, op, "attention_backward_dkv", { q, k, v, d_o, notes: stats, dk, dv }, { dk: d4, dv: v4 }, kept, at * step);
        if (kept) await planKernel(plan, op, "attention_backward_dq_kept", { k, notes: stats, dq }, { dq: d4 }, kept, at * step);
      });
    }
  } else {
    await planKernel(plan, op, "attention_backward_dk", { ...shared, dk }, { dk: d4 });
    await planKernel(plan, op, "attention_backward_dv", { q, k, d_o, stats, dv }, { dv: v4 });
  }
  unpad(plan, dq, op.dq, d);
  unpad(plan, dk, op.dk, d);
  unpad(plan, dv, op.dv, widthV);
}
