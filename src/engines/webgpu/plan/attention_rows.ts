/**
 * Attention of which no binding holds one head's rows: by rows that see each other alone. A window's, or a segment's, are neighbours; those
 * of a residue class are a sequence of their own, with others beside it. They are copied to where they lie together, and what is asked of
 * them is attention again.
 *
 * @module
 */

import { type Attention, type AttentionBackward, headsOf, keyPositions, operands, type Tensor } from "../../../ops/mod.ts";
import type { AttentionSet } from "../../../pattern/sets.ts";
import { tooLarge } from "../bands.ts";
import { bindable, isPacked, rowsOf } from "../storage.ts";
import type { Plan, Planner } from "./plan.ts";

/** Some rows: row r of them is row base + ⌊r / inner⌋ · outer + r mod inner of a sequence. */
interface Rows {
  readonly rows: number;
  readonly base: number;
  readonly inner: number;
  readonly outer: number;
  /** Queries whose keys are all among them, from one to before another. */
  readonly first: number;
  readonly end: number;
  /** Rows at their beginning that were among those before. */
  readonly again: number;
  /** What attends to what among them. */
  readonly set: AttentionSet;
  /** Positions from one row to the next, on average: distances are as many times as long. */
  readonly apart: number;
}

/** The rows of a sequence, at most so many at a time; undefined where a set's do not part so. */
function rowsThatMeet(set: AttentionSet, n: number, most: number): Rows[] | undefined {
  const made: Rows[] = [];
  if (set.kind === "window") {
    const after = set.causal ? 0 : set.l, step = most - set.l - after;
    let reached = 0;
    for (let query = 0; step > 0 && query < n; query += step) {
      const base = Math.max(0, query - set.l), last = Math.min(n, query + step), end = Math.min(n, last + after), rows = end - base;
      const again = Math.max(0, reached - base);
      made.push({ rows, base, inner: rows, outer: rows, first: query - base, end: last - base, again, set, apart: 1 });
      reached = end;
    }
  } else if (set.kind === "segment") {
    // Windows within windows begin anew where one of the largest does.
    const whole = set.larger?.at(-1) ?? set.l, step = Math.floor(most / whole) * whole;
    for (let base = 0; step > 0 && base < n; base += step) {
      const rows = Math.min(n - base, step);
      made.push({ rows, base, inner: rows, outer: rows, first: 0, end: rows, again: 0, set, apart: 1 });
    }
  } else if (set.kind === "column") {
    // Residue classes side by side: their rows, in order, have the same set with as many classes as there are.
    const { l, within } = set, classes = Math.floor(most / Math.ceil(n / l));
    for (let base = 0; classes > 0 && base < Math.min(l, n); base += classes) {
      const inner = Math.min(classes, l - base), rows = Math.floor(n / l) * inner + Math.max(0, Math.min(inner, n % l - base));
      const own = { ...set, l: inner, ...within && { within: Math.floor(within / l) * inner } };
      made.push({ rows, base, inner, outer: l, first: 0, end: rows, again: 0, set: own, apart: l / inner });
    }
  }
  return made.length > 0 ? made : undefined;
}

/** Which rows are moved. */
interface Moved {
  /** Of the whole: the first column, and the row where the sequence begins. */
  readonly column: number;
  readonly from: number;
  /** Alone: from one to before another. */
  readonly first: number;
  readonly end: number;
  /** Whether from alone to the whole. */
  readonly out: boolean;
  /** Whether the whole is a row of numbers per head and sequence: a matrix of one column. */
  readonly isFlat: boolean;
}

/** Moves rows of a head's columns to where they lie alone, or from there; those alone that are not moved become 0. */
function move(
  plan: Plan,
  whole: Tensor,
  alone: Tensor,
  { rows, base, inner, outer }: Rows,
  { column, from, first, end, out, isFlat }: Moved,
): void {
  const words = isPacked(whole) ? 2 : 1, { width } = rowsOf(alone), count = rows * width / words;
  const stride = isFlat ? 1 : rowsOf(whole).width, each = isFlat ? rowsOf(whole).width : 1;
  for (const band of plan.blocks(whole)) {
    plan.dispatch({
      kernel: "copy_rows",
      values: {},
      bindings: out ? { x: alone, y: band.tensor } : { x: band.tensor, y: alone },
      params: {
        count,
        width: width / words,
        base: from + base,
        inner,
        outer,
        first,
        end,
        band: band.first * each,
        band_end: (band.first + band.rows) * each,
        stride: stride / words,
        column: column / words,
        out: Number(out),
      },
      grid: plan.linear(count),
    });
  }
}

