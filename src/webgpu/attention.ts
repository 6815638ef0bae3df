/**
 * Dispatches of sparse attention: one a part of a set and group of heads that share the set.
 *
 * @module
 */

import { KernelError, ShapeError } from "../errors.ts";
import { buildLayout, type Layout, type LayoutPart } from "../layout.ts";
import { type Attention, type AttentionBackward, type AttentionDecode, size, type Tensor } from "../ops.ts";
import { type AttentionSet, setKey } from "../pattern.ts";
import { type Plan, planInF32, storage4 } from "./plan.ts";
import type { Values } from "./specialise.ts";

/** TY·TM rows owned by a workgroup of TX·TY invocations, TX·TN rows streamed at a time. */
export type AttentionTile = { readonly TX: number; readonly TY: number; readonly TM: number; readonly TN: number };

/** Largest first. The last fits 16 KiB of workgroup memory for every head width up to 128. */
export const ATTENTION_TILES: readonly AttentionTile[] = [
  { TX: 8, TY: 16, TM: 8, TN: 4 },
  { TX: 8, TY: 8, TM: 8, TN: 4 },
  { TX: 8, TY: 16, TM: 4, TN: 4 },
  { TX: 8, TY: 8, TM: 4, TN: 4 },
  { TX: 4, TY: 4, TM: 4, TN: 4 },
];

const WIDEST = 128;

/** Workgroup memory of the hungriest of the four kernels, in bytes: as the arrays in wgsl/attention_*.wgsl are declared. */
export function workgroupBytes({ TX, TY, TM, TN }: AttentionTile, d4: number, v4: number): number {
  const groups = Math.max(TX, TY), d = Math.ceil(d4 / 8) * TN, v = Math.ceil(v4 / 8) * TN, p = TM * TN / 4;
  const keysOverlaid = groups * Math.max(d, p) + TX * v, valuesOverlaid = groups * Math.max(v, p) + TX * d;
  return 128 * Math.max(keysOverlaid, valuesOverlaid);
}

// Workgroups below which a smaller tile is taken, so that a large GPU has something to do.
const FILL = 256;

function chooseTile(plan: Plan, set: AttentionSet, d4: number, v4: number, n: number, lines: number): AttentionTile {
  const { limits, tiles } = plan.context;
  const fitting = ATTENTION_TILES.filter((tile) =>
    workgroupBytes(tile, d4, v4) <= limits.maxComputeWorkgroupStorageSize &&
    tile.TX * tile.TY <= limits.maxComputeInvocationsPerWorkgroup
  );
  if (fitting.length === 0) {
    throw new KernelError(
      `Cannot run attention with heads of ${d4 * 4} and ${v4 * 4}: the smallest tile needs ${
        workgroupBytes(ATTENTION_TILES[ATTENTION_TILES.length - 1], d4, v4)
      } bytes ` +
        `of workgroup memory, the device allows ${limits.maxComputeWorkgroupStorageSize}`,
    );
  }
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return fitting[fitting.length - 1];
  // Eight rows of a head wider than 64 do not fit into registers beside their scores, and narrow bands waste tall tiles.
  const rows = Math.max(d4, v4) > 16 ? 4 : 8, band = set.kind === "dense" || set.kind === "fixed" || set.kind === "summary" ? 128 : 64;
  const usable = fitting.filter((tile) => tile.TM <= rows && tile.TY * tile.TM <= band && tile.TX === 8);
  return usable.find((tile) => Math.ceil(n / (tile.TY * tile.TM)) * lines >= FILL) ?? usable.at(-1) ?? fitting[fitting.length - 1];
}

/** A part of a layout with where its tables begin. */
interface PlacedPart {
  readonly part: LayoutPart;
  readonly params: Readonly<Record<string, number>>;
  readonly forward: { starts_at: number; list_at: number };
  readonly backward: { starts_at: number; list_at: number };
}

/** A layout as the kernels read it. */
interface PlacedLayout {
  readonly blocks: Tensor;
  readonly parts: readonly PlacedPart[];
}

/** Heads, then of each part the rows, intervals and tile lists, in one array of u32. */
function placeLayout(plan: Plan, layout: Layout, heads: readonly number[]): PlacedLayout {
  const tables: Uint32Array[] = [];
  let top = 0;
  const put = (table: Uint32Array) => {
    const at = top;
    tables.push(table);
    top += table.length;
    return at;
  };
  put(Uint32Array.from(heads));
  // A part whose keys are all rows goes first: it writes every row of dk and dv, to which the others add.
  const whole = layout.parts.filter((part) => part.keys === layout.n), others = layout.parts.filter((part) => part.keys !== layout.n);
  if (whole.length === 0) throw new ShapeError("Cannot place a layout of which no part has every row among its keys");
  const parts = [...whole, ...others].filter((part) => part.keys > 0).map((part): PlacedPart => ({
    part,
    params: {
      queries_at: part.queryRows ? put(part.queryRows) : 0,
      keys_at: part.keyRows ? put(part.keyRows) : 0,
      lo_at: put(part.lo),
      hi_at: put(part.hi),
      queries: part.queries,
      keys: part.keys,
    },
    forward: { starts_at: put(part.forward.starts), list_at: put(part.forward.list) },
    backward: { starts_at: put(part.backward.starts), list_at: put(part.backward.list) },
  }));
  const data = new Uint32Array(top);
  let at = 0;
  for (const table of tables) {
    data.set(table, at);
    at += table.length;
  }
  return { blocks: plan.constant(`layout of ${heads.length} heads`, data), parts };
}

