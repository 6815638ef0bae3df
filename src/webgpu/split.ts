/**
 * Operations over tensors that no binding holds: the same operation several times, each over rows, or over heads, that one does.
 *
 * By rows go all operations whose rows do not know each other, sums over rows with `accumulate`. Attention needs every key of
 * a head at once, so it goes by sequence and group of heads, copied to where they lie together; a product whose weights are too
 * large by groups of its columns. The embedding, sums, norm and update split by themselves. Decoding does not: its operations
 * have a row a sequence, and fewer sequences need less. What is then bound whole and does not fit throws and says so.
 *
 * @module
 */

import type { Attention, AttentionBackward, Linear, LinearInputGrad, LinearWeightGrad, Op, Tensor } from "../ops.ts";
import { bindable, rowsOf, tooLarge } from "./bands.ts";
import { isPacked, type PartialDropout, type Plan, planInF32 } from "./plan.ts";

/** Fields of an operation that have a row for each of its rows. */
const BY_ROWS: Readonly<Partial<Record<Op["op"], readonly string[]>>> = {
  layernorm: ["x", "y", "mean", "rstd"],
  layernorm_backward: ["x", "mean", "rstd", "dy", "residual", "dx"],
  linear: ["x", "y", "pre", "residual"],
  linear_input_grad: ["dy", "dx", "pre", "residual"],
  linear_weight_grad: ["dy", "x"],
  dropout: ["x", "y"],
  cross_entropy: ["logits", "targets", "losses", "dLogits"],
};

type Next = (plan: Plan, op: Op) => Promise<void>;

/** Plans an operation with `next`, piece by piece where a binding does not hold it. */
export async function planInPieces(plan: Plan, op: Op, next: Next): Promise<void> {
  if (op.op === "attention" || op.op === "attention_backward") return await splitAttention(plan, op, next);
  const fields = op as unknown as Record<string, Tensor | undefined>, names = (BY_ROWS[op.op] ?? []).filter((name) => fields[name]);
  const pieces = plan.pieces(names.map((name) => fields[name]!));
  if (pieces.length < 2) return await planWhole(plan, op, next);
  for (const [at, { first, rows }] of pieces.entries()) {
    const made: Record<string, unknown> = { ...op };
    for (const name of names) made[name] = plan.rows(fields[name]!, first, rows);
    if ("accumulate" in op) made.accumulate = op.accumulate || at > 0;
    if ("dropout" in op && op.dropout) {
      made.dropout = { ...op.dropout, first: first * rowsOf(op.y).width } satisfies PartialDropout;
    }
    await plan.step(at, pieces.length, () => planWhole(plan, made as unknown as Op, next));
  }
}

/** All rows at once; a product whose weights no binding holds by groups of its columns. */
async function planWhole(plan: Plan, op: Op, next: Next): Promise<void> {
  switch (op.op) {
    case "linear":
      return await splitLinear(plan, op, next);
    case "linear_input_grad":
      return await splitInputGrad(plan, op, next);
    case "linear_weight_grad":
      return await splitWeightGrad(plan, op, next);
    default:
      return await next(plan, op);
  }
}

/** How a copy of some of a tensor is stored: f16 of odd widths is kept in f32, whatever the width of the copy. */
const kept = (t: Tensor) => isPacked(t) ? "f16" : "f32";

/** Columns of a matrix, alone. */
const columns = (plan: Plan, t: Tensor, first: number, width: number): Tensor => {
  const name = `${t.name}, columns ${first} to ${first + width}`, shape = [rowsOf(t).rows, width];
  return plan.temporaryOf({ name, shape, dtype: kept(t), scratch: true });
};

/** Columns of a matrix, alone and copied there. */
function taken(plan: Plan, t: Tensor, first: number, width: number): Tensor {
  return moveBlock(plan, t, { rows: rowsOf(t).rows, first: 0, column: first, width }, columns(plan, t, first, width), "in");
}

function put(plan: Plan, alone: Tensor, t: Tensor, first: number, width: number): void {
  moveBlock(plan, t, { rows: rowsOf(t).rows, first: 0, column: first, width }, alone, "out");
}

async function splitLinear(plan: Plan, op: Linear, next: Next): Promise<void> {
  const blocks = plan.blocks(op.w), whole = op.w.shape[0];
  if (blocks.length < 2) return await next(plan, op);
  for (const [at, { tensor: w, first, rows: width }] of blocks.entries()) {
    await plan.step(at, blocks.length, async () => {
      const y = columns(plan, op.y, first, width), pre = op.pre && columns(plan, op.pre, first, width);
      const dropout: PartialDropout | undefined = op.dropout &&
        { ...op.dropout, first: ((op.dropout as PartialDropout).first ?? 0) + first, width: whole };
      const residual = op.residual && taken(plan, op.residual, first, width);
      await next(plan, { ...op, w, b: op.b && plan.rows(op.b, first, width), y, pre, residual, dropout });
      put(plan, y, op.y, first, width);
      if (pre) put(plan, pre, op.pre!, first, width);
    });
  }
}

