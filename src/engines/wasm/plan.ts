/**
 * What a program becomes: a list of kernel calls whose arguments are numbers or places, and where the places go.
 *
 * @module
 */

import type { Tensor } from "../../ops/mod.ts";

/** Memory that lives during one operation, between its calls. */
export class Region {
  constructor(readonly bytes: number) {}
}

/** A place inside a tensor. */
export interface Place {
  readonly tensor: Tensor;
  /** In bytes. */
  readonly offset: number;
}

/** Constant words that kernels read: lists of a layout, or addresses of tensors. Placed once however many calls name it. */
export class Table {
  constructor(readonly words: Uint32Array | readonly (number | Place)[]) {}
}

/** What stands for an address in a call's arguments, by what lies there: f32, u32 (a tensor's, a region's, or a table's), f64. */
export type Floats = Tensor | Region;
export type Words = Tensor | Region | Table;
export type Doubles = Region;

/** A place whose address is known once everything is placed, a number as it is, or 0 for nothing. */
export type Argument = number | boolean | Tensor | Region | Table | null | undefined;

/**
 * One call: `kernel(begin, end, ...args)` for pieces [begin, end) of `grain` units that together are [0, units).
 * A unit owns what it writes and computes it in a fixed order, so results do not depend on how units are dealt out.
 */
export interface Call {
  readonly kernel: string;
  readonly units: number;
  /** Units that a thread takes at once. */
  readonly grain: number;
  readonly args: readonly Argument[];
  /** Bytes of workspace a thread needs. */
  readonly workspace: number;
  /** Begins with the call before it, of the same operation, instead of after it: neither reads or writes what the other writes. */
  readonly joined?: boolean;
}

/** Something that needs `bytes` from operation `first` to operation `last`. */
export interface Claim {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** Alignment of every tensor, in bytes: a cache line, so that no two threads' tensors share one. */
export const ALIGNMENT = 64;

/** Rounds up to {@linkcode ALIGNMENT}. */
export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/**
 * Places claims in one arena so that those alive at the same time do not overlap: largest first, each at the lowest
 * offset that is free throughout its life.
 *
 * @returns an offset for each claim, and the arena's size in bytes
 */
export function planArena(claims: readonly Claim[]): { offsets: number[]; bytes: number } {
  const offsets = new Array<number>(claims.length).fill(0), placed: number[] = [];
  let bytes = 0;
  const order = claims.map((_, i) => i).sort((a, b) => claims[b].bytes - claims[a].bytes || a - b);
  for (const i of order) {
    const { first, last } = claims[i], need = align(claims[i].bytes);
    let at = 0;
    // `placed` is in order of offset.
    for (const j of placed) {
      if (claims[j].first > last || claims[j].last < first) continue;
      if (at + need <= offsets[j]) break;
      at = Math.max(at, offsets[j] + align(claims[j].bytes));
    }
    offsets[i] = at;
    bytes = Math.max(bytes, at + need);
    const after = placed.findIndex((j) => offsets[j] > at);
    placed.splice(after < 0 ? placed.length : after, 0, i);
  }
  return { offsets, bytes };
}
