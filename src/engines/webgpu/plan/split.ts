/**
 * Operations over tensors that no binding holds, which do not go by rows (pieces.ts): the same operation several times. Loaded where there is one.
 *
 * Attention needs the keys of
 * a head, so it goes by sequence and group of heads, copied to where they lie together, or, where no binding holds those of one head, by
 * rows that see each other (attention_rows.ts); a product whose weights are too
 * large by groups of its columns. The embedding, sums, norm and update split by themselves. Decoding does not: its operations
 * have a row a sequence, and fewer sequences need less. What is then bound whole and does not fit throws and says so.
 *
 * @module
 */

import { type Attention, type AttentionBackward, headsOf, keyPositions, type Linear, operands, type Tensor } from "../../../ops/mod.ts";
import { bindable, isPacked, rowsOf } from "../storage.ts";
import { bytesOfHead, isBoundWhole } from "./attention.ts";
import { attentionByRows } from "./attention_rows.ts";
import { type PartialDropout, type Plan, planInF32, type Planner } from "./plan.ts";

/** How a copy of some of a tensor is stored: f16 of odd widths is kept in f32, whatever the width of the copy. */
const kept = (t: Tensor) => isPacked(t) ? "f16" : "f32";

/** Columns of a matrix, alone. */
const columns = (plan: Plan, t: Tensor, width: number): Tensor =>
  plan.temporaryOf({ name: t.name, shape: [rowsOf(t).rows, width], dtype: kept(t), scratch: true });

/** Columns of a matrix, alone and copied there. */
export function taken(plan: Plan, t: Tensor, first: number, width: number): Tensor {
  return moveBlock(plan, t, { rows: rowsOf(t).rows, first: 0, column: first, width }, columns(plan, t, width), "in");
}

function put(plan: Plan, alone: Tensor, t: Tensor, first: number, width: number): void {
  moveBlock(plan, t, { rows: rowsOf(t).rows, first: 0, column: first, width }, alone, "out");
}

export async function splitLinear(plan: Plan, op: Linear, next: Planner<Linear>): Promise<void> {
  const blocks = plan.blocks(op.w), whole = op.w.shape[0];
  if (blocks.length < 2) return await next(plan, op);
  for (const [at, { tensor: w, first, rows: width }] of blocks.entries()) {
    await plan.step(at, blocks.length, async () => {
      const y = columns(plan, op.y, width), pre = op.pre && columns(plan, op.pre, width);
      const dropout: PartialDropout | undefined = op.dropout &&
        { ...op.dropout, first: (op.dropout.first ?? 0) + first, width: whole };
      const residual = op.residual && taken(plan, op.residual, first, width);
      const [b, scale] = [op.b, op.scale].map((t) => t && plan.rows(t, first, width));
      await next(plan, { ...op, w, scale, b, y, pre, residual, dropout });
      put(plan, y, op.y, first, width);
      if (pre) put(plan, pre, op.pre!, first, width);
    });
  }
}

/** Heads of q from one to before another, at most `most` of them: all that read the heads of k and v they read, or some that read one. */
function* headRuns(heads: number, group: number, most: number): Generator<readonly [first: number, end: number]> {
  const each = most < group ? most : most - most % group;
  for (let first = 0, end; first < heads; first = end) {
    end = Math.min(first + each, heads, most < group ? first - first % group + group : heads);
    yield [first, end];
  }
}