function layoutFor(
  plan: Plan,
  set: AttentionSet,
  n: number,
  heads: readonly number[],
  tile: { q: number; k: number },
): Promise<PlacedLayout> {
  const key = JSON.stringify([setKey(set), n, heads, tile.q, tile.k]);
  return plan.once(key, async () => placeLayout(plan, await buildLayout(set, n, tile), heads));
}

/** Heads by the set they share. */
function headGroups(sets: readonly AttentionSet[]): { set: AttentionSet; heads: number[] }[] {
  const groups = new Map<string, { set: AttentionSet; heads: number[] }>();
  sets.forEach((set, head) => {
    const key = setKey(set), group = groups.get(key);
    if (group) group.heads.push(head);
    else groups.set(key, { set, heads: [head] });
  });
  return [...groups.values()];
}

/** Copies heads to a width that is a multiple of 4, since the kernels load vec4. */
function padded(plan: Plan, t: Tensor, width: number): Tensor {
  if (width % 4 === 0) return t;
  const to = Math.ceil(width / 4) * 4, count = size(t) / width * to, y = plan.temporary(`${t.name} padded`, count);
  planPad(plan, t, width, y, to, count);
  return y;
}

/** A place for heads of a width that is a multiple of 4: the tensor itself where it is one. */
function paddedOutput(plan: Plan, t: Tensor, width: number): Tensor {
  return width % 4 === 0 ? t : plan.temporary(`${t.name} padded`, size(t) / width * Math.ceil(width / 4) * 4);
}

/** Copies padded heads back. */
function unpad(plan: Plan, x: Tensor, t: Tensor, width: number): void {
  if (x !== t) planPad(plan, x, Math.ceil(width / 4) * 4, t, width, size(t));
}

function planPad(plan: Plan, x: Tensor, source: number, y: Tensor, width: number, count: number): void {
  plan.dispatch({ kernel: "pad_heads", values: {}, bindings: { x, y }, params: { count, source, width }, grid: plan.linear(count) });
}

/** What forward and backward have in common. */
function geometry(op: Attention | AttentionBackward) {
  const heads = op.sets.length, d = op.q.shape[1] / heads, dv = op.v.shape[1] / heads;
  if (d > WIDEST || dv > WIDEST) {
    throw new ShapeError(
      `Cannot plan ${op.op}: heads are ${d} and ${dv} wide, the WebGPU engine has kernels up to ${WIDEST}; use more heads`,
    );
  }
  return { heads, d, dv, d4: Math.ceil(d / 4), v4: Math.ceil(dv / 4), scale: 1 / Math.sqrt(d) };
}

function partValues(q: Tensor, tile: AttentionTile, d4: number, v4: number, { part }: PlacedPart, later: boolean): Values {
  return { ...tile, STORAGE: storage4(q), D4: d4, V4: v4, QUERY_ROWS: !!part.queryRows, KEY_ROWS: !!part.keyRows, CONTINUE: later };
}

/** Heads whose rows are not a multiple of four are padded, and that in f32. */
const isWide = ({ d, dv }: { d: number; dv: number }) => d % 4 === 0 && dv % 4 === 0;

/** o and lse */
export async function planAttention(plan: Plan, op: Attention): Promise<void> {
  if (isWide(geometry(op))) await planParts(plan, op);
  else await planInF32(plan, op, planParts);
}

async function planParts(plan: Plan, op: Attention): Promise<void> {
  const { n, batch } = op, { heads, d, dv, d4, v4, scale } = geometry(op);
  const q = padded(plan, op.q, d), k = padded(plan, op.k, d), v = padded(plan, op.v, dv), o = paddedOutput(plan, op.o, dv);
  for (const group of headGroups(op.sets)) {
    const lines = group.heads.length * batch, tile = chooseTile(plan, group.set, d4, v4, n, lines), rows = tile.TY * tile.TM;
    const { blocks, parts } = await layoutFor(plan, group.set, n, group.heads, { q: rows, k: tile.TX * tile.TN });
    const tiles = Math.ceil(n / rows);
    parts.forEach((placed, at) =>
      plan.dispatch({
        kernel: "attention_forward",
        values: partValues(q, tile, d4, v4, placed, at > 0),
        bindings: { blocks, q, k, v, o, lse: op.lse },
        params: { n, heads, group_heads: group.heads.length, heads_at: 0, tiles, scale, ...placed.params, ...placed.forward },
        grid: [lines, tiles, 1],
      })
    );
  }
  unpad(plan, o, op.o, dv);
}

