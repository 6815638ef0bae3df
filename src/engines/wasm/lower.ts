/**
 * Operations to kernel calls. The kernels and the meaning of their arguments are in `asm/`, one file an operation.
 *
 * @module
 */

import type { CachePlan } from "../../pattern/cache.ts";
import { KernelError } from "../../base/errors.ts";
import type { Layout } from "../../pattern/layout.ts";
import { type Attention, type AttentionBackward, type Dropout, type Linear, type Muon, type Op, size, type Tensor } from "../../ops/mod.ts";
import { type AttentionSet, setKey } from "../../pattern/sets.ts";
import { STREAM } from "../../base/random.ts";
import { type Argument, type Call, type Kernel, Region, Table } from "./plan.ts";

/** Queries and keys of a tile of attention. */
export const TILE = { q: 64, k: 64 } as const;

/** A layout with its lists as tables. */
export interface PlacedLayout {
  readonly parts: readonly {
    readonly keys: number;
    readonly queryRows: Table | null;
    readonly keyRows: Table | null;
    readonly lo: Table;
    readonly hi: Table;
    readonly forward: readonly [Table, Table];
    readonly backward: readonly [Table, Table];
  }[];
}

/** Wraps a layout's lists for the kernels. */
export function placeLayout(layout: Layout): PlacedLayout {
  const table = (words: Uint32Array) => new Table(words);
  return {
    parts: layout.parts.map((part) => {
      const queryRows = part.queryRows && table(part.queryRows);
      return {
        keys: part.keys,
        queryRows,
        keyRows: part.keyRows === part.queryRows ? queryRows : part.keyRows && table(part.keyRows),
        lo: table(part.lo),
        hi: table(part.hi),
        forward: [table(part.forward.starts), table(part.forward.list)],
        backward: [table(part.backward.starts), table(part.backward.list)],
      };
    }),
  };
}

const planTables = new WeakMap<CachePlan, Table>();

/** A schedule's words, the same table however many layers follow it. */
function planTable(plan: CachePlan): Table {
  let made = planTables.get(plan);
  if (!made) planTables.set(plan, made = new Table(plan.words));
  return made;
}

/** What lowering needs to know besides the operation. */
export interface LowerContext {
  /** Threads that share the work: more of them, smaller blocks. Never changes a result. */
  readonly threads: number;
  /** The layout of a set over n positions, made beforehand. */
  layout(set: AttentionSet, n: number): PlacedLayout;
}

// Of asm/linear.ts: steps of the inner dimension between visits to y.
const DEPTH = 512;
// Rows of x that linear_few takes: up to there reading w as it lies beats packing it (16: as fast; 32: 20 % slower).
const FEW = 16;
// Fixed, so that sums do not depend on the number of threads.
const LAYERNORM_CHUNK = 32, SUM_CHUNK = 4096, NORM_CHUNK = 16384, ADAM_CHUNK = 8192;
// Element-wise work is dealt out in pieces of about this many elements, 5 to 20 µs each.
const PIECE = 16384;
const BYTES = 4;

const up = (x: number, to: number) => Math.ceil(x / to) * to;

function call(kernel: Kernel, units: number, grain: number, args: readonly Argument[], workspace = 0): Call {
  return { kernel, units, grain: Math.max(1, Math.floor(grain)), args, workspace };
}

const dropoutArgs = (dropout: Dropout | undefined): Argument[] =>
  dropout ? [dropout.seeds, dropout.site, dropout.micro, dropout.p] : [0, 0, 0, 0];

