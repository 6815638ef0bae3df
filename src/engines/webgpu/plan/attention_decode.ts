/**
 * Dispatches of attention while decoding.
 *
 * @module
 */

import { ShapeError } from "../../../base/errors.ts";
import type { AttentionDecode, Tensor } from "../../../ops/mod.ts";
import type { CachePlan } from "../../../pattern/cache.ts";
import type { Plan } from "./plan.ts";

// As wgsl/attention_decode.wgsl and its combine are written: keys at a time, the widest value, and the most shares.
const THREADS = 128;

const MOST_SHARES = 128;

// Up to so many times those keys go through one workgroup, one after the other: another turn takes less than joining shares does.
const WHOLE_BLOCKS = 2;

const placed = new WeakMap<Plan, Map<CachePlan, Tensor>>();

/** The schedule's words on the device, once however many layers follow it. */
function wordsOf(plan: Plan, schedule: CachePlan): Tensor {
  const made = placed.get(plan) ?? new Map<CachePlan, Tensor>(), words = made.get(schedule) ?? plan.constant("cache plan", schedule.words);
  placed.set(plan, made.set(schedule, words));
  return words;
}

/** Caches written and read by shares, then the shares joined where they are several */
export function planAttentionDecode(plan: Plan, op: AttentionDecode): void {
  const { q, k, v, o, keys, values, position, plan: schedule } = op, [batch, heads, slots, d] = keys.shape, dv = values.shape[3];
  const wide = d % 4 === 0 && dv % 4 === 0 ? 4 : 1, width = dv / wide, STORAGE = wide === 4 ? "f32x4" : "f32";
  if (width > THREADS) {
    throw new ShapeError(
      `Cannot plan ${op.op}: heads of v are ${dv} wide, the WebGPU engine has kernels up to ${THREADS * wide}; use more heads`,
    );
  }
  const every = Math.ceil(schedule.most / THREADS), blocks = every <= WHOLE_BLOCKS ? every : Math.ceil(every / MOST_SHARES);
  const shares = Math.ceil(every / blocks), WHOLE = shares === 1, D = d / wide, lanes = Math.floor(THREADS / width);
  const partials = WHOLE ? o : plan.temporary("decoded shares", batch * heads * shares * (2 + width) * wide);
  plan.dispatch({
    kernel: "attention_decode",
    values: { STORAGE, D, V: width, PARTS: schedule.parts, TURN: turnOf(D), VALUE_TURN: turnOf(Math.ceil(THREADS / lanes)), WHOLE },
    bindings: { q, k, v, keys, values, position, plan: wordsOf(plan, schedule), partials },
    params: { heads, slots, blocks, scale: 1 / Math.sqrt(d) },
    grid: [shares, batch * heads, 1],
  });
  if (WHOLE) return;
  plan.dispatch({
    kernel: "attention_decode_combine",
    values: { STORAGE, V: width, SHARES: shares },
    bindings: { partials, o },
    params: { units: batch * heads },
    grid: plan.linear(batch * heads, 1),
  });
}

/** Loads under way together: the most, up to 16, of which there is a whole number of turns. */
const turnOf = (loads: number) => [16, 8, 4, 2].find((turn) => loads % turn === 0) ?? 1;