/** Attention by sequence and group of heads. */
export async function splitAttention<O extends Attention | AttentionBackward>(plan: Plan, op: O, next: Planner<O>): Promise<void> {
  const { n, batch, sets, slopes } = op, { heads, group, d, dv } = headsOf(op), m = keyPositions(op);
  if (isBoundWhole(plan, op)) return await next(plan, op);
  const most = bindable(plan.context.limits), bytes = bytesOfHead(op);
  if (isPacked(op.q) && (d % 4 !== 0 || dv % 4 !== 0)) return await planInF32(plan, op, (plan, op) => splitAttention(plan, op, next));
  const together = Math.floor(most / bytes);
  if (together < 1) return await attentionByRows(plan, op, next);
  // Matrices by the width of their heads; lse and delta have a row per head, spans are of all heads.
  const widths: Readonly<Record<string, number>> = { q: d, k: d, v: dv, o: dv, dO: dv, dq: d, dk: d, dv, lse: 0, delta: 0, spans: 2 };
  const { reads, writes } = operands(op), fields = op as unknown as Record<string, Tensor>;
  const tensors = Object.keys(widths).filter((name) => fields[name]).map((name) => [name, fields[name], widths[name]] as const);
  const places = new Map<Tensor, Tensor>(), runs: (readonly [number, number, number])[] = [];
  for (let b = 0; b < batch; b++) for (const [first, end] of headRuns(heads, group, together)) runs.push([b, first, end]);
  for (const [at, [b, first, end]] of runs.entries()) {
    const count = end - first, kvFirst = Math.floor(first / group), kvCount = Math.ceil(end / group) - kvFirst;
    /** First head, and heads, of a matrix. */
    const isKeys = (name: string) => /^d?[kv]$/.test(name), rowsOfMatrix = (name: string) => isKeys(name) ? m : n;
    const headsOfMatrix = (name: string) => name === "spans" ? [0, 1] : isKeys(name) ? [kvFirst, kvCount] : [first, count];
    /** Where a matrix' columns, or a row of numbers per head, lie while their group is worked on. */
    const place = (t: Tensor, rows: number, width: number): Tensor => {
      const shape = [rows, width], made = places.get(t);
      if (made) return plan.view(made, 0, { ...made, shape });
      const placed = plan.temporaryOf({ name: t.name, shape, dtype: kept(t), scratch: true });
      places.set(t, placed);
      return placed;
    };
    const made: Record<string, unknown> = {
      ...op,
      sets: sets.slice(first, end),
      slopes: slopes?.slice(first, end),
      kvHeads: kvCount,
      adds: first % group > 0,
      batch: 1,
    };
    for (const [name, t, width] of tensors) {
      made[name] = width ? place(t, rowsOfMatrix(name), headsOfMatrix(name)[1] * width) : place(t, count, n);
    }
    const move = (way: "in" | "out", which: readonly Tensor[]) => {
      for (const [name, t, width] of tensors) {
        if (!which.includes(t)) continue;
        const [own, owned] = headsOfMatrix(name);
        const block = width
          ? { rows: rowsOfMatrix(name), first: b * rowsOfMatrix(name), column: own * width, width: owned * width }
          : { rows: count, first: b * heads + first, column: 0, width: n };
        moveBlock(plan, t, block, made[name] as Tensor, way);
      }
    };
    move("in", reads);
    await plan.step(at, runs.length, async () => await next(plan, made as unknown as O));
    move("out", writes);
  }
}

interface Block {
  /** Rows, and the first of them. */
  readonly rows: number;
  readonly first: number;
  /** First column, and columns. */
  readonly column: number;
  readonly width: number;
}

/** Copies a block of a tensor to where it lies alone, or from there. Columns of f16 are even. */
function moveBlock(plan: Plan, t: Tensor, block: Block, alone: Tensor, move: "in" | "out"): Tensor {
  const words = isPacked(t) ? 2 : 1, stride = rowsOf(t).width / words, width = block.width / words;
  for (const band of plan.blocks(t)) {
    const from = Math.max(block.first, band.first), to = Math.min(block.first + block.rows, band.first + band.rows);
    if (from >= to) continue;
    const there = { tensor: band.tensor, first: (from - band.first) * stride + block.column / words, stride };
    const here = { tensor: alone, first: (from - block.first) * width, stride: width },
      [x, y] = move === "in" ? [there, here] : [here, there];
    const count = (to - from) * width;
    plan.dispatch({
      kernel: "copy_block",
      values: {},
      bindings: { x: x.tensor, y: y.tensor },
      params: { count, width, x_first: x.first, x_stride: x.stride, y_first: y.first, y_stride: y.stride },
      grid: plan.linear(count),
    });
  }
  return alone;
}