/** delta, dq, dk, dv */
export async function planAttentionBackward(plan: Plan, op: AttentionBackward): Promise<void> {
  if (isWide(geometry(op))) await planPartsBackward(plan, op);
  else await planInF32(plan, op, planPartsBackward);
}

async function planPartsBackward(plan: Plan, op: AttentionBackward): Promise<void> {
  const { n, batch, lse, delta } = op, { heads, d, dv: widthV, d4, v4, scale } = geometry(op);
  const q = padded(plan, op.q, d), k = padded(plan, op.k, d), v = padded(plan, op.v, widthV);
  const o = padded(plan, op.o, widthV), d_o = padded(plan, op.dO, widthV);
  const dq = paddedOutput(plan, op.dq, d), dk = paddedOutput(plan, op.dk, d), dv = paddedOutput(plan, op.dv, widthV);
  const count = batch * n * heads;
  plan.dispatch({
    kernel: "attention_backward_delta",
    values: { STORAGE: storage4(o) },
    bindings: { o, d_o, delta },
    params: { count, n, heads, width4: v4 },
    grid: plan.linear(count),
  });
  for (const group of headGroups(op.sets)) {
    const lines = group.heads.length * batch, tile = chooseTile(plan, group.set, d4, v4, n, lines);
    const owned = tile.TY * tile.TM, streamed = tile.TX * tile.TN;
    const shared = { n, heads, group_heads: group.heads.length, heads_at: 0, scale };
    const byQuery = await layoutFor(plan, group.set, n, group.heads, { q: owned, k: streamed });
    byQuery.parts.forEach((placed, at) => {
      const tiles = Math.ceil(n / owned);
      plan.dispatch({
        kernel: "attention_backward_dq",
        values: partValues(q, tile, d4, v4, placed, at > 0),
        bindings: { blocks: byQuery.blocks, q, k, v, d_o, lse, delta, dq },
        params: { ...shared, tiles, ...placed.params, ...placed.forward },
        grid: [lines, tiles, 1],
      });
    });
    const byKey = await layoutFor(plan, group.set, n, group.heads, { q: streamed, k: owned });
    byKey.parts.forEach((placed, at) => {
      const tiles = Math.ceil(placed.part.keys / owned), values = partValues(q, tile, d4, v4, placed, at > 0);
      const params = { ...shared, tiles, ...placed.params, ...placed.backward }, grid = [lines, tiles, 1] as const, { blocks } = byKey;
      plan.dispatch({ kernel: "attention_backward_dk", values, bindings: { blocks, q, k, v, d_o, lse, delta, dk }, params, grid });
      plan.dispatch({ kernel: "attention_backward_dv", values, bindings: { blocks, q, k, d_o, lse, dv }, params, grid });
    });
  }
  unpad(plan, dq, op.dq, d);
  unpad(plan, dk, op.dk, d);
  unpad(plan, dv, op.dv, widthV);
}

// Slots a workgroup reads at least, and workgroups a head at most.
const DECODE_SHARE = 256, DECODE_SHARES = 64;

/** One position: caches written, then read by shares, then the shares joined */
export function planAttentionDecode(plan: Plan, op: AttentionDecode): void {
  const [batch, heads, slots, d] = op.keys.shape, dv = op.values.shape[3];
  if (dv > WIDEST) {
    throw new ShapeError(`Cannot plan ${op.op}: heads of v are ${dv} wide, the WebGPU engine has kernels up to ${WIDEST}; use more heads`);
  }
  for (const [x, cache, width] of [[op.k, op.keys, d], [op.v, op.values, dv]] as const) {
    const count = batch * heads * width;
    plan.dispatch({
      kernel: "attention_decode_store",
      values: {},
      bindings: { x, slot: op.slot, cache },
      params: { count, heads, slots, width },
      grid: [Math.ceil(count / 256), 1, 1],
    });
  }
  const share = Math.max(DECODE_SHARE, Math.ceil(slots / DECODE_SHARES)), shares = Math.ceil(slots / share);
  const partials = plan.temporary("decoded shares", batch * heads * shares * (2 + dv)), count = batch * heads * dv;
  plan.dispatch({
    kernel: "attention_decode",
    values: {},
    bindings: { q: op.q, keys: op.keys, values: op.values, index: op.index, count: op.count, partials },
    params: { heads, slots, key_width: d, value_width: dv, share, scale: 1 / Math.sqrt(d) },
    grid: [shares, batch * heads, 1],
  });
  plan.dispatch({
    kernel: "attention_decode_combine",
    values: {},
    bindings: { partials, o: op.o },
    params: { count, width: dv, shares },
    grid: [Math.ceil(count / 256), 1, 1],
  });
}
