/**
 * Dispatches of sparse attention: one per part of a set and group of heads that share the set.
 *
 * @module
 */

import { ShapeError } from "../../../base/errors.ts";
import { type Attention, type AttentionBackward, headsOf, keyPositions, type Tensor } from "../../../ops/mod.ts";
import { bindable, storage4 } from "../storage.ts";
import type { Constants } from "../shader/kernels.gen.ts";
import type { Values } from "../shader/specialise.ts";
import { chooseAttention, ownerOf } from "../tuning/select.ts";
import type { AttentionKernel, AttentionVariant } from "../tuning/variants.ts";
import { attentionTables, type Tables } from "./attention_tables.ts";
import { type Bindings, type PartialAttention, type Plan, planInF32 } from "./plan.ts";

const WIDEST = 128;

/** What forward and backward have in common. */
export function geometry(op: Attention | AttentionBackward) {
  const shape = headsOf(op), { d, dv } = shape;
  if (d > WIDEST || dv > WIDEST) {
    throw new ShapeError(
      `Cannot plan ${op.op}: heads are ${d} and ${dv} wide, the WebGPU engine has kernels up to ${WIDEST}; use more heads`,
    );
  }
  return { ...shape, d4: Math.ceil(d / 4), v4: Math.ceil(dv / 4), scale: 1 / Math.sqrt(d) };
}

/** Heads whose width is not a multiple of four are padded, and that in f32. */
export const isPadded = ({ d, dv }: { d: number; dv: number }) => d % 4 !== 0 || dv % 4 !== 0;

// Tiles an item keeps at least where lists are cut, items wanted (several for each place on a large GPU), and what partial
// results may take of memory.
const LEAST_SHARE = 16, ITEMS = 4096, PARTIAL_BYTES = 96 * 2 ** 20;

/**
 * Most tiles of an item, 0 where lists are not cut: a list much longer than the mean would be the last to end. Under the
 * smallest-tile preference every list is cut, so that tests see it.
 */
function shareOf(plan: Plan, { n, batch, sets }: Attention | AttentionBackward, owned: number, width4: number) {
  const bytes = Math.min(PARTIAL_BYTES, plan.context.limits.maxStorageBufferBindingSize);
  // Every list may bring one piece more than its length makes.
  const room = Math.floor(bytes / (batch * owned * width4 * 16)) - sets.length * Math.ceil(n / owned),
    items = Math.min(ITEMS / batch, room);
  if (plan.context.tiles === "smallest") return () => 1;
  return (tiles: number) => items < 1 ? 0 : Math.max(LEAST_SHARE, Math.ceil(tiles / items));
}

/** What the kernel of dk and dv keeps for dq: ds of each pair of tiles, in the memory of the statistics. */
export interface Kept {
  readonly variant: AttentionVariant;
  /** Pairs of tiles of a sequence. */
  readonly pairs: number;
  /** Sequences at a time. */
  readonly sequences: number;
  /** Numbers before the first, and with them all. */
  readonly at: number;
  readonly count: number;
}

const uncut = () => 0;

/** Those with variants, and the one that follows where ds is kept, whose variant is of the kernel that keeps it. */
type TiledKernel = AttentionKernel | "attention_backward_dq_kept";

type AnyAttention = (Attention | AttentionBackward) & PartialAttention;

/** What a tiled kernel binds beside its tables. */
type TiledBindings<K extends TiledKernel> = { readonly [B in keyof Bindings<K> as Exclude<B, "blocks">]: Tensor };

/** Which variant a kernel has for an operation, over `batch` sequences, and the tables for it. */
async function variantFor(plan: Plan, op: AnyAttention, kernel: TiledKernel, batch: number, kept?: Kept) {
  const { n, sets, slopes, spans } = op, { kvHeads, group, d4, v4, scale } = geometry(op), owner = ownerOf(kernel);
  const variant = kept?.variant ?? await chooseAttention(plan, kernel as AttentionKernel, op);
  const { TX, TY, TM, TN, BITS } = variant, owned = TY * TM;
  // Where ds is kept there are no more scores to make.
  const bias = kernel === "attention_backward_dq_kept" ? undefined : slopes;
  const tables: Tables = await attentionTables(plan, sets, n, {
    owner,
    owned,
    streamed: TX * TN,
    share: kernel === "attention_forward" ? uncut : shareOf(plan, { ...op, batch }, owned, Math.max(d4, v4)),
    bits: BITS === 1,
    pairs: kept && owner === "query",
    group,
    slopes: bias?.map((slope) => slope / scale),
    spans: !!spans,
  });
  const beside = { GROUPED: Number(group > 1), ALIBI: Number(!!bias), SPANS: Number(!!spans) };
  const sizes: Values = variant.MATRIX ? plan.context.matrices!.values(variant) : { ...variant, KEEP: Number(!!kept) };
  const values = { ...sizes, STORAGE: storage4(op.q), D4: d4, V4: v4, ...beside };
  return {
    ...tables,
    values: values as Constants<TiledKernel>,
    file: variant.MATRIX ? `${kernel}_matrices` : kernel,
    owned,
    heads: owner === "query" ? sets.length : kvHeads,
    scale,
    adds: owner === "key" && !!op.adds,
  };
}

