/**
 * What the tiled attention kernels read beside their operands: one array of u32 that holds, for a stage, its items (workgroups),
 * their runs (tiles of one part), the tile lists, the order of rows, and the interval of keys of each query.
 *
 * A set's parts that share the order of the rows owned are one stage: a workgroup goes through the lists of all of them. All
 * heads of a layer are in one dispatch, the longest lists first, whatever their sets.
 *
 * @module
 */

import { ShapeError } from "../../../base/errors.ts";
import type { Tensor } from "../../../ops/mod.ts";
import { buildInOrder, buildLayout, type InOrderPart, type LayoutPart } from "../../../pattern/layout.ts";
import { type AttentionSet, keysOf, setKey } from "../../../pattern/sets.ts";
import type { Limits } from "../device.ts";
import { PLACES, type Plan } from "./plan.ts";

/** No table of rows: they are in order. */
const IN_ORDER = 0xffffffff;

/** One dispatch over all heads. */
export interface Stage {
  /** Uniforms of the kernel. */
  readonly params: { readonly items: number; readonly items_at: number; readonly slots: number };
  /** Not the first of its heads: adds to what is there. */
  readonly later: boolean;
  /** Where lists were cut: the items of attention_join. */
  readonly join?: { readonly units: number; readonly items_at: number };
}

/** The stages of a layer for one kernel. */
export interface Tables {
  readonly blocks: Tensor;
  readonly stages: readonly Stage[];
}

/** Which rows a workgroup owns, and how many of either side a tile has. */
export interface TableOptions {
  readonly owner: "query" | "key";
  readonly owned: number;
  readonly streamed: number;
  /** Most tiles an item should have, given those of all; 0 where lists are not cut. */
  readonly share: (tiles: number) => number;
  /** Whether sets are one part in the rows' order, with bits for pairs, instead of parts with intervals. */
  readonly bits: boolean;
  /** Whether query owners are to find what was kept of each pair of tiles. */
  readonly pairs?: boolean;
  /** Heads of q that read one of k and v, where they are more than one: key owners go through the lists of them all. */
  readonly group?: number;
  /** What unscaled scores of each head lose per position of distance. */
  readonly slopes?: readonly number[];
  /** Whether queries have spans beside their sets, so that no tile is known to be full. */
  readonly spans?: boolean;
}

type AnyPart = LayoutPart | InOrderPart;

const sameRows = (a: Uint32Array | null, b: Uint32Array | null) =>
  a === b || (a !== null && b !== null && a.length === b.length && a.every((row, at) => row === b[at]));

/** The parts of sets by the order of the rows owned; the first of these orders has every row. */
function stagesOf<P extends { readonly part: AnyPart }>(parts: readonly P[], owner: "query" | "key"): P[][] {
  const rows = ({ part }: P) => owner === "query" ? part.queryRows : part.keyRows,
    isWhole = ({ part }: P) => part.keyRows === null || part.keys === part.queries;
  const orders: P[][] = [];
  for (const one of parts) {
    if (one.part.keys === 0) continue;
    const known = orders.find(([first]) => sameRows(rows(first), rows(one)));
    if (known) known.push(one);
    else orders.push([one]);
  }
  if (owner === "key") orders.sort(([a], [b]) => Number(isWhole(b)) - Number(isWhole(a)));
  const [first] = orders[0] ?? [];
  if (!first || (owner === "key" && !isWhole(first))) {
    throw new ShapeError("Cannot plan attention over a set of which no part has every row among its keys");
  }
  return orders;
}

/** Words in the making. */
class Words {
  readonly #tables: Uint32Array[] = [];
  #top = 0;

  put(table: Uint32Array): number {
    const at = this.#top;
    this.#tables.push(table);
    this.#top += table.length;
    return at;
  }