async function splitInputGrad(plan: Plan, op: LinearInputGrad, next: Next): Promise<void> {
  const blocks = plan.blocks(op.w);
  if (blocks.length < 2) return await next(plan, op);
  // The sum goes on in f32 from one group to the next.
  if (isPacked(op.dx)) return await planInF32(plan, op, (plan, op) => splitInputGrad(plan, op, next));
  const sums = [0, 1].map((side) => plan.temporaryOf({ ...op.dx, name: `partial ${op.dx.name} ${side}`, scratch: true }));
  for (const [at, { tensor: w, first, rows: width }] of blocks.entries()) {
    await plan.step(at, blocks.length, async () => {
      const residual = at === 0 ? op.residual : sums[(at - 1) % 2], dx = at === blocks.length - 1 ? op.dx : sums[at % 2];
      await next(plan, { ...op, dy: taken(plan, op.dy, first, width), w, residual, dx });
    });
  }
}

async function splitWeightGrad(plan: Plan, op: LinearWeightGrad, next: Next): Promise<void> {
  const blocks = plan.blocks(op.dw);
  if (blocks.length < 2) return await next(plan, op);
  for (const [at, { tensor: dw, first, rows: width }] of blocks.entries()) {
    await plan.step(at, blocks.length, async () => {
      await next(plan, { ...op, dy: taken(plan, op.dy, first, width), dw, db: op.db && plan.rows(op.db, first, width) });
    });
  }
}

const roundUp4 = (width: number) => Math.ceil(width / 4) * 4;

/** Attention by sequence and group of heads. */
async function splitAttention(plan: Plan, op: Attention | AttentionBackward, next: Next): Promise<void> {
  const { n, batch, sets } = op, heads = sets.length, d = op.q.shape[1] / heads, dv = op.v.shape[1] / heads;
  // Heads are made a multiple of 4 wide, and those of f16 then copied to f32.
  const most = bindable(plan.context.limits), width = roundUp4(Math.max(d, dv)), bytes = n * width * 4;
  if (batch * heads * bytes <= most) return await next(plan, op);
  if (isPacked(op.q) && (d % 4 !== 0 || dv % 4 !== 0)) return await planInF32(plan, op, (plan, op) => splitAttention(plan, op, next));
  const group = Math.floor(most / bytes);
  if (group < 1) {
    throw tooLarge(
      `plan ${op.op}`,
      { ...op.k, name: `${op.k.name} of one head`, shape: [n, width] },
      bytes,
      plan.context.limits,
      "use a shorter context or narrower heads",
    );
  }
  const places = new Map<string, Tensor>(), starts: [number, number][] = [];
  for (let b = 0; b < batch; b++) for (let first = 0; first < heads; first += group) starts.push([b, first]);
  for (const [at, [b, first]] of starts.entries()) {
    const count = Math.min(group, heads - first);
    /** Where a matrix' columns, or a row of numbers a head, lie while their group is worked on. */
    const place = (t: Tensor, rows: number, width: number): Tensor => {
      const shape = [rows, width], key = `${t.name} ${t.dtype}`, made = places.get(key);
      if (made) return plan.view(made, 0, { ...made, shape });
      const placed = plan.temporaryOf({ name: `${t.name} of some heads`, shape, dtype: kept(t), scratch: true });
      places.set(key, placed);
      return placed;
    };
    const matrix = (t: Tensor, width: number, move: "in" | "out"): Tensor => {
      const held = place(t, n, count * width);
      const from = { rows: n, first: b * n, column: first * width, width: count * width };
      return moveBlock(plan, t, from, held, move);
    };
    const numbers = (t: Tensor, move: "in" | "out"): Tensor =>
      moveBlock(plan, t, { rows: count, first: b * heads + first, column: 0, width: n }, place(t, count, n), move);
    const inputs = { q: matrix(op.q, d, "in"), k: matrix(op.k, d, "in"), v: matrix(op.v, dv, "in") };
    const shared = { ...inputs, sets: sets.slice(first, first + count), batch: 1, n };
    if (op.op === "attention") {
      const part: Attention = { op: op.op, ...shared, o: place(op.o, n, count * dv), lse: place(op.lse, count, n) };
      await plan.step(at, starts.length, () => next(plan, part));
      matrix(op.o, dv, "out");
      numbers(op.lse, "out");
    } else {
      const part: AttentionBackward = {
        op: op.op,
        ...shared,
        o: matrix(op.o, dv, "in"),
        dO: matrix(op.dO, dv, "in"),
        lse: numbers(op.lse, "in"),
        delta: place(op.delta, count, n),
        dq: place(op.dq, n, count * d),
        dk: place(op.dk, n, count * d),
        dv: place(op.dv, n, count * dv),
      };
      await plan.step(at, starts.length, () => next(plan, part));
      for (const [t, width] of [[op.dq, d], [op.dk, d], [op.dv, dv]] as const) matrix(t, width, "out");
      numbers(op.delta, "out");
    }
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