/** The calls of one operation, in order. */
export function lower(op: Op, context: LowerContext): Call[] {
  switch (op.op) {
    case "embedding": {
      const [rows, d] = op.y.shape;
      return op.tables.map((table, t) =>
        call("embedding", rows, PIECE / d, [op.indices[t], size(op.indices[t]), table, op.y, d, t > 0 ? 1 : 0])
      );
    }
    case "embedding_decode": {
      const [batch, d] = op.y.shape, { tape, position, y, start } = op;
      return op.tables.map((table, t) =>
        call("embedding_decode", batch, PIECE / d, [tape, position, t > 0 ? op.rows[t - 1] : 0, table, y, batch, d, start])
      );
    }
    case "embedding_backward": {
      const [rows, d] = op.dy.shape, entries = op.dTable.shape[0];
      return [call("embedding_backward", entries, PIECE / d * entries / rows, [op.dy, op.order, op.starts, op.dTable, d, +op.accumulate])];
    }
    case "layernorm": {
      const [rows, d] = op.x.shape;
      return [call("layernorm", rows, PIECE / d, [op.x, op.gain, op.bias, op.y, op.mean, op.rstd, d])];
    }
    case "layernorm_backward": {
      const [rows, d] = op.x.shape, chunks = Math.ceil(rows / LAYERNORM_CHUNK), partial = new Region(chunks * d * 2 * BYTES);
      const { x, gain, mean, rstd, dy, residual, dx, dGain, dBias } = op;
      return [
        call("layernorm_backward", chunks, PIECE / d / LAYERNORM_CHUNK, [
          ...[x, gain, mean, rstd, dy, residual, dx, partial],
          ...[rows, d, LAYERNORM_CHUNK],
        ]),
        call("layernorm_backward_sum", Math.ceil(d / 4), PIECE / 8 / chunks, [partial, dGain, dBias, chunks, d, +op.accumulate]),
      ];
    }
    case "linear":
      return linear(op, context);
    case "linear_input_grad": {
      const tail = [op.dx, op.pre, null, op.residual, op.pre ? 2 : 0, ...dropoutArgs(undefined)];
      return product(context, "pack_backward", op.dy, op.dy.shape[0], op.w, op.w.shape[0], op.w.shape[1], tail);
    }
    case "linear_weight_grad":
      return weightGrad(op, context);
    case "dropout": {
      const count = size(op.x);
      return [call("dropout", Math.ceil(count / 1024), PIECE / 4096, [op.x, op.y, count, ...dropoutArgs(op.dropout)], 32)];
    }
    case "attention":
      return attention(op, context);
    case "attention_backward":
      return attentionBackward(op, context);
    case "attention_decode": {
      const [batch, heads, slots, dk] = op.keys.shape, dv = op.values.shape[3], { most, parts } = op.plan;
      const args = [op.q, op.k, op.v, op.o, op.keys, op.values, op.position, planTable(op.plan), heads, slots, dk, dv, most, parts];
      return [call("attention_decode", batch * heads, PIECE / (most * (dk + dv)), args, 2 * up(most, 4) * BYTES)];
    }
    case "cache_fill": {
      const [batch, heads, slots] = op.keys.shape, sequences = op.k.shape[0] / op.n;
      return ([[op.k, op.keys], [op.v, op.values]] as const).map(([x, cache]) => {
        const width = cache.shape[3];
        return call("cache_fill", batch * heads, PIECE / (slots * width), [x, cache, op.rows, op.n, sequences, heads, slots, width]);
      });
    }
    case "choose": {
      const [batch, vocabulary] = op.logits.shape, { logits, tape, position, given, choice, seeds } = op;
      const args = [logits, tape, position, given, choice, seeds, batch, vocabulary, STREAM.tokens];
      return [
        call("choose", batch, PIECE / 8 / vocabulary, args, 2 * up(vocabulary, 4) * BYTES),
        call("choose_advance", 1, 1, [position]),
      ];
    }
    case "cross_entropy": {
      const [rows, vocabulary] = op.logits.shape;
      const args = [op.logits, op.targets, op.losses, op.dLogits, op.lossScale, vocabulary, op.scale];
      return [call("cross_entropy", rows, PIECE / 2 / vocabulary, args)];
    }
    case "sum": {
      const count = size(op.x), chunks = Math.ceil(count / SUM_CHUNK), partials = new Region(chunks * 8);
      return [
        call("sum_chunks", chunks, PIECE / SUM_CHUNK, [op.x, count, SUM_CHUNK, partials]),
        call("sum_partials", 1, 1, [partials, chunks, op.y, op.scale, +op.accumulate]),
      ];
    }
    case "square_norm": {
      const chunks = chunked(op.xs, NORM_CHUNK), partials = new Region(chunks.length * 8);
      const words = chunks.flatMap(({ which, offset, count }) => [{ tensor: op.xs[which], offset }, count]);
      return [
        call("square_chunks", chunks.length, 1, [new Table(words), partials]),
        call("sum_partials", 1, 1, [partials, chunks.length, op.y, 1, 0]),
      ];
    }
    case "clip":
      return [
        call("clip", 1, 1, [
          ...[op.squareNorm, op.factor, op.skipped, op.lossScale, op.maxNorm],
          ...[op.schedule, op.schedule.shape[0], op.known, op.hyper],
        ]),
      ];
    case "adam": {
      const chunks = chunked(op.params, ADAM_CHUNK);
      const words = chunks.flatMap(({ which, offset, count }) => [
        ...[op.params, op.grads, op.m, op.v].map((list) => ({ tensor: list[which], offset })),
        ...[count, op.decay[which] ? 1 : 0],
      ]);
      const args = [new Table(words), op.factor, op.hyper, op.beta1, op.beta2, op.eps, op.weightDecay];
      return [call("adam", chunks.length, 1, args)];
    }
    case "muon":
      return muon(op);
  }
}