  join(): Uint32Array {
    const all = new Uint32Array(this.#top);
    let at = 0;
    for (const table of this.#tables) {
      all.set(table, at);
      at += table.length;
    }
    return all;
  }
}

/** A tile of one head with its lists; a head of k where keys own. */
interface Owned {
  readonly head: number;
  readonly tile: number;
  readonly rowsAt: number;
  readonly rows: number;
  /** Of each part that has any tile: first entry, end, and the words that every run of that part shares. */
  readonly lists: { first: number; end: number; shared: readonly number[] }[];
  readonly length: number;
  /** Place of the first of this head's pairs of tiles. */
  readonly pairs: number;
}

/** For each entry of the forward lists its place in the backward ones. */
function turned({ forward, backward }: Pick<LayoutPart, "forward" | "backward">): Uint32Array {
  const next = forward.starts.slice(), places = new Uint32Array(forward.list.length);
  // Both sides list ascending, so the entries of a query tile are met in their order.
  backward.list.forEach((entry, at) => places[next[entry >> 1]++] = at);
  return places;
}

/** Lists cut into pieces of at most `share` tiles. */
function pieces({ lists, length }: Owned, share: number): Owned["lists"][] {
  const count = Math.ceil(length / share), each = Math.ceil(length / count), made: Owned["lists"][] = [];
  let room = 0;
  for (const { first, end, shared } of lists) {
    for (let at = first; at < end;) {
      if (room === 0) {
        made.push([]);
        room = each;
      }
      const take = Math.min(room, end - at);
      made.at(-1)!.push({ first: at, end: at + take, shared });
      at += take;
      room -= take;
    }
  }
  return made;
}

const ITEM = 8, JOIN = 6;

const longestOf = (stage: readonly Owned[]) => stage.reduce((most, { length }) => Math.max(most, length), 0);

/** Owners whose heads, `each` of them one after another, have the same sets. */
function ownersBySets(sets: readonly AttentionSet[], each: number): Iterable<{ own: readonly AttentionSet[]; owners: number[] }> {
  const groups = new Map<string, { own: readonly AttentionSet[]; owners: number[] }>();
  for (let owner = 0; owner * each < sets.length; owner++) {
    const own = sets.slice(owner * each, (owner + 1) * each), key = own.map(setKey).join(), group = groups.get(key);
    if (group) group.owners.push(owner);
    else groups.set(key, { own, owners: [owner] });
  }
  return groups.values();
}

/** A part of a set, in words: its lists, and what every run of it has. */
interface PlacedPart {
  readonly starts: Uint32Array;
  /** Where its lists are. */
  readonly at: number;
  readonly shared: readonly number[];
}

/** The sets of some heads laid out, each once, with their pairs of tiles. */
async function layoutsOf(sets: readonly AttentionSet[], n: number, tile: { q: number; k: number }, bits: boolean) {
  const layouts = new Map<string, readonly AnyPart[]>();
  for (const set of sets) {
    const key = setKey(set);
    if (!layouts.has(key)) layouts.set(key, (await (bits ? buildInOrder : buildLayout)(set, n, tile)).parts);
  }
  const partsOf = (set: AttentionSet) => layouts.get(setKey(set))!;
  // A pair of tiles has its place by the backward lists, whichever side owns, head after head.
  const before = new Map<AnyPart, number>(), first: number[] = [];
  for (const parts of layouts.values()) {
    parts.reduce((sum, part) => (before.set(part, sum), sum + part.backward.list.length), 0);
  }
  const pairs = sets.reduce(
    (sum, set) => (first.push(sum), partsOf(set).reduce((all, { backward }) => all + backward.list.length, sum)),
    0,
  );
  return { partsOf, before, first, pairs };
}

/** The tiles of each stage with their lists, which go to `words`. */
async function stagesWith(
  words: Words,
  sets: readonly AttentionSet[],
  n: number,
  { owner, owned, streamed, bits, pairs: isKept, group = 1, slopes, spans }: Omit<TableOptions, "share">,
): Promise<Owned[][]> {
  const isQuery = owner === "query", tile = isQuery ? { q: owned, k: streamed } : { q: streamed, k: owned };
  const { partsOf, before, first } = await layoutsOf(sets, n, tile, bits), stages: Owned[][] = [];
  const rows = new Map<Uint32Array, number>(), placed = new Map<AnyPart, PlacedPart>();
  const rowsAt = (map: Uint32Array | null) => {
    if (!map) return IN_ORDER;
    if (!rows.has(map)) rows.set(map, words.put(map));
    return rows.get(map)!;
  };
  const place = (part: AnyPart): PlacedPart => {
    const { starts, list } = isQuery ? part.forward : part.backward, at = words.put(spans ? list.map((entry) => entry | 1) : list);
    const [other, others] = isQuery ? [part.keyRows, part.keys] : [part.queryRows, part.queries];
    const keys = "bits" in part ? [words.put(part.bits), part.words] : [words.put(part.lo), words.put(part.hi)];
    const places = !isQuery ? before.get(part)! : isKept ? words.put(turned(part).map((place) => place + before.get(part)!)) : at;
    return { starts, at, shared: [rowsAt(other), others, ...keys, (places - at) >>> 0] };
  };
  const each = isQuery ? 1 : group, isPlain = group === 1 && !slopes;
  /** What a run has for head `head` of q: where its pairs begin, where the item does not say; the head that streams; the slope. */
  const runOf = (shared: readonly number[], head: number) => {
    const streams = isQuery ? [sets.length / group, Math.floor(head / group)] : [sets.length, head], [pairs] = shared.slice(-1);
    return [
      ...shared.slice(0, -1),
      each > 1 ? (pairs + first[head]) >>> 0 : pairs,
      ...group > 1 ? streams : [],
      ...slopes ? floatBits(slopes[head]) : [],
    ];
  };
  for (const { own, owners } of ownersBySets(sets, each)) {
    const all = own.flatMap((set, member) => partsOf(set).map((part) => ({ part, member })));
    stagesOf(all, owner).forEach((parts, stage) => {
      const [{ part }] = parts, [order, count] = isQuery ? [part.queryRows, part.queries] : [part.keyRows, part.keys];
      const made = parts.map(({ part, member }) => {
        if (!placed.has(part)) placed.set(part, place(part));
        return { ...placed.get(part)!, member };
      });
      const at = rowsAt(order);
      for (let tile = 0; tile < Math.ceil(count / owned); tile++) {
        const lists = made.map(({ starts, at, shared, member }) => ({
          first: at + starts[tile],
          end: at + starts[tile + 1],
          shared,
          member,
        }))
          .filter(({ first, end }) => end > first);
        const length = lists.reduce((sum, { first, end }) => sum + end - first, 0);
        // A later stage has nothing to add where it has no tile; the first writes every row.
        if (length === 0 && stage > 0) continue;
        for (const head of owners) {
          (stages[stage] ??= []).push({
            head,
            tile,
            rowsAt: at,
            rows: count,
            lists: isPlain ? lists : lists.map((list) => ({ ...list, shared: runOf(list.shared, head * each + list.member) })),
            length,
            pairs: each > 1 ? 0 : first[head],
          });
        }
      }
    });
  }
  return stages;
}

const floatBits = (x: number) => new Uint32Array(Float32Array.of(x).buffer);

async function build(plan: Plan, sets: readonly AttentionSet[], n: number, options: TableOptions): Promise<Tables> {
  const words = new Words(), stages = await stagesWith(words, sets, n, options);
  const made = stages.map((all, stage) => placeStage(words, all, stage > 0, options.share));
  return { blocks: plan.constant(`tables of ${sets.length} heads`, words.join()), stages: made };
}

function placeStage(words: Words, all: Owned[], later: boolean, share: TableOptions["share"]): Stage {
  const longest = longestOf(all);
  const most = share(all.reduce((sum, { length }) => sum + length, 0)), isCut = most > 0 && longest > 1.5 * most;
  // Longest first, so that what is left at the end is short; equal ones by tile, since the heads of a row are neighbours in memory.
  const items: { owned: Owned; lists: Owned["lists"]; length: number; slot: number }[] = [], joins: number[] = [];
  let slots = 0;
  for (const owned of all) {
    const cut = isCut ? pieces(owned, most) : [owned.lists];
    if (isCut) joins.push(owned.head, owned.tile, slots, slots + cut.length, owned.rowsAt, owned.rows);
    for (const lists of cut) {
      items.push({
        owned,
        lists,
        length: lists.reduce((sum, { first, end }) => sum + end - first, 0),
        slot: isCut ? slots++ : 0,
      });
    }
  }
  items.sort((a, b) => b.length - a.length || a.owned.tile - b.owned.tile || a.owned.head - b.owned.head);
  const runs: number[] = [], table = new Uint32Array(items.length * ITEM), ends: [number, number][] = [];
  for (const { lists } of items) {
    const begin = runs.length;
    for (const { first, end, shared } of lists) runs.push(first, end, ...shared);
    ends.push([begin, runs.length]);
  }
  const runsAt = words.put(Uint32Array.from(runs));
  items.forEach(({ owned: { head, tile, rowsAt, rows, pairs }, slot }, at) =>
    table.set([head, tile, runsAt + ends[at][0], runsAt + ends[at][1], rowsAt, rows, slot, pairs], at * ITEM)
  );
  const params = { items: items.length, items_at: words.put(table), slots };
  return { params, later, join: isCut ? { units: joins.length / JOIN, items_at: words.put(Uint32Array.from(joins)) } : undefined };
}

// Bits of all sets of an operation, 16 MiB: no crossover lies where they are more.
const MOST_BITS = 2 ** 27;

/** Whether sets can also go in the rows' order: some does not anyway, and the device has room for bits beside tile lists. */
export function mayGoInOrder(limits: Limits, sets: readonly AttentionSet[], n: number): boolean {
  return sets.length * n * keysOf(sets[0], n) <= Math.min(MOST_BITS, limits.maxStorageBufferBindingSize * 4) &&
    sets.some(({ kind }) => !/dense|window|segment|chosen|past/.test(kind));
}

// What an item costs beside its tiles, and what a stage adds to its longest list, both in tiles (docs/lab/crossover.md).
const ITEM_COST = 1, STAGE_COST = 2;

/** What sets cost in one of the orders, in tiles: all of it one after another, and its time on a large GPU. */
export async function orderCost(
  sets: readonly AttentionSet[],
  n: number,
  batch: number,
  options: Omit<TableOptions, "share">,
): Promise<readonly [work: number, time: number]> {
  let all = 0, time = 0;
  for (const stage of await stagesWith(new Words(), sets, n, options)) {
    const work = batch * stage.reduce((sum, { length }) => sum + length + ITEM_COST, 0);
    all += work;
    time += Math.max(longestOf(stage) + STAGE_COST, work / PLACES);
  }
  return [all, time];
}

/** Whether sets are less work in the rows' order and take less time there. */
export async function isCheaperInOrder(
  sets: readonly AttentionSet[],
  n: number,
  batch: number,
  options: Omit<TableOptions, "share" | "bits">,
): Promise<boolean> {
  const cost = (bits: boolean) => orderCost(sets, n, batch, { ...options, bits }), grouped = await cost(false);
  return (await cost(true)).every((each, at) => each < grouped[at]);
}

/** Pairs of tiles of a sequence, of all heads: places for what one kernel keeps of each for another. Counted once per plan. */
export function pairsOfTiles(plan: Plan, sets: readonly AttentionSet[], n: number, side: number, bits: boolean): Promise<number> {
  return plan.once(
    JSON.stringify(["pairs", sets.map(setKey), n, side, bits]),
    async () => (await layoutsOf(sets, n, { q: side, k: side }, bits)).pairs,
  );
}

/** The tables of a layer, made once per plan. */
export function attentionTables(plan: Plan, sets: readonly AttentionSet[], n: number, options: TableOptions): Promise<Tables> {
  const { share, ...rest } = options;
  // What `share` answers tells any two rules in use apart.
  const key = JSON.stringify([sets.map(setKey), n, rest, share(1), share(1 << 20)]);
  return plan.once(key, () => build(plan, sets, n, options));
}
