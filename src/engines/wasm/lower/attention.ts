/** Calls of attention. @module */

import { KernelError } from "../../../base/errors.ts";
import type { Attention, AttentionBackward } from "../../../ops/mod.ts";
import { setKey } from "../../../pattern/sets.ts";
import { type PlacedPart, TILE } from "../layouts.ts";
import { type Call, Table } from "../plan.ts";
import { call, type LowerContext, PIECE } from "./lowering.ts";

type AnyAttention = Attention | AttentionBackward;

/** A part of a set, for the heads that share the set. */
interface Group {
  readonly part: PlacedPart;
  readonly heads: Table;
  readonly count: number;
}

/** For each distinct set of an operation: its parts, and the heads that share it. */
async function groups({ sets, n }: AnyAttention, { layouts }: LowerContext) {
  const byKey = new Map<string, number[]>();
  sets.forEach((set, head) => byKey.set(setKey(set), [...byKey.get(setKey(set)) ?? [], head]));
  return await Promise.all([...byKey.values()].map(async (heads) => ({
    parts: await layouts.of(sets[heads[0]], n),
    heads: new Table(heads),
    count: heads.length,
  })));
}

/**
 * The calls of each part, one part of every group after the other: a part goes on from what the part before it left, while
 * heads, and the gradients of queries and of keys, have nothing to do with each other and begin together.
 */
async function byPart(op: AnyAttention, context: LowerContext, calls: (group: Group, first: boolean) => Call[]): Promise<Call[]> {
  const all = await groups(op, context), most = Math.max(...all.map(({ parts }) => parts.length));
  return Array.from({ length: most }, (_, p) =>
    all.filter(({ parts }) => p < parts.length)
      .flatMap(({ parts, heads, count }) => calls({ part: parts[p], heads, count }, p === 0))
      .map((call, i) => ({ ...call, joined: i > 0 }))).flat();
}

/** The arguments that every kernel of tiles has, but for the lists of tiles. */
function tiledArgs(op: AnyAttention, { part, heads: group, count: groupHeads }: Group, first: boolean) {
  const { batch, n } = op, heads = op.sets.length, dk = op.q.shape[1] / heads, dv = op.v.shape[1] / heads;
  const { queryRows, keyRows, keys, lo, hi } = part;
  return { batch, n, heads, dk, dv, tileQ: TILE.q, tileK: TILE.k, queryRows, keyRows, keys, lo, hi, group, groupHeads, first };
}

/** A part of the sets after the other. */
export async function lowerAttention(op: Attention, context: LowerContext): Promise<Call[]> {
  const { n, batch, q, k, v, o, lse } = op;
  return await byPart(op, context, (group, first) => [
    call("attention", {
      units: Math.ceil(n / TILE.q) * batch * group.count,
      args: { q, k, v, o, lse, ...tiledArgs(op, group, first), ...group.part.forward },
    }),
  ]);
}

/** delta first; then the gradients of queries and of keys, a part of the sets after the other. */
export async function lowerAttentionBackward(op: AttentionBackward, context: LowerContext): Promise<Call[]> {
  const { n, batch, q, k, v, o, dO, lse, delta } = op, heads = op.sets.length, dv = op.v.shape[1] / heads;
  const tiles = await byPart(op, context, (group, first) => {
    const { part, count } = group;
    if (first && part.keys !== n) {
      throw new KernelError("Cannot lower attention_backward: the first part of a set must hold every key");
    }
    const args = { q, k, v, dO, lse, delta, ...tiledArgs(op, group, first) };
    return [
      call("attention_backward_queries", {
        units: Math.ceil(n / TILE.q) * batch * count,
        args: { ...args, ...part.forward, dQ: op.dq },
      }),
      call("attention_backward_keys", {
        units: Math.ceil(part.keys / TILE.k) * batch * count,
        args: { ...args, ...part.backward, dK: op.dk, dV: op.dv },
      }),
    ];
  });
  return [call("attention_delta", { units: batch * n, grain: PIECE / (heads * dv), args: { o, dO, delta, n, heads, dv } }), ...tiles];
}
