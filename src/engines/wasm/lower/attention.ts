/** Calls of attention. @module */

import { KernelError } from "../../../base/errors.ts";
import { type Attention, type AttentionBackward, headsOf, keyPositions } from "../../../ops/mod.ts";
import { setKey } from "../../../pattern/sets.ts";
import { type PlacedPart, TILE } from "../layouts.ts";
import { type Call, Region, Table } from "../plan.ts";
import { BYTES, call, type LowerContext, PIECE } from "./lowering.ts";

type AnyAttention = Attention | AttentionBackward;

/** A part of a set, for the heads that share the set. */
interface Group {
  readonly part: PlacedPart;
  readonly heads: Table;
  readonly count: number;
}

/** For each distinct set of some heads: its parts, and the heads that share it. */
async function groups({ sets, n }: AnyAttention, { layouts }: LowerContext, some: readonly number[]) {
  const byKey = new Map<string, number[]>();
  for (const head of some) byKey.set(setKey(sets[head]), [...byKey.get(setKey(sets[head])) ?? [], head]);
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
async function byPart(
  op: AnyAttention,
  context: LowerContext,
  some: readonly number[],
  calls: (group: Group, first: boolean) => Call[],
): Promise<Call[]> {
  const all = await groups(op, context, some), most = Math.max(...all.map(({ parts }) => parts.length));
  return Array.from({ length: most }, (_, p) =>
    all.filter(({ parts }) => p < parts.length)
      .flatMap(({ parts, heads, count }) => calls({ part: parts[p], heads, count }, p === 0))
      .map((call, i) => ({ ...call, joined: i > 0 }))).flat();
}

const bits = (floats: readonly number[]) => new Table(new Uint32Array(Float32Array.from(floats).buffer));

// Vector loads may read up to 7 words past a list's end.
const SPARE = 8;

/** The arguments that every kernel of tiles of an operation has, but for the lists of tiles; and the calls that make some of them. */
function argumentsOf(op: AnyAttention) {
  const { batch, n, spans } = op, { heads, kvHeads, d: dk, dv } = headsOf(op), m = keyPositions(op), alibi = op.slopes && bits(op.slopes);
  const before: Call[] = [], made = new Map<PlacedPart, { lo: Region; hi: Region }>();
  /** The intervals of a part, of every sequence its own where there are spans. */
  const intervals = (part: PlacedPart) => {
    if (!spans) return part;
    let own = made.get(part);
    if (!own) {
      const [spanLo, spanHi] = [0, 1].map(() => new Region((batch * n + SPARE) * BYTES)), { queryRows, keyRows, lo, hi } = part;
      const args = { spans, n, queryRows, keyRows, lo, hi, spanLo, spanHi };
      before.push({ ...call("attention_spans", { units: batch * n, grain: PIECE / 16, args }), joined: before.length > 0 });
      made.set(part, own = { lo: spanLo, hi: spanHi });
    }
    return own;
  };
  const args = ({ part, heads: group, count: groupHeads }: Group, first: boolean) => {
    const { queryRows, keyRows, keys } = part, { lo, hi } = intervals(part), spanned = !!spans;
    return {
      batch,
      n,
      m,
      heads,
      dk,
      dv,
      tileQ: TILE.q,
      tileK: TILE.k,
      queryRows,
      keyRows,
      keys,
      lo,
      hi,
      group,
      groupHeads,
      first,
      kvHeads,
      alibi,
      spanned,
    };
  };
  return { args, before };
}

/** A part of the sets after the other. */
export async function lowerAttention(op: Attention, context: LowerContext): Promise<Call[]> {
  const { n, batch, q, k, v, o, lse } = op, { args, before } = argumentsOf(op);
  const tiles = await byPart(op, context, [...op.sets.keys()], (group, first) => [
    call("attention", {
      units: Math.ceil(n / TILE.q) * batch * group.count,
      args: { q, k, v, o, lse, ...args(group, first), ...group.part.forward },
    }),
  ]);
  return [...before, ...tiles];
}

/**
 * delta first; then the gradients of queries and of keys, a part of the sets after the other. Heads that read the same keys go one after
 * another too: the first writes their gradient, the others add to it.
 */
export async function lowerAttentionBackward(op: AttentionBackward, context: LowerContext): Promise<Call[]> {
  const { n, batch, q, k, v, o, dO, lse, delta } = op, { heads, group: readers, dv } = headsOf(op), { args, before } = argumentsOf(op);
  const tiles: Call[] = [];
  for (let turn = 0; turn < readers; turn++) {
    const some = [...op.sets.keys()].filter((head) => head % readers === turn);
    tiles.push(
      ...await byPart(op, context, some, (group, first) => {
        const { part, count } = group, isFirst = first && turn === 0;
        if (first && part.keys !== keyPositions(op)) {
          throw new KernelError("Cannot lower attention_backward: the first part of a set must hold every key");
        }
        const shared = { q, k, v, dO, lse, delta };
        return [
          call("attention_backward_queries", {
            units: Math.ceil(n / TILE.q) * batch * count,
            args: { ...shared, ...args(group, first), ...part.forward, dQ: op.dq },
          }),
          call("attention_backward_keys", {
            units: Math.ceil(part.keys / TILE.k) * batch * count,
            args: { ...shared, ...args(group, isFirst), ...part.backward, dK: op.dk, dV: op.dv },
          }),
        ];
      }),
    );
  }
  const first = call("attention_delta", { units: batch * n, grain: PIECE / (heads * dv), args: { o, dO, delta, n, heads, dv } });
  // delta has nothing to do with spans: they begin together.
  return [first, ...before.map((one) => ({ ...one, joined: true })), ...tiles];
}