/** A unit is a matrix, the largest first, so that no thread is left with one at the end. */
function muon({ params, grads, m, factor, hyper, momentum, weightDecay }: Muon): Call[] {
  const sides = (t: Tensor) => t.shape.map((side) => up(side, 8)).sort((a, b) => a - b);
  const work = (t: Tensor) => sides(t)[0] * size(t), order = params.map((_, at) => at).sort((a, b) => work(params[b]) - work(params[a]));
  const words = order.flatMap((at) => [...[params, grads, m].map((list) => ({ tensor: list[at], offset: 0 })), ...params[at].shape]);
  const floats = Math.max(...params.map((t) => {
    const [short, long] = sides(t);
    return 3 * short * long + 2 * short * short;
  }));
  return [call("muon", params.length, 1, [new Table(words), factor, hyper, momentum, weightDecay], floats * BYTES)];
}

/** Tensors in pieces of at most `most` elements: which tensor, the piece's offset in bytes, its elements. */
function chunked(tensors: readonly Tensor[], most: number): { which: number; offset: number; count: number }[] {
  return tensors.flatMap((t, which) => {
    const all = size(t);
    return Array.from(
      { length: Math.ceil(all / most) },
      (_, i) => ({ which, offset: i * most * BYTES, count: Math.min(most, all - i * most) }),
    );
  });
}

function linear(op: Linear, context: LowerContext): Call[] {
  const tail = [op.y, op.pre, op.b, op.residual, op.activation === "gelu" ? 1 : 0, ...dropoutArgs(op.dropout)];
  const rows = op.x.shape[0], [out, inner] = op.w.shape, { gain, bias } = op.norm ?? {};
  if (rows <= FEW) {
    const args = [op.x, op.w, rows, inner, out, gain, bias, ...tail];
    const units = Math.ceil(out / 8), grain = Math.min(PIECE / (rows * inner), Math.ceil(units / context.threads));
    return [call("linear_few", units, grain, args, (64 + (gain ? up(rows * inner, 4) : 0)) * BYTES)];
  }
  if (!gain) return product(context, "pack_forward", op.x, rows, op.w, inner, out, tail);
  const x = new Region(rows * inner * BYTES), mean = new Region(rows * BYTES), rstd = new Region(rows * BYTES);
  return [
    call("layernorm", rows, PIECE / inner, [op.x, gain, bias, x, mean, rstd, inner]),
    ...product(context, "pack_forward", x, rows, op.w, inner, out, tail),
  ];
}

/**
 * y [rows, out] = x [rows, inner] · B, B being w or its transpose as `pack` says; `tail` is what the kernels do with y.
 * Blocks start large, for each reads its rows and panels once, and shrink until every thread has a few.
 */
function product(
  { threads }: LowerContext,
  pack: "pack_forward" | "pack_backward",
  x: Tensor | Region,
  rows: number,
  w: Tensor,
  inner: number,
  out: number,
  tail: readonly Argument[],
): Call[] {
  const panels = Math.ceil(out / 8);
  let blockRows = 64, blockPanels = Math.min(panels, 32);
  const blocks = () => Math.ceil(rows / blockRows) * Math.ceil(panels / blockPanels);
  while (blocks() < 4 * threads && (blockRows > 16 || blockPanels > 4)) {
    if (blockRows > 32 || blockPanels <= 4) blockRows /= 2;
    else blockPanels = Math.ceil(blockPanels / 2);
  }
  const packed = new Region(panels * inner * 8 * BYTES), [wOut, wInner] = w.shape;
  return [
    call(pack, panels, PIECE / (8 * inner), [w, packed, wOut, wInner]),
    call("linear", blocks(), PIECE * 8 / (blockRows * blockPanels * 8 * inner), [
      ...[x, packed, rows, inner, out, blockRows, blockPanels],
      ...tail,
    ], (blockRows * Math.min(inner, DEPTH) + (inner > DEPTH ? blockRows * blockPanels * 8 : 32)) * BYTES),
  ];
}