/**
 * Attention head by head, each by rows that meet.
 *
 * @throws {OutOfMemoryError} where a set's rows do not part: every query may see keys from all over
 */
export async function attentionByRows<O extends Attention | AttentionBackward>(plan: Plan, op: O, next: Planner<O>): Promise<void> {
  const { n, batch, sets, slopes, spans } = op, { heads, group, d, dv } = headsOf(op), { limits } = plan.context;
  const width = Math.ceil(Math.max(d, dv) / 4) * 4, most = Math.floor(bindable(limits) / (4 * width));
  const parted = sets.map((set) => spans ? undefined : rowsThatMeet(set, n, most));
  if (parted.includes(undefined)) {
    const longer = Math.max(n, keyPositions(op)), head = { ...op.k, name: `${op.k.name} of one head`, shape: [longer, width] };
    const todo = "use a shorter context, narrower heads, or local or strided attention, interleaved or a factor per head";
    throw tooLarge(`plan ${op.op}`, head, longer * width * 4, limits, todo);
  }
  const widths: Readonly<Record<string, number>> = { q: d, k: d, v: dv, o: dv, dO: dv, dq: d, dk: d, dv, lse: 1, delta: 1 };
  const { reads, writes } = operands(op), fields = op as unknown as Record<string, Tensor>;
  const tensors = Object.keys(widths).filter((name) => fields[name]).map((name) => [name, fields[name], widths[name]] as const);
  const work: (readonly [b: number, head: number, rows: Rows])[] = [];
  for (let b = 0; b < batch; b++) parted.forEach((pieces, head) => work.push(...pieces!.map((rows) => [b, head, rows] as const)));
  for (const [at, [b, head, piece]] of work.entries()) {
    const isKey = (name: string) => /^d[kv]$/.test(name), owner = Math.floor(head / group), isFurther = head % group > 0;
    // Of keys, what heads and rows before gave.
    const known = isFurther ? piece.rows : piece.again;
    const isFlat = (name: string) => name === "lse" || name === "delta";
    /** A row of numbers as a column of as many rows: the same bytes. */
    const asRows = (name: string, t: Tensor) => isFlat(name) ? plan.view(t, 0, { ...t, shape: [t.shape[1], 1] }) : t;
    const place = (name: string, width: number) =>
      isFlat(name)
        ? { isFlat: true, column: 0, from: (b * heads + head) * n }
        : { isFlat: false, column: (/^d?[kv]$/.test(name) ? owner : head) * width, from: b * n };
    await plan.step(at, work.length, async () => {
      const made: Record<string, unknown> = {
        ...op,
        sets: [piece.set],
        slopes: slopes && [slopes[head] * piece.apart],
        kvHeads: 1,
        batch: 1,
        n: piece.rows,
        adds: known > 0,
      };
      for (const [name, t, width] of tensors) {
        const shape = isFlat(name) ? [1, piece.rows] : [piece.rows, width];
        const alone = plan.temporaryOf({ name: t.name, shape, dtype: isPacked(t) ? "f16" : "f32", scratch: true });
        made[name] = alone;
        const part = { ...place(name, width), out: false };
        // Queries that see more keys than are here have no gradient here.
        if (name === "dO") move(plan, t, asRows(name, alone), piece, { ...part, first: piece.first, end: piece.end });
        else if (reads.includes(t)) move(plan, t, asRows(name, alone), piece, { ...part, first: 0, end: piece.rows });
        else if (isKey(name) && known > 0) move(plan, t, asRows(name, alone), piece, { ...part, first: 0, end: known });
      }
      await next(plan, made as unknown as O);
      for (const [name, t, width] of tensors) {
        if (!writes.includes(t)) continue;
        const part = isKey(name) ? { first: 0, end: piece.rows } : { first: piece.first, end: piece.end };
        move(plan, t, asRows(name, made[name] as Tensor), piece, { ...place(name, width), ...part, out: true });
      }
    });
  }
}