/** A kernel over all heads of a layer: one dispatch a stage. Where ds is kept, over some sequences from the one that `first` says. */
export async function planKernel<K extends TiledKernel>(
  plan: Plan,
  op: AnyAttention,
  kernel: K,
  bindings: TiledBindings<K>,
  outputs: { readonly [B in keyof TiledBindings<K>]?: number },
  kept?: Kept,
  first = 0,
): Promise<void> {
  const { n } = op,
    m = keyPositions(op),
    isQuery = ownerOf(kernel) === "query",
    batch = Math.min(kept?.sequences ?? op.batch, op.batch - first);
  const { blocks, stages, values, file, owned, heads, scale, adds } = await variantFor(plan, op, kernel, batch, kept);
  const widths = Object.entries<number>(outputs as Record<string, number>), whole = bindings as Readonly<Record<string, Tensor>>;
  stages.forEach(({ params, later, join }) => {
    const [x, y] = plan.linear(params.items, 1),
      shared = {
        n,
        own_n: isQuery ? n : m,
        other_n: isQuery ? m : n,
        heads,
        scale,
        later: Number((later || adds) && !join),
        split: Number(!!join),
        ...params,
        first,
        pairs: kept?.pairs ?? 0,
        kept_at: (kept?.at ?? 0) / 2,
      };
    const written: Record<string, Tensor> = {};
    for (const [name, width] of widths) {
      written[name] = join ? plan.temporary(`partial ${name}`, batch * params.slots * owned * width * 4) : whole[name];
    }
    plan.dispatch({
      kernel: file as TiledKernel,
      values,
      bindings: { blocks, ...bindings, ...written } as unknown as Bindings<TiledKernel>,
      params: shared,
      grid: [x, y, batch],
    });
    if (!join) return;
    const [joinX, joinY] = plan.linear(join.units, 1);
    for (const [name, width4] of widths) {
      plan.dispatch({
        kernel: "attention_join",
        values: { STORAGE: values.STORAGE },
        bindings: { blocks, partials: written[name], y: whole[name] },
        params: { n: shared.own_n, heads, ...join, later: Number(later || adds), first, slots: params.slots, width4, tile: owned },
        grid: [joinX, joinY, batch],
      });
    }
  });
}

/** Bytes of a head over the longer of its sequences: made a multiple of 4 wide, and where it is of f16 then copied to f32. */
export function bytesOfHead(op: Attention | AttentionBackward): number {
  const { d, dv } = headsOf(op);
  return Math.max(op.n, keyPositions(op)) * Math.ceil(Math.max(d, dv) / 4) * 16;
}

/** Whether a binding holds matrices of all its heads. */
export const isBoundWhole = (plan: Plan, op: Attention | AttentionBackward): boolean =>
  op.batch * headsOf(op).heads * bytesOfHead(op) <= bindable(plan.context.limits);

/** o and lse */
export async function planAttention(plan: Plan, op: Attention): Promise<void> {
  if (isBoundWhole(plan, op)) await planAllHeads(plan, op);
  else await (await plan.context.late()).splitAttention(plan, op, planAllHeads);
}

async function planAllHeads(plan: Plan, op: Attention): Promise<void> {
  if (isPadded(geometry(op))) await planInF32(plan, op, (await plan.context.late()).planPadded);
  else await planForward(plan, op);
}

/** Of heads whose widths are multiples of 4. */
async function planForward(plan: Plan, op: Attention): Promise<void> {
  const { q, k, v, o, lse, spans } = op;
  await planKernel(plan, op, "attention_forward", { q, k, v, o, lse, spans }, {});
}