function weightGrad(op: Op & { op: "linear_weight_grad" }, { threads }: LowerContext): Call[] {
  const [rows, out] = op.dy.shape, inner = op.x.shape[1];
  let height = Math.min(64, up(out, 8)), width = Math.min(128, up(inner, 8));
  const blocks = () => Math.ceil(out / height) * Math.ceil(inner / width);
  while (blocks() < 4 * threads && (height > 16 || width > 32)) {
    if (width > 32 && width >= height) width = up(width / 2, 8);
    else height = up(height / 2, 8);
  }
  const args = [op.dy, op.x, op.dw, op.db, rows, out, inner, height, width, +op.accumulate];
  return [call("linear_weight_grad", blocks(), 1, args, ((height + width) * 256 + height * width) * BYTES)];
}

/** For each distinct set of an operation: its layout, and the heads that share it. */
function groups(op: Attention | AttentionBackward, context: LowerContext): { layout: PlacedLayout; heads: Table; count: number }[] {
  const groups = new Map<string, number[]>();
  op.sets.forEach((set, head) => groups.set(setKey(set), [...groups.get(setKey(set)) ?? [], head]));
  return [...groups.values()].map((heads) => ({
    layout: context.layout(op.sets[heads[0]], op.n),
    heads: new Table(heads),
    count: heads.length,
  }));
}

/**
 * The calls of each part, one part of every group after the other: a part goes on from what the part before it left, while
 * heads, and the gradients of queries and of keys, have nothing to do with each other and begin together.
 */
function byPart(
  op: Attention | AttentionBackward,
  context: LowerContext,
  calls: (part: PlacedLayout["parts"][number], p: number, heads: Table, count: number) => Call[],
): Call[] {
  const all = groups(op, context), most = Math.max(...all.map(({ layout }) => layout.parts.length));
  return Array.from({ length: most }, (_, p) =>
    all.filter(({ layout }) => p < layout.parts.length)
      .flatMap(({ layout, heads, count }) => calls(layout.parts[p], p, heads, count))
      .map((call, i) => ({ ...call, joined: i > 0 }))).flat();
}

const headSizes = (op: Attention | AttentionBackward) => {
  const heads = op.sets.length, dk = op.q.shape[1] / heads, dv = op.v.shape[1] / heads;
  return { heads, dk, dv, wideK: up(dk, 8), wideV: up(dv, 8) };
};

function attention(op: Attention, context: LowerContext): Call[] {
  const { n, batch } = op, { heads, dk, dv, wideK, wideV } = headSizes(op), { q, k } = TILE;
  const workspace = (Math.max(wideK, wideV) + (q + k) * (wideK + wideV) + 8 * k + 3 * q) * BYTES;
  return byPart(op, context, (part, p, list, count) => [
    call("attention", Math.ceil(n / q) * batch * count, 1, [
      ...[op.q, op.k, op.v, op.o, op.lse, batch, n, heads, dk, dv, q, k],
      ...[part.queryRows, part.keyRows, part.keys, part.lo, part.hi, ...part.forward, list, count, p === 0 ? 1 : 0],
    ], workspace),
  ]);
}

function attentionBackward(op: AttentionBackward, context: LowerContext): Call[] {
  const { n, batch } = op, { heads, dk, dv, wideK, wideV } = headSizes(op), { q, k } = TILE;
  const zeros = Math.max(wideK, wideV);
  const forQueries = (zeros + (q + k) * (2 * wideK + wideV) + 12 * k + 3 * q) * BYTES;
  const forKeys = (zeros + 2 * (q + k) * (wideK + wideV) + 18 * q) * BYTES;
  const calls = byPart(op, context, (part, p, list, count) => {
    if (p === 0 && part.keys !== n) {
      throw new KernelError("Cannot lower attention_backward: the first part of a set must hold every key");
    }
    const head = [op.q, op.k, op.v, op.dO, op.lse, op.delta], shape = [batch, n, heads, dk, dv, q, k];
    const rows = [part.queryRows, part.keyRows, part.keys, part.lo, part.hi], tail = [list, count, p === 0 ? 1 : 0];
    return [
      call("attention_backward_queries", Math.ceil(n / q) * batch * count, 1, [
        ...[...head, op.dq],
        ...[...shape, ...rows, ...part.forward, ...tail],
      ], forQueries),
      call("attention_backward_keys", Math.ceil(part.keys / k) * batch * count, 1, [
        ...[...head, op.dk, op.dv],
        ...[...shape, ...rows, ...part.backward, ...tail],
      ], forKeys),
    ];
  });
  return [call("attention_delta", batch * n, PIECE / (heads * dv), [op.o, op.dO, op.delta, n, heads, dv]), ...calls];
}
